"""Profile-likelihood intervals of the AXR parameters, compiled.

The interval of one parameter holds every value at which the cost, minimised over the others, exceeds its minimum by no more than
``noise_sd**2`` times the chi-square quantile. Unlike value +- SD it stays within the bounds and may be one-sided: an end that
reaches a bound is open (infinite).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import chdtri

from krogh.fexi.estimators._descend import descend, workspace
from krogh.fexi.estimators._kernel import GRID
from krogh.fexi.estimators._reduce import Reduced
from krogh.fexi.estimators._search import TO_KERNEL, axr_units, run_chunks
from krogh.fexi.estimators._series import JIT
from krogh.fexi.interface import Estimate, SignalModel

__all__ = ["add_intervals", "profile_ends"]

FloatArray = NDArray[np.float64]


@njit(**JIT)
def _held_cost(u, b, sw, ptr, t, filtered, s0, low, high, p, value, theta, s0_out, gauss, room):  # type: ignore[no-untyped-def]
    theta[p] = value
    return descend(u, b, sw, ptr, t, filtered, s0, low, high, p, theta, s0_out, gauss, room)[0]


@njit(**JIT)
def _end(u, b, sw, ptr, t, filtered, s0, low, high, p, side, best, cost, margin, step, rates, room):  # type: ignore[no-untyped-def]
    """Return where the profile of parameter p crosses cost + margin on one side of `best`, or +-inf."""
    theta, trial = best.copy(), np.empty(3)
    s0_out, gauss = np.empty(t.size), np.empty((3, 3))
    limit = low[p] if side < 0 else high[p]
    inner, outer, inner_rise, outer_rise = best[p], best[p], 0.0, -1.0
    while outer_rise < 0.0:
        if outer == limit:
            return side * math.inf
        outer = best[p] + side * step
        if (limit - outer) * side <= 0.0:
            outer = limit
        trial[:] = theta
        found = _held_cost(u, b, sw, ptr, t, filtered, s0, low, high, p, outer, trial, s0_out, gauss, room)
        if p == 1 and found > cost + margin:  # the valley in AXR may have moved: look again
            for k in range(0, rates.size, 4):
                other = theta.copy()
                other[2] = rates[k]
                again = _held_cost(u, b, sw, ptr, t, filtered, s0, low, high, p, outer, other, s0_out, gauss, room)
                if again < found:
                    found, trial[:] = again, other
        rise = math.sqrt(max(found - cost, 0.0)) - math.sqrt(margin)
        if rise < 0.0:
            inner, inner_rise, theta[:] = outer, rise, trial
        else:
            outer_rise = rise
        step *= 2.0
    if inner == best[p]:
        inner_rise = -math.sqrt(margin)
    for _ in range(40):
        if abs(outer - inner) <= 1e-4 * abs(outer - best[p]):
            break
        middle = inner - inner_rise * (outer - inner) / (outer_rise - inner_rise)
        edge = 0.02 * (outer - inner)
        middle = min(max(middle, min(inner + edge, outer - edge)), max(inner + edge, outer - edge))
        trial[:] = theta
        found = _held_cost(u, b, sw, ptr, t, filtered, s0, low, high, p, middle, trial, s0_out, gauss, room)
        rise = math.sqrt(max(found - cost, 0.0)) - math.sqrt(margin)
        if abs(rise) < 1e-5 * math.sqrt(margin):
            return middle
        if rise < 0.0:
            inner, inner_rise, theta[:] = middle, rise, trial
        else:
            outer, outer_rise = middle, rise
    return 0.5 * (inner + outer)


@njit(**JIT)
def profile_ends(signals, b, sw, ptr, t, filtered, s0, low, high, rates, best, cost, margin, sd, ends):  # type: ignore[no-untyped-def]
    """Fill ends [voxel, 3, 2]; `best` [voxel, 3] with `cost` [voxel], `margin` [voxel], first steps `sd` [voxel, 3]."""
    room = workspace(b.size, t.size)
    for v in range(signals.shape[0]):
        for p in range(3):
            step = 2.0 * sd[v, p]
            if not 1e-9 * (high[p] - low[p]) < step < 0.25 * (high[p] - low[p]):
                step = 0.05 * (high[p] - low[p])
            for k in range(2):
                side = 2.0 * k - 1.0
                ends[v, p, k] = _end(
                    signals[v], b, sw, ptr, t, filtered, s0[v], low, high, p, side, best[v], cost[v], margin[v], step, rates, room
                )


def add_intervals(
    estimate: Estimate,
    model: SignalModel,
    reduced: Reduced,
    signals: FloatArray,
    given: FloatArray | None,
    *,
    level: float,
    threads: int,
    merged: bool = False,
) -> Estimate:
    """Return `estimate` with profile intervals at `level`; without a noise SD it comes back unchanged."""
    if estimate.noise_sd is None:
        return estimate
    low, high = axr_units(model.bounds)
    rates = low[2] + (high[2] - low[2]) * GRID
    theta, sd = estimate.theta() * TO_KERNEL, np.stack(list(estimate.sd.values()), 1) * TO_KERNEL
    margin = float(chdtri(1, 1 - level)) * estimate.noise_sd**2
    ends = np.full((estimate.n_voxels, 3, 2), np.nan)
    ready = np.isfinite(theta).all(axis=1) & np.isfinite(margin)

    def work(part: slice) -> None:
        rows = np.arange(part.start, part.stop)[ready[part]]
        if merged:
            u, scatter = np.ascontiguousarray(signals[rows]), 0.0 * rows
        else:
            u, scatter = reduced.merge(signals[rows].astype(float))
        s0 = np.full((rows.size, reduced.n_series), np.nan) if given is None else given[rows]
        out = np.empty((rows.size, 3, 2))
        profile_ends(
            u, reduced.b, reduced.root_weight, reduced.pointer, reduced.mixing_time, reduced.filtered, s0, low, high, rates,
            theta[rows], estimate.cost[rows] - scatter, margin[rows], sd[rows], out,
        )  # fmt: skip
        ends[rows] = out

    run_chunks(work, estimate.n_voxels, threads=threads, progress=None, chunk=2048)
    ends /= TO_KERNEL[:, None]
    interval = {name: (ends[:, p, 0], ends[:, p, 1]) for p, name in enumerate(model.parameter_names)}
    return dataclasses.replace(estimate, interval=interval, interval_level=level)
