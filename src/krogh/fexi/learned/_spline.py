"""Compiled rational-quadratic splines (Durkan 2019, arXiv 1906.04032), with the outputs of a flow's network as they come.

The monotone map of [-5, 5] onto itself that ``zuko.transforms.MonotonicRQSTransform`` defines; the identity outside. Arrays are
[..., sample], so that every inner loop runs over samples and is vectorised.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from krogh.fexi.learned._fast import FAST, short_exp

__all__ = ["LN_SLOPE", "STEEP", "WIDE", "pass_spline", "spline_scratch", "squash"]

#: ln of the least slope at a knot.
LN_SLOPE = math.log(1e-3)
_BOUND = 5.0
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
WIDE, STEEP = np.float32(-2.0 / LN_SLOPE), np.float32(-1.0 / LN_SLOPE)


@njit(**FAST)
def squash(raw, constant, factor):  # type: ignore[no-untyped-def]
    """Replace an output a = raw [sample] + constant by exp(a / (1 + |factor a|)): a width, a height or a slope."""
    for m in range(raw.size):
        a = raw[m] + constant
        raw[m] = short_exp(a / (_ONE + abs(factor * a)))


@njit(**FAST)
def _find(at, drawn, bins, scale_x, scale_y, place, x0, y0, reached):  # type: ignore[no-untyped-def]
    """Fill the bin `place` [sample] of the values `at` (of z where `drawn`, else of x), and the widths and heights before it."""
    n_k = (bins.shape[0] + 1) // 3
    for m in range(place.size):
        value = min(max(at[m], -_BOUND), _BOUND) + _BOUND
        reached[m] = -value / (scale_y[m] if drawn[m] else scale_x[m])
        place[m], x0[m], y0[m] = 0, _ZERO, _ZERO
    for k in range(n_k - 1):
        wide, high = bins[k], bins[n_k + k]
        for m in range(place.size):
            reached[m] += high[m] if drawn[m] else wide[m]
        for m in range(place.size):
            place[m] += reached[m] < 0.0
        for m in range(place.size):
            x0[m] += wide[m] if reached[m] < 0.0 else _ZERO
            y0[m] += high[m] if reached[m] < 0.0 else _ZERO


@njit(**FAST)
def _read(bins, place, scale_x, scale_y, w, h, d0, d1):  # type: ignore[no-untyped-def]
    """Fill width and height [sample] of the bin `place` and the slopes at its ends."""
    n_k = (bins.shape[0] + 1) // 3
    for m in range(place.size):
        k = place[m]
        w[m], h[m] = bins[k, m] * scale_x[m], bins[n_k + k, m] * scale_y[m]
        d0[m] = bins[2 * n_k + k - 1, m] if k > 0 else 1.0
        d1[m] = bins[2 * n_k + k, m] if k < n_k - 1 else 1.0


@njit(**FAST)
def _solve(rise, w, h, d0, d1, t):  # type: ignore[no-untyped-def]
    """Fill the place t in [0, 1] [sample] within each bin at which the spline has risen by `rise`."""
    for m in range(t.size):
        s = h[m] / w[m]
        bend = d0[m] + d1[m] - 2.0 * s
        b, c = h[m] * d0[m] - rise[m] * bend, -s * rise[m]
        t[m] = 2.0 * c / (-b - math.sqrt(b * b - 4.0 * (h[m] * (s - d0[m]) + rise[m] * bend) * c))


@njit(**FAST)
def _rise(t, w, h, d0, d1, rise):  # type: ignore[no-untyped-def]
    """Fill by how much the spline has risen at t [sample] within each bin."""
    for m in range(t.size):
        s, u = h[m] / w[m], t[m] * (1.0 - t[m])
        rise[m] = h[m] * (s * t[m] * t[m] + d0[m] * u) / (s + (d0[m] + d1[m] - 2.0 * s) * u)


@njit(**FAST)
def _steepen(t, w, h, d0, d1, at, slope):  # type: ignore[no-untyped-def]
    """Multiply `slope` [sample] by that of the spline at t within each bin, where `at` is between the bounds."""
    for m in range(t.size):
        s, u = h[m] / w[m], t[m] * (1.0 - t[m])
        below = s + (d0[m] + d1[m] - 2.0 * s) * u
        steep = s * s * (2.0 * s * u + d0[m] * (1.0 - t[m]) * (1.0 - t[m]) + d1[m] * t[m] * t[m]) / (below * below)
        slope[m] *= steep if abs(at[m]) < _BOUND else 1.0


def spline_scratch(n: int) -> tuple[NDArray[Any], ...]:
    """Return arrays of `n` samples for `pass_spline`: apart, as a compiler must assume that rows of one array overlap."""
    return (np.zeros(n, np.int32), *(np.zeros(n, np.float32) for _ in range(3)), *(np.zeros(n) for _ in range(8)))


@njit(**FAST)
def pass_spline(bins, at, drawn, z, x, slope, scratch):  # type: ignore[no-untyped-def]
    """Fill z and x [sample] of which `at` gives z where `drawn`, and else x; multiply `slope` by dz/dx.

    `bins` [3 bins - 1, sample] as `squash` leaves them; `scratch` is of `spline_scratch`.
    """
    n_k = (bins.shape[0] + 1) // 3
    place, x0, y0, sums, left, low, w, h, d0, d1, t, rise = scratch
    for scale, first in ((left, 0), (low, n_k)):
        for m in range(sums.size):
            sums[m] = _ZERO
        for k in range(n_k):
            row = bins[first + k]
            for m in range(sums.size):
                sums[m] += row[m]
        for m in range(sums.size):
            scale[m] = 2.0 * _BOUND / sums[m]
    _find(at, drawn, bins, left, low, place, x0, y0, sums)
    _read(bins, place, left, low, w, h, d0, d1)
    for m in range(at.size):
        left[m] = x0[m] * left[m] - _BOUND
    for m in range(at.size):
        low[m] = y0[m] * low[m] - _BOUND
    for m in range(at.size):
        rise[m] = at[m] - low[m] if drawn[m] else 0.0
    _solve(rise, w, h, d0, d1, t)
    for m in range(at.size):
        t[m] = t[m] if drawn[m] else (at[m] - left[m]) / w[m]
    _rise(t, w, h, d0, d1, rise)
    _steepen(t, w, h, d0, d1, at, slope)
    for m in range(at.size):
        x[m] = left[m] + t[m] * w[m] if drawn[m] and abs(at[m]) < _BOUND else at[m]
    for m in range(at.size):
        z[m] = low[m] + rise[m] if not drawn[m] and abs(at[m]) < _BOUND else at[m]
