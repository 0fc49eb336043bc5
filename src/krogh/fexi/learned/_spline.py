"""Compiled rational-quadratic splines (Durkan 2019, arXiv 1906.04032) with the outputs of a flow's network as they come.

The monotone map of [-5, 5] onto itself that ``zuko.transforms.MonotonicRQSTransform`` defines; the identity outside.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.learned._fast import FAST, fast_exp

__all__ = ["LN_SLOPE", "spline"]

#: ln of the least slope at a knot.
LN_SLOPE = math.log(1e-3)
_BOUND = 5.0


@njit(**FAST)
def _squash(raw, first, factor, out):  # type: ignore[no-untyped-def]
    """Fill exp(a / (1 + |factor a / ln slope|)) of the raw outputs a from `first` on; return the sum."""
    add = 0.0
    for k in range(out.size):
        a = np.float64(raw[first + k])
        out[k] = fast_exp(a / (1.0 + abs(factor * a / LN_SLOPE)))
    for k in range(out.size):
        add += out[k]
    return add


@njit(**FAST)
def spline(raw, n_drawn, z, x, log_slope):  # type: ignore[no-untyped-def]
    """Fill x [voxel, sample] from z for the first `n_drawn` samples and z from x for the rest; add ln dz/dx to `log_slope`.

    `raw` [voxel, sample or 1, 3 bins - 1]: widths and heights of the bins and slopes at the inner knots, unconstrained.
    """
    n_k = (raw.shape[2] + 1) // 3
    wide, high, slope = np.empty(n_k), np.empty(n_k), np.empty(n_k - 1)
    for v in range(z.shape[0]):
        sum_wide = sum_high = 0.0
        for m in range(z.shape[1]):
            if m == 0 or raw.shape[1] > 1:
                sum_wide = _squash(raw[v, m], 0, 2.0, wide)
                sum_high = _squash(raw[v, m], n_k, 2.0, high)
                _squash(raw[v, m], 2 * n_k, 1.0, slope)
            along, at, total = (high, z[v, m], sum_high) if m < n_drawn else (wide, x[v, m], sum_wide)
            if at <= -_BOUND or at > _BOUND:
                x[v, m] = z[v, m] = at
                continue
            k, x0, y0, reached = 0, 0.0, 0.0, along[0]
            aim = (at + _BOUND) * total / (2.0 * _BOUND)
            while k < n_k - 1 and reached < aim:
                x0 += wide[k]
                y0 += high[k]
                k += 1
                reached += along[k]
            scale_x, scale_y = 2.0 * _BOUND / sum_wide, 2.0 * _BOUND / sum_high
            w, h = wide[k] * scale_x, high[k] * scale_y
            x0, y0, s = x0 * scale_x - _BOUND, y0 * scale_y - _BOUND, h / w
            d0 = slope[k - 1] if k > 0 else 1.0
            d1 = slope[k] if k < n_k - 1 else 1.0
            bend = d0 + d1 - 2.0 * s
            if m < n_drawn:
                rise = at - y0
                b, c = h * d0 - rise * bend, -s * rise
                t = 2.0 * c / (-b - math.sqrt(b * b - 4.0 * (h * (s - d0) + rise * bend) * c))
                x[v, m] = x0 + t * w
            else:
                t = (at - x0) / w
                z[v, m] = y0 + h * (s * t * t + d0 * t * (1.0 - t)) / (s + bend * t * (1.0 - t))
            below = s + bend * t * (1.0 - t)
            log_slope[v, m] += math.log(s * s * (2.0 * s * t * (1.0 - t) + d0 * (1.0 - t) ** 2 + d1 * t * t) / (below * below))
