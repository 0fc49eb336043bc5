"""Compiled sums over the atoms of a dictionary: likelihood, masses, marginals and moments of every voxel.

With signals z = y / noise SD and S0 of a series integrated out over a prior ~ 1 / S0 (flat in the length S0 |e_s| of its
signals), the Rician likelihood at large SNR (``I0(x) ~ exp(x) / sqrt(2 pi x)``) is, up to a factor of the voxel,

    ln L = - 1/2 sum_s (1 - G_s / (2 |z_s|^2)) (|z_s|^2 - (z_s . d_s)^2) + c,
    d_s = e_s / |e_s|,   c = sum_s G_s / 4 ln |e_s|^2 - 1/2 sum_g ln e_g

with G_s volumes in series s and e the signal for S0 = 1; with S0 known, ``ln L = - 1/2 sum_g ((z_g - S0 e_g)^2 + ln e_g)``.

A prior flat in S0 itself would add ``- ln |e_s|``: that density is not normalised over z for given |z_s|, so that the evidence
of a scan would grow with the mean of 1 / |e_s| over the prior, whatever the data.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT

__all__ = ["DROP", "likelihood", "likelihoods", "marginals", "masses", "moments", "read_quantiles", "read_ranks"]

_FAST = {**JIT, "fastmath": True}
DROP = 14.0  # atoms below exp(-14) of the top are left out


@njit(**_FAST)
def likelihood(z, level, pointer, known, table, square, constant, total, part):  # type: ignore[no-untyped-def]
    """Fill ln L of every atom, up to an offset, which is returned."""
    n_atoms, offset = constant.size, 0.0
    for j in range(n_atoms):
        total[j] = constant[j]
    for s in range(pointer.size - 1):
        zz = 0.0
        for g in range(pointer[s], pointer[s + 1]):
            zz += z[g] * z[g]
        for j in range(n_atoms):
            part[j] = 0.0
        for g in range(pointer[s], pointer[s + 1]):
            zg = z[g]
            for j in range(n_atoms):
                part[j] += zg * table[g, j]
        if known:
            half = 0.5 * level[s] * level[s]
            for j in range(n_atoms):
                total[j] += level[s] * part[j] - half * square[s, j]
            offset -= 0.5 * zz
        else:
            half = 0.5 - 0.25 * (pointer[s + 1] - pointer[s]) / zz
            for j in range(n_atoms):
                total[j] += half * part[j] * part[j]
            offset -= half * zz
    return offset


@njit(**_FAST)
def _survivors(z, level, pointer, known, table, square, constant, log_w, total, part, where, value):  # type: ignore[no-untyped-def]
    """Fill `where` and `value` with the atoms that matter and their masses (sum 1); return their number and ln evidence."""
    n_atoms = constant.size
    offset = likelihood(z, level, pointer, known, table, square, constant, total, part)
    top = -np.inf
    for j in range(n_atoms):
        total[j] += log_w[j]
        top = max(top, total[j])
    count, add = 0, 0.0
    for j in range(n_atoms):
        if total[j] > top - DROP:
            p = math.exp(total[j] - top)
            where[count] = j
            value[count] = p
            add += p
            count += 1
    for i in range(count):
        value[i] /= add
    return count, top + math.log(add) + offset


@njit(**JIT)
def likelihoods(z, level, pointer, known, table, square, constant, out):  # type: ignore[no-untyped-def]
    """Fill ln L [voxel, atom]."""
    part = np.empty(constant.size)
    for v in range(z.shape[0]):
        offset = likelihood(z[v], level[v], pointer, known, table, square, constant, out[v], part)
        for j in range(constant.size):
            out[v, j] += offset


@njit(**JIT)
def masses(z, level, pointer, known, table, square, constant, log_w, out, log_evidence):  # type: ignore[no-untyped-def]
    """Add the posterior mass of every voxel to `out` [atom]; fill ln evidence [voxel]."""
    n = constant.size
    total, part, where, value = np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty(n)
    for v in range(z.shape[0]):
        count, log_evidence[v] = _survivors(
            z[v], level[v], pointer, known, table, square, constant, log_w, total, part, where, value
        )
        for i in range(count):
            out[where[i]] += value[i]


@njit(**JIT)
def marginals(z, level, pointer, known, table, square, constant, log_w, theta, index, out, moment, log_evidence):  # type: ignore[no-untyped-def]
    """Fill the marginal masses `out` [voxel, param, node], mean and variance `moment` [voxel, 2, param] and ln evidence."""
    n, n_par = constant.size, theta.shape[1]
    total, part, where, value = np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty(n)
    for v in range(z.shape[0]):
        count, log_evidence[v] = _survivors(
            z[v], level[v], pointer, known, table, square, constant, log_w, total, part, where, value
        )
        for p in range(n_par):
            first = 0.0
            for i in range(count):
                j = where[i]
                out[v, p, index[p, j]] += value[i]
                first += value[i] * theta[j, p]
            second = 0.0
            for i in range(count):
                d = theta[where[i], p] - first
                second += value[i] * d * d
            moment[v, 0, p], moment[v, 1, p] = first, second


@njit(**JIT)
def moments(z, level, pointer, known, table, square, constant, log_w, features, mean, cross, targets):  # type: ignore[no-untyped-def]
    """Fill E[f] [voxel, feature] of `features` [atom, feature]; add Cov(first `targets` features, all) to `cross`."""
    n, n_f = constant.size, features.shape[1]
    total, part, where, value = np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty(n)
    for v in range(z.shape[0]):
        count, _ = _survivors(z[v], level[v], pointer, known, table, square, constant, log_w, total, part, where, value)
        for i in range(count):
            for f in range(n_f):
                mean[v, f] += value[i] * features[where[i], f]
        for i in range(count):
            j = where[i]
            for a in range(targets):
                d = value[i] * (features[j, a] - mean[v, a])
                for f in range(n_f):
                    cross[a, f] += d * (features[j, f] - mean[v, f])


@njit(**JIT)
def _cell(mass, edges, i):  # type: ignore[no-untyped-def]
    """Return the slopes of the cumulative probability at both ends of cell `i`, limited so that it stays monotone."""
    n = mass.size
    here = mass[i] / (edges[i + 1] - edges[i])
    before = mass[i - 1] / (edges[i] - edges[i - 1]) if i > 0 else here
    after = mass[i + 1] / (edges[i + 2] - edges[i + 1]) if i < n - 1 else here
    left = 2.0 * before * here / (before + here) if before + here > 0.0 and i > 0 else here
    right = 2.0 * after * here / (after + here) if after + here > 0.0 and i < n - 1 else here
    return left, right


@njit(**JIT)
def _inside(mass, edges, i, x):  # type: ignore[no-untyped-def]
    """Return the probability between the lower edge of cell `i` and x (monotone cubic)."""
    h = edges[i + 1] - edges[i]
    left, right = _cell(mass, edges, i)
    t = (x - edges[i]) / h
    return mass[i] * t * t * (3.0 - 2.0 * t) + h * t * (1.0 - t) * ((1.0 - t) * left - t * right)


@njit(**JIT)
def _integrated(mass, edges, out):  # type: ignore[no-untyped-def]
    """Fill the integrals over the cells from the values at their centres (+ h^2 f'' / 24 of the density f)."""
    n, add = mass.size, 0.0
    for i in range(n):
        h = edges[i + 1] - edges[i]
        out[i] = mass[i]
        if 0 < i < n - 1:
            left, right = 0.5 * (edges[i + 1] - edges[i - 1]), 0.5 * (edges[i + 2] - edges[i])
            here = mass[i] / h
            slope = (mass[i + 1] / (edges[i + 2] - edges[i + 1]) - here) / right
            slope -= (here - mass[i - 1] / (edges[i] - edges[i - 1])) / left
            out[i] = max(mass[i] + h * h * h * slope / (0.5 * (left + right)) / 24.0, 0.0)
        add += out[i]
    for i in range(n):
        out[i] /= add


@njit(**JIT)
def read_quantiles(points, edges, levels, out):  # type: ignore[no-untyped-def]
    """Fill the quantiles [voxel, level] of the marginal masses [voxel, node]."""
    mass = np.empty_like(points)
    for v in range(mass.shape[0]):
        _integrated(points[v], edges, mass[v])
        for q in range(levels.size):
            below, i = 0.0, 0
            while i < mass.shape[1] - 1 and below + mass[v, i] < levels[q]:
                below += mass[v, i]
                i += 1
            low, high = edges[i], edges[i + 1]
            for _ in range(40):
                middle = 0.5 * (low + high)
                if below + _inside(mass[v], edges, i, middle) < levels[q]:
                    low = middle
                else:
                    high = middle
            out[v, q] = 0.5 * (low + high)


@njit(**JIT)
def read_ranks(points, edges, at, out):  # type: ignore[no-untyped-def]
    """Fill the probability below `at` [voxel]."""
    mass = np.empty_like(points)
    for v in range(mass.shape[0]):
        _integrated(points[v], edges, mass[v])
        below, i = 0.0, 0
        while i < mass.shape[1] - 1 and edges[i + 1] <= at[v]:
            below += mass[v, i]
            i += 1
        x = min(max(at[v], edges[i]), edges[i + 1])
        out[v] = below + _inside(mass[v], edges, i, x)
