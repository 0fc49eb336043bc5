"""Compiled passes of samples through an autoregressive flow, a tile of samples beside each other at a time.

Units are sorted by the number of parameters that they see (their level). What units of level 0, which see the signals only, give
to the others is the same for all samples of a voxel and is taken as known here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from krogh.fexi.learned._fast import FAST, short_exp
from krogh.fexi.learned._spline import STEEP, WIDE, pass_spline, spline_scratch, squash

__all__ = ["draw", "make_scratch"]

_TILE = 128  # samples whose units fit the nearest cache
_ONE = np.float32(1.0)


@njit(**FAST)
def _silu(x, constant):  # type: ignore[no-untyped-def]
    """Replace x by a / (1 + exp(-a)), a = x + constant."""
    for m in range(x.size):
        a = x[m] + constant
        x[m] = a / (_ONE + short_exp(-a))


@njit(**FAST)
def _bins(raw, constant, first, last, p):  # type: ignore[no-untyped-def]
    """Fill columns `first` to `last` of the bins `raw` [3 bins - 1, sample] of parameter p; nothing was added for the first."""
    n_out = raw.shape[0]
    for j in range(n_out):
        factor, row = WIDE if j < 2 * ((n_out + 1) // 3) else STEEP, raw[j, first:last]
        if p == 0:
            row[0] = 0.0
            squash(row[:1], constant[j], factor)
            for m in range(1, row.size):
                row[m] = row[0]
        else:
            squash(row, constant[n_out * p + j], factor)


@njit(**FAST)
def _hidden(weight, start, constant, p, begin, end, n_m, h, raw):  # type: ignore[no-untyped-def]
    """Fill the units `h` [layer, unit, sample] of level p, and `raw` with what they give to the bins; return the weights used."""
    n_layers, used = constant.shape[0], 0
    for i in range(n_layers):
        n_in, a, b = start[i, p + 1] - start[i, 1], start[i + 1, p], start[i + 1, p + 1]
        out = h[i + 1][a - start[i + 1, 1] : b - start[i + 1, 1]] if i < n_layers - 1 else raw
        np.dot(weight[used : used + (b - a) * n_in].reshape((b - a, n_in)), h[i][:n_in], out)
        used += (b - a) * n_in
        if i < n_layers - 1:
            for v in range(begin // n_m, (end - 1) // n_m + 1):
                first, last = max(v * n_m, begin) - begin, min((v + 1) * n_m, end) - begin
                for j in range(b - a):
                    _silu(out[j, first:last], constant[i, v, a + j])
    return used


def make_scratch(start: NDArray[np.int64]) -> tuple[Any, ...]:
    """Return what `draw` works in: units, bins, then arrays of one number per sample."""
    h = np.zeros((start.shape[0] - 1, start[:, -1].max(), _TILE), np.float32)
    raw = np.ones((start[-1, 1], _TILE), np.float32)
    return (h, raw, np.ones(_TILE, bool), spline_scratch(_TILE), *(np.zeros(_TILE) for _ in range(5)))


@njit(**FAST)
def draw(weight, start, constant, centre, spread, n_drawn, scratch, u, log_q):  # type: ignore[no-untyped-def]
    """Replace the first `n_drawn` of u [voxel, param, sample], standard normal, by samples; fill ln q [voxel, sample] + constant.

    `weight`: blocks [unit, input] of the units above level 0, by parameter and layer, one after the other, in 32 bits; units of
    level c that go into layer i begin at ``start[i, c]``. `constant` [layer, voxel, unit]: what bias and units of level 0 give.
    """
    n_layers, (n, n_p, n_m) = constant.shape[0], u.shape
    h, raw, drawn, more, at, z, x, slope, squares = scratch
    for begin in range(0, n * n_m, _TILE):
        end, used = min(begin + _TILE, n * n_m), 0
        for k in range(_TILE):
            slope[k], squares[k], drawn[k] = 1.0, 0.0, (begin + k) % n_m < n_drawn
        for p in range(n_p):
            if p > 0:
                used += _hidden(weight[used:], start, constant, p, begin, end, n_m, h, raw)
            for v in range(begin // n_m, (end - 1) // n_m + 1):
                first, last = max(v * n_m, begin) - begin, min((v + 1) * n_m, end) - begin
                _bins(raw, constant[n_layers - 1, v], first, last, p)
                part = u[v, p, begin + first - v * n_m :]
                for k in range(last - first):
                    at[first + k] = part[k] if drawn[first + k] else (part[k] - centre[p]) / spread[p]
            pass_spline(raw, at, drawn, z, x, slope, more)
            for k in range(_TILE):
                squares[k] += z[k] * z[k]
            if p < n_p - 1:
                row = h[0, p]
                for k in range(_TILE):
                    row[k] = x[k]
            for v in range(begin // n_m, (end - 1) // n_m + 1):
                first, last = max(v * n_m, begin) - begin, min((v + 1) * n_m, end) - begin
                part = u[v, p, begin + first - v * n_m :]
                for k in range(last - first):
                    part[k] = centre[p] + spread[p] * x[first + k]
        for k in range(end - begin):
            log_q[(begin + k) // n_m, (begin + k) % n_m] = math.log(slope[k]) - 0.5 * squares[k]
