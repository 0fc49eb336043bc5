"""Compiled weights, moments and quantiles of the weighted samples of every voxel, as `_proposal` drew them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT
from krogh.fexi.learned._fast import FAST, fast_exp

__all__ = ["log_likelihood", "read_quantiles", "sort_keys", "weigh"]


@njit(**FAST)
def _log_likelihood(z, level, pointer, known, shape, out):  # type: ignore[no-untyped-def]
    """Fill ln L [sample] of one voxel for `shape` [sample, sorted volume], up to a constant."""
    for m in range(shape.shape[0]):
        total, product = 0.0, 1.0
        for s in range(pointer.size - 1):
            size = pointer[s + 1] - pointer[s]
            zz = ee = ze = 0.0
            for g in range(pointer[s], pointer[s + 1]):
                e = shape[m, g]
                zz += z[g] * z[g]
                ee += e * e
                ze += z[g] * e
                product *= e
            if product < 1e-100:
                total -= 0.5 * math.log(product)
                product = 1.0
            if known:
                total += level[s] * (ze - 0.5 * level[s] * ee) - 0.5 * zz
            else:
                total -= (0.5 - 0.25 * size / zz) * (zz - ze * ze / ee)
                if size == 2:
                    product /= ee
                else:
                    total += 0.25 * size * math.log(ee)
        out[m] = total - 0.5 * math.log(product)


@njit(**FAST)
def log_likelihood(z, level, pointer, known, shape, out):  # type: ignore[no-untyped-def]
    """Fill ln L [voxel, sample] for shape [voxel, sample, sorted volume], up to a factor of the voxel (formula in `_kernel`)."""
    for v in range(z.shape[0]):
        _log_likelihood(z[v], level[v], pointer, known, shape[v], out[v])


@njit(**FAST)
def weigh(z, level, pointer, known, shape, ratio, fraction, weight, mean, variance, log_evidence, effective):  # type: ignore[no-untyped-def]
    """Fill normalised weights [voxel, sample] ~ L x ratio, moments of `fraction`, ln evidence and effective sample sizes."""
    n_m, n_p = fraction.shape[1], fraction.shape[2]
    for v in range(z.shape[0]):
        w = weight[v]
        _log_likelihood(z[v], level[v], pointer, known, shape[v], w)
        top = -math.inf
        for m in range(n_m):
            top = max(top, w[m])
        add = squares = 0.0
        for m in range(n_m):
            w[m] = fast_exp(w[m] - top) * ratio[v, m]
            add += w[m]
        for m in range(n_m):
            w[m] /= add
            squares += w[m] * w[m]
        log_evidence[v], effective[v] = top + math.log(add / n_m), 1.0 / squares
        for p in range(n_p):
            first = second = 0.0
            for m in range(n_m):
                first += w[m] * fraction[v, m, p]
            for m in range(n_m):
                d = fraction[v, m, p] - first
                second += w[m] * d * d
            mean[v, p], variance[v, p] = first, second


@njit(**JIT)
def sort_keys(fraction, bits, keys):  # type: ignore[no-untyped-def]
    """Fill integers [voxel, param, sample] that sort as the fractions do and end in the `bits` of their place."""
    scale = 2.0 ** (62 - bits)
    for v in range(fraction.shape[0]):
        for p in range(fraction.shape[2]):
            for m in range(fraction.shape[1]):
                keys[v, p, m] = (np.int64(min(fraction[v, m, p], 1.0 - 2.0**-50) * scale) << bits) | m


@njit(**JIT)
def read_quantiles(keys, bits, fraction, weight, levels, quantiles):  # type: ignore[no-untyped-def]
    """Fill quantiles [voxel, param, level] from sorted keys: half of each weight lies on either side of its sample."""
    place = (np.int64(1) << bits) - 1
    for v in range(fraction.shape[0]):
        for p in range(fraction.shape[2]):
            q, below, at = 0, 0.0, 0.0
            last = fraction[v, keys[v, p, 0] & place, p]
            for i in range(keys.shape[2]):
                m = keys[v, p, i] & place
                w, x = weight[v, m], fraction[v, m, p]
                here = below + 0.5 * w
                while q < levels.size and here >= levels[q]:
                    quantiles[v, p, q] = x if here <= at else last + (x - last) * (levels[q] - at) / (here - at)
                    q += 1
                last, at, below = x, here, below + w
            while q < levels.size:
                quantiles[v, p, q] = last
                q += 1
