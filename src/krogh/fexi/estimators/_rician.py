"""Compiled Rician likelihood and its expectation-maximisation steps."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._descend import descend, workspace
from krogh.fexi.estimators._series import JIT

__all__ = ["bessel_ratio", "climb", "log_i0"]


@njit(**JIT)
def log_i0(z: float) -> float:
    """Return ln I0(z) for z >= 0 without overflow, to about 1e-14: power series below z = 30, asymptotic series above."""
    term = total = 1.0
    if z < 30.0:
        quarter = 0.25 * z * z
        for k in range(1, 200):
            term *= quarter / (k * k)
            total += term
            if term < 1e-17 * total:
                break
        return math.log(total)
    for k in range(1, 30):
        growth = (2.0 * k - 1.0) ** 2 / (8.0 * k * z)
        term *= growth
        total += term
        if term < 1e-17 or growth > 0.9:
            break
    return z - 0.5 * math.log(2.0 * math.pi * z) + math.log(total)


@njit(**JIT)
def bessel_ratio(z: float) -> float:
    """Return I1(z)/I0(z) for z >= 0 to about 1e-12, by the backward continued fraction (asymptotic series beyond z = 60)."""
    if z > 60.0:
        r = 1.0 / z
        return 1.0 - r * (0.5 + r * (0.125 + r * (0.125 + r * (0.1953125 + r * (0.40625 + r * 1.0478515625)))))
    ratio = 0.0
    for k in range(20 + int(1.2 * z), 0, -1):
        ratio = z / (2.0 * k + z * ratio)
    return ratio


@njit(**JIT)
def _signal(b, ptr, t, filtered, theta, s0, a):  # type: ignore[no-untyped-def]
    for s in range(t.size):
        x = theta[0] * (1.0 - theta[1] * (math.exp(-theta[2] * t[s]) if filtered[s] else 0.0))
        for g in range(ptr[s], ptr[s + 1]):
            a[g] = max(s0[s], 0.0) * math.exp(-b[g] * x)


@njit(**JIT)
def climb(y, b, sw, ptr, t, filtered, known, low, high, sd, max_rounds, theta, s0, cost, good):  # type: ignore[no-untyped-def]
    """Raise the Rician likelihood of every voxel from theta [voxel, 3], s0 [voxel, series] (overwritten); fill cost, good."""
    a, u, gauss, before = np.empty(b.size), np.empty(b.size), np.empty((3, 3)), np.empty(3)
    room = workspace(b.size, t.size)
    for v in range(y.shape[0]):
        precision = 1.0 / (sd[v] * sd[v])
        settled = 0
        good[v] = False
        for _ in range(max_rounds):
            _signal(b, ptr, t, filtered, theta[v], s0[v], a)
            for g in range(b.size):
                u[g] = y[v, g] * bessel_ratio(y[v, g] * a[g] * precision)
            before[:] = theta[v]
            descend(u, b, sw, ptr, t, filtered, known[v], low, high, -1, theta[v], s0[v], gauss, room)
            change = 0.0
            for p in range(3):
                change = max(change, abs(theta[v, p] - before[p]) / (high[p] - low[p]))
            settled = settled + 1 if change < 1e-7 else 0
            if settled == 2:
                good[v] = True
                break
        _signal(b, ptr, t, filtered, theta[v], s0[v], a)
        total = 0.0
        for g in range(b.size):
            z = y[v, g] * a[g] * precision
            gain = 0.5 * (y[v, g] * y[v, g] + a[g] * a[g]) * precision - log_i0(z)
            total += gain - (math.log(y[v, g] * precision) if y[v, g] > 0.0 else 0.0)
        cost[v] = total
