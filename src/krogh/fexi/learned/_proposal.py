"""Compiled samples of a mixture per voxel, and how the density of the prior compares with what they were drawn from.

Samples are kept as fractions x of the bounds, u = ln(x / (1 - x)) being the scale on which mixtures are Gaussian. Within a voxel
arrays are [param, sample], so that every inner loop runs over samples and is vectorised.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT
from krogh.fexi.learned._fast import FAST, fast_exp

__all__ = ["compare", "give", "propose"]


@njit(**FAST)
def _normal(p):  # type: ignore[no-untyped-def]
    """Return the standard normal quantile (Acklam's rational approximation, relative error 1e-9)."""
    low = 0.02425
    if p < low or p > 1.0 - low:
        q = math.sqrt(-2.0 * math.log(min(p, 1.0 - p)))
        x = -7.784894002430293e-03 * q - 3.223964580411365e-01
        x = ((x * q - 2.400758277161838e00) * q - 2.549732539343734e00) * q
        x = (x + 4.374664141464968e00) * q + 2.938163982698783e00
        y = (7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e00
        x /= (y * q + 3.754408661907416e00) * q + 1.0
        return x if p < low else -x
    q = p - 0.5
    r = q * q
    x = (-3.969683028665376e01 * r + 2.209460984245205e02) * r - 2.759285104469687e02
    x = ((x * r + 1.383577518672690e02) * r - 3.066479806614716e01) * r + 2.506628277459239e00
    y = (-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02
    y = ((y * r + 6.680131188771972e01) * r - 1.328068155288572e01) * r + 1.0
    return x * q / y


@njit(**JIT)
def _invert(root, out):  # type: ignore[no-untyped-def]
    """Fill the inverse of a lower triangle; return ln of its determinant."""
    n, log_det = root.shape[0], 0.0
    for i in range(n):
        log_det += math.log(root[i, i])
        out[i, i] = 1.0 / root[i, i]
        for j in range(i):
            s = 0.0
            for k in range(j, i):
                s += root[i, k] * out[k, j]
            out[i, j] = -s * out[i, i]
    return log_det


@njit(**FAST)
def _add_gauss(u, mean, inverse, factor, line, square, out):  # type: ignore[no-untyped-def]
    """Add factor x exp(-|R^-1 (u - mean)|^2 / 2) to `out` [sample]; `line` and `square` [sample] are scratch."""
    n_p, n_m = u.shape
    for m in range(n_m):
        square[m] = 0.0
    for i in range(n_p):
        for m in range(n_m):
            line[m] = inverse[i, 0] * (u[0, m] - mean[0])
        for j in range(1, i + 1):
            for m in range(n_m):
                line[m] += inverse[i, j] * (u[j, m] - mean[j])
        for m in range(n_m):
            square[m] += line[m] * line[m]
    for m in range(n_m):
        out[m] += factor * fast_exp(-0.5 * square[m])


@njit(**FAST)
def _prior(u, weight, mean, inverse, factor, fraction, line, square, out):  # type: ignore[no-untyped-def]
    """Fill the density of the prior `out` [sample] at u [param, sample], and the fractions [sample, param] of the bounds."""
    n_p, n_m = u.shape
    for m in range(n_m):
        out[m] = weight[0]
    for i in range(n_p):
        for m in range(n_m):
            e = fast_exp(-abs(u[i, m]))
            other = 1.0 / (1.0 + e)
            fraction[m, i] = other if u[i, m] >= 0.0 else e * other
            out[m] *= e * other * other
    for k in range(mean.shape[0]):
        _add_gauss(u, mean[k], inverse[k], factor[k], line, square, out)


@njit(**JIT)
def _prepare(weight, root, first, inverse, factor):  # type: ignore[no-untyped-def]
    """Fill inverse roots and weight / (2 pi)^(p/2) / det R of Gaussians whose weights begin at `first`."""
    for k in range(root.shape[0]):
        log_det = _invert(root[k], inverse[k])
        factor[k] = weight[first + k] * math.exp(-log_det - 0.9189385332046727 * root.shape[1])


@njit(**FAST)
def _place(points, shift, n_k, g_weight, own, share, mean, root, g_mean, g_root, z, u):  # type: ignore[no-untyped-def]
    """Fill samples u [param, sample] of (1 - share) q + share g: parts in proportion to their weights, one after the other."""
    n_p, n_m = u.shape
    part, reached = 0, (1.0 - share) * own[0]
    for m in range(n_m):
        t = (m + shift[n_p]) / n_m
        while t >= reached and part < n_k + g_weight.size - 1:
            part += 1
            reached += (1.0 - share) * own[part] if part < n_k else share * g_weight[part - n_k]
        for i in range(n_p):
            x = points[m, i] + shift[i]
            x = min(max(x - math.floor(x), 1e-9), 1.0 - 1e-9)
            z[i] = math.log(x / (1.0 - x)) if part == n_k else _normal(x)
        for i in range(n_p):
            if part == n_k:  # the background of the prior
                u[i, m] = z[i]
            else:
                at = mean[part, i] if part < n_k else g_mean[part - n_k - 1, i]
                for j in range(i + 1):
                    at += (root[part, i, j] if part < n_k else g_root[part - n_k - 1, i, j]) * z[j]
                u[i, m] = at


@njit(**FAST)
def _weigh(u, mean, inverse, factor, share, g, line, square, q, ratio):  # type: ignore[no-untyped-def]
    """Fill `ratio` = g / ((1 - share) q + share g) of the samples u [param, sample], q being the mixture of the voxel."""
    for m in range(g.size):
        q[m] = 1e-300
    for k in range(mean.shape[0]):
        _add_gauss(u, mean[k], inverse[k], factor[k], line, square, q)
    for m in range(g.size):
        ratio[m] = g[m] / ((1.0 - share) * q[m] + share * g[m])


@njit(**FAST)
def propose(weight, mean, root, g_weight, g_mean, g_root, share, points, shift, fraction, ratio):  # type: ignore[no-untyped-def]
    """Fill samples of p = (1 - share) q + share g as `fraction` [voxel, sample, param] of the bounds, and `ratio` g / p.

    q is the mixture of each voxel, g the prior (its uniform background first); `points` [sample, param] fill the unit cube
    evenly and are moved by `shift` [voxel, param + 1] around it.
    """
    n_k, n_p, n_m = mean.shape[1], mean.shape[2], points.shape[0]
    inverse, factor = np.zeros((n_k, n_p, n_p)), np.empty(n_k)
    g_inverse, g_factor = np.zeros((g_mean.shape[0], n_p, n_p)), np.empty(g_mean.shape[0])
    _prepare(g_weight, g_root, 1, g_inverse, g_factor)
    u, z, line, square = np.empty((n_p, n_m)), np.empty(n_p), np.empty(n_m), np.empty(n_m)
    q, g = np.empty(n_m), np.empty(n_m)
    for v in range(mean.shape[0]):
        _prepare(weight[v], root[v], 0, inverse, factor)
        _place(points, shift[v], n_k, g_weight, weight[v], share, mean[v], root[v], g_mean, g_root, z, u)
        _prior(u, g_weight, g_mean, g_inverse, g_factor, fraction[v], line, square, g)
        _weigh(u, mean[v], inverse, factor, share, g, line, square, q, ratio[v])


@njit(**FAST)
def compare(u, log_q, g_weight, g_mean, g_root, share, fraction, ratio):  # type: ignore[no-untyped-def]
    """Fill `fraction` and `ratio` as `propose` does, for samples u [voxel, param, sample] of a density ln q [voxel, sample]."""
    n_p, n_m = u.shape[1], u.shape[2]
    g_inverse, g_factor = np.zeros((g_mean.shape[0], n_p, n_p)), np.empty(g_mean.shape[0])
    _prepare(g_weight, g_root, 1, g_inverse, g_factor)
    line, square, g = np.empty(n_m), np.empty(n_m), np.empty(n_m)
    for v in range(u.shape[0]):
        _prior(u[v], g_weight, g_mean, g_inverse, g_factor, fraction[v], line, square, g)
        for m in range(n_m):
            ratio[v, m] = g[m] / ((1.0 - share) * fast_exp(log_q[v, m]) + share * g[m] + 1e-300)


@njit(**FAST)
def give(points, shift, pool, out):  # type: ignore[no-untyped-def]
    """Fill `out` [voxel, param, sample] with normal quantiles of `points` [param, drawn] moved by `shift`, then from `pool`.

    The last number of `shift` [voxel, param + 1] says where in `pool` [param, entry] the samples that follow begin.
    """
    n_p, n_drawn = points.shape
    for v in range(out.shape[0]):
        begin = int(shift[v, n_p] * pool.shape[1])
        for p in range(n_p):
            for m in range(n_drawn):
                x = points[p, m] + shift[v, p]
                out[v, p, m] = _normal(min(max(x - math.floor(x), 1e-7), 1.0 - 1e-7))
            for m in range(n_drawn, out.shape[2]):
                out[v, p, m] = pool[p, (begin + m - n_drawn) % pool.shape[1]]
