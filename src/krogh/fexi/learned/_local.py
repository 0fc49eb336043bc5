"""Compiled posteriors where every voxel has a prior of its own: a mixture of Gaussians on the logit scale and the background."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT
from krogh.fexi.learned._fast import FAST
from krogh.fexi.learned._kernel import DROP, likelihood
from krogh.fexi.learned._proposal import _add_gauss, _place, _prepare, _prior, _weigh

__all__ = ["local_marginals", "propose_local"]

_UNLIKELY = 40.0  # atoms whose likelihood is below exp(-40) of the largest are not looked at


@njit(**JIT)
def local_marginals(  # type: ignore[no-untyped-def]
    z, level, pointer, known, table, square, constant, u, volume, cell, weight, mean, root, theta, index, out, moment,
    log_evidence,
):  # fmt: skip
    """Fill marginal masses `out` [voxel, param, node], mean and variance `moment` [voxel, 2, param] and ln evidence.

    `u` [param, atom]; `volume`, `cell` [atom]: volume of an atom in u, and its prior mass where theta is uniform; `weight`
    [voxel, 1 + component], `mean` and Cholesky `root` of the prior of each voxel.
    """
    n, n_par, n_k = constant.size, theta.shape[1], mean.shape[1]
    total, part, where = np.empty(n), np.empty(n), np.empty(n, np.int64)
    some, value, line, length = np.empty((n_par, n)), np.empty(n), np.empty(n), np.empty(n)
    inverse, factor = np.zeros((n_k, n_par, n_par)), np.empty(n_k)
    for v in range(z.shape[0]):
        offset = likelihood(z[v], level[v], pointer, known, table, square, constant, total, part)
        top = -np.inf
        for j in range(n):
            top = max(top, total[j])
        count = 0
        for j in range(n):
            if total[j] > top - _UNLIKELY:
                where[count] = j
                for p in range(n_par):
                    some[p, count] = u[p, j]
                count += 1
        _prepare(weight[v], root[v], 1, inverse, factor)
        for i in range(count):
            value[i] = 0.0
        for k in range(n_k):
            _add_gauss(some[:, :count], mean[v, k], inverse[k], factor[k], line, length, value)
        best = 0.0
        for i in range(count):
            j = where[i]
            value[i] = (value[i] * volume[j] + weight[v, 0] * cell[j]) * math.exp(total[j] - top)
            best = max(best, value[i])
        add, least = 0.0, best * math.exp(-DROP)
        for i in range(count):
            value[i] = value[i] if value[i] > least else 0.0
            add += value[i]
        log_evidence[v] = top + math.log(add) + offset
        for p in range(n_par):
            first = 0.0
            for i in range(count):
                value_i = value[i] / add
                out[v, p, index[p, where[i]]] += value_i
                first += value_i * theta[where[i], p]
            second = 0.0
            for i in range(count):
                d = theta[where[i], p] - first
                second += value[i] / add * d * d
            moment[v, 0, p], moment[v, 1, p] = first, second


@njit(**FAST)
def propose_local(weight, mean, root, g_weight, g_mean, g_root, share, points, shift, fraction, ratio):  # type: ignore[no-untyped-def]
    """Fill `fraction` and `ratio` as ``_proposal.propose`` does, where the prior g of each voxel is its own [voxel, ...]."""
    n_k, n_g, n_p, n_m = mean.shape[1], g_mean.shape[1], mean.shape[2], points.shape[0]
    inverse, factor = np.zeros((n_k, n_p, n_p)), np.empty(n_k)
    g_inverse, g_factor = np.zeros((n_g, n_p, n_p)), np.empty(n_g)
    u, z, line, square = np.empty((n_p, n_m)), np.empty(n_p), np.empty(n_m), np.empty(n_m)
    q, g = np.empty(n_m), np.empty(n_m)
    for v in range(mean.shape[0]):
        _prepare(weight[v], root[v], 0, inverse, factor)
        _prepare(g_weight[v], g_root[v], 1, g_inverse, g_factor)
        _place(points, shift[v], n_k, g_weight[v], weight[v], share, mean[v], root[v], g_mean[v], g_root[v], z, u)
        _prior(u, g_weight[v], g_mean[v], g_inverse, g_factor, fraction[v], line, square, g)
        _weigh(u, mean[v], inverse, factor, share, g, line, square, q, ratio[v])
