"""Compiled importance sampling from a mixture per voxel: points, weights, moments and quantiles."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT

__all__ = ["log_likelihood", "log_prior", "propose", "summarise"]

_FAST = {**JIT, "fastmath": {"contract", "reassoc", "arcp"}}  # infinities stay what they are


@njit(**_FAST)
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


@njit(**_FAST)
def _log_gauss(u, mean, inverse, log_det, z):  # type: ignore[no-untyped-def]
    """Return ln N(u; mean, R R') from the lower inverse of R and ln det R."""
    total = 0.0
    for i in range(u.size):
        z[i] = 0.0
        for j in range(i + 1):
            z[i] += inverse[i, j] * (u[j] - mean[j])
        total += z[i] * z[i]
    return -0.5 * total - log_det - 0.9189385332046727 * u.size


@njit(**_FAST)
def _log_background(u):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(u.size):
        a = abs(u[i])
        total -= a + 2.0 * math.log1p(math.exp(-a))
    return total


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


@njit(**_FAST)
def log_prior(u, weight, mean, root, out):  # type: ignore[no-untyped-def]
    """Fill ln g [point] of points u [point, param]; weight, mean, root of the prior, background first."""
    n_k, n_p = mean.shape
    inverse, z = np.zeros((n_k, n_p, n_p)), np.empty(n_p)
    log_det, level = np.empty(n_k), np.empty(n_k + 1)
    for k in range(n_k):
        log_det[k] = _invert(root[k], inverse[k])
    for i in range(u.shape[0]):
        level[0] = math.log(weight[0]) + _log_background(u[i])
        top = level[0]
        for k in range(n_k):
            level[k + 1] = math.log(weight[k + 1]) + _log_gauss(u[i], mean[k], inverse[k], log_det[k], z)
            top = max(top, level[k + 1])
        add = 0.0
        for k in range(n_k + 1):
            add += math.exp(level[k] - top)
        out[i] = top + math.log(add)


@njit(**_FAST)
def propose(weight, mean, root, g_weight, g_mean, g_root, share, points, shift, u, log_g, log_q):  # type: ignore[no-untyped-def]
    """Fill samples u [voxel, sample, param] of (1 - share) q + share g, their ln g and the ln of that density.

    q is the mixture of each voxel, g the prior; `points` [sample, param] fill the unit cube evenly and are moved by `shift`
    [voxel, param + 1] around it.
    """
    n_k, n_p, n_g = mean.shape[1], mean.shape[2], g_mean.shape[0]
    n_m, z = points.shape[0], np.empty(n_p)
    inverse, log_det = np.zeros((n_k, n_p, n_p)), np.empty(n_k)
    for v in range(mean.shape[0]):
        for k in range(n_k):
            log_det[k] = _invert(root[v, k], inverse[k])
        for m in range(n_m):
            t = (m + shift[v, n_p]) / n_m
            part, reached = 0, 0.0
            for part in range(n_k + n_g + 1):
                reached += (1.0 - share) * weight[v, part] if part < n_k else share * g_weight[part - n_k]
                if t < reached:
                    break
            for i in range(n_p):
                x = points[m, i] + shift[v, i]
                x = min(max(x - math.floor(x), 1e-9), 1.0 - 1e-9)
                z[i] = math.log(x / (1.0 - x)) if part == n_k else _normal(x)
            for i in range(n_p):
                if part == n_k:  # the background of the prior
                    u[v, m, i] = z[i]
                else:
                    u[v, m, i] = mean[v, part, i] if part < n_k else g_mean[part - n_k - 1, i]
                    for j in range(i + 1):
                        u[v, m, i] += (root[v, part, i, j] if part < n_k else g_root[part - n_k - 1, i, j]) * z[j]
        log_prior(u[v], g_weight, g_mean, g_root, log_g[v])
        for m in range(n_m):
            add = share * math.exp(log_g[v, m])
            for k in range(n_k):
                add += (1.0 - share) * weight[v, k] * math.exp(_log_gauss(u[v, m], mean[v, k], inverse[k], log_det[k], z))
            log_q[v, m] = math.log(add + 1e-300)


@njit(**_FAST)
def log_likelihood(z, level, pointer, known, shape, out):  # type: ignore[no-untyped-def]
    """Fill ln L [voxel, sample] for shape [voxel, sample, sorted volume], up to a factor of the voxel (formula in `_kernel`)."""
    for v in range(z.shape[0]):
        for m in range(shape.shape[1]):
            total = 0.0
            for s in range(pointer.size - 1):
                size = pointer[s + 1] - pointer[s]
                zz = ee = ze = product = 0.0
                product = 1.0
                for g in range(pointer[s], pointer[s + 1]):
                    e = shape[v, m, g]
                    zz += z[v, g] * z[v, g]
                    ee += e * e
                    ze += z[v, g] * e
                    product *= e
                if known:
                    total += level[v, s] * (ze - 0.5 * level[v, s] * ee) - 0.5 * zz - 0.5 * math.log(product)
                else:
                    total -= (0.5 - 0.25 * size / zz) * (zz - ze * ze / ee)
                    total += (0.25 * size - 0.5) * math.log(ee) - 0.5 * math.log(product)
            out[v, m] = total


@njit(**JIT)
def summarise(theta, log_w, levels, mean, variance, quantiles, log_evidence, effective):  # type: ignore[no-untyped-def]
    """Fill moments, quantiles, ln evidence and effective sample sizes; `log_w` [voxel, sample] becomes normalised weights."""
    n_m, n_p = theta.shape[1], theta.shape[2]
    for v in range(theta.shape[0]):
        top = log_w[v].max()
        add, squares = 0.0, 0.0
        for m in range(n_m):
            log_w[v, m] = math.exp(log_w[v, m] - top)
            add += log_w[v, m]
        for m in range(n_m):
            log_w[v, m] /= add
            squares += log_w[v, m] * log_w[v, m]
        log_evidence[v] = top + math.log(add / n_m)
        effective[v] = 1.0 / squares
        for p in range(n_p):
            first = 0.0
            for m in range(n_m):
                first += log_w[v, m] * theta[v, m, p]
            second = 0.0
            for m in range(n_m):
                d = theta[v, m, p] - first
                second += log_w[v, m] * d * d
            mean[v, p], variance[v, p] = first, second
            order = np.argsort(theta[v, :, p])
            q, below, last, at = 0, 0.0, theta[v, order[0], p], 0.0
            for i in range(n_m):  # half of each weight lies on either side of its sample
                w, x = log_w[v, order[i]], theta[v, order[i], p]
                here = below + 0.5 * w
                while q < levels.size and here >= levels[q]:
                    quantiles[v, p, q] = x if here <= at else last + (x - last) * (levels[q] - at) / (here - at)
                    q += 1
                last, at, below = x, here, below + w
            while q < levels.size:
                quantiles[v, p, q] = last
                q += 1
