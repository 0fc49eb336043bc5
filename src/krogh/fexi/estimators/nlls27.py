"""Least squares by L-BFGS-B from 27 starts: the classic baseline, kept to compare with.

The 3 x 3 x 3 interior points of the box are the starts, the lowest end point is kept. One voxel at a time, tens of
milliseconds each; ``nlls`` minimises the same cost.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from krogh.fexi.estimators._assemble import assemble, known_s0
from krogh.fexi.estimators._reduce import check_signals, input_flags
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "profiled_cost", "starts"]

FloatArray = NDArray[np.float64]


def starts(per_axis: int, n_parameters: int) -> FloatArray:
    """Return the interior grid of the unit box, e.g. 1/4, 1/2, 3/4 along each axis [start, param]."""
    inner = np.linspace(0.0, 1.0, per_axis + 2)[1:-1]
    return np.array(list(itertools.product(inner, repeat=n_parameters)))


def profiled_cost(
    model: SignalModel, protocol: Protocol, theta: FloatArray, y: FloatArray, w: FloatArray, s0: FloatArray | None
) -> tuple[float, FloatArray]:
    """Return ``sum w (y - S0 shape)^2`` of one voxel with S0 [series] given or eliminated, and that S0."""
    shape = model.shape(theta[None], protocol)[0]
    series = protocol.series_index
    if s0 is None:
        s0 = np.bincount(series, w * y * shape) / np.bincount(series, w * shape * shape)
    residual = y - s0[series] * shape
    return float(np.sum(w * residual * residual)), s0


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    s0: str | ArrayLike = "per-series",
    weights: ArrayLike | None = None,
    starts_per_axis: int = 3,
    ftol: float = 1e-15,
    gtol: float = 1e-10,
    **settings: Any,
) -> Estimate:
    """Fit every voxel from ``starts_per_axis ** n_parameters`` starts (settings as in :func:`krogh.fexi.estimators.nlls.fit`).

    `ftol` and `gtol` are scipy's, set tight here so that the minimum is a reference (the classic code used 2.2e-9 and 1e-5).
    Runs on one thread whatever `threads` says; the gradient is scipy's finite difference, as in the classic code.
    """
    y_all = check_signals(signals, protocol).astype(float)
    w = np.ones(protocol.n_volumes) if weights is None else np.asarray(weights, float)
    n, low, width = y_all.shape[0], model.bounds[:, 0], np.ptp(model.bounds, axis=1)
    given = known_s0(s0, n, protocol.n_series)
    flag = input_flags(y_all)
    theta, s0_fit, cost = np.full((n, low.size), np.nan), np.full((n, protocol.n_series), np.nan), np.full(n, np.nan)
    first = starts(starts_per_axis, low.size)
    for v in range(n):
        if progress is not None and v % 10 == 0:
            progress(v, n)
        if flag[v] != Flag.OK:
            continue
        y, known = y_all[v], None if given is None else given[v]

        def objective(unit: FloatArray, y: FloatArray = y, known: FloatArray | None = known) -> float:
            return profiled_cost(model, protocol, low + width * unit, y, w, known)[0]

        options = {"ftol": ftol, "gtol": gtol}
        runs = [minimize(objective, x, method="L-BFGS-B", bounds=[(0.0, 1.0)] * low.size, options=options) for x in first]
        best = min(runs, key=lambda run: run.fun)
        theta[v] = low + width * best.x
        cost[v], s0_fit[v] = profiled_cost(model, protocol, theta[v], y, w, known)
    if progress is not None:
        progress(n, n)
    return assemble(model, protocol, y_all, theta, s0_fit, cost, flag, noise_sd, w, "nlls27", given is None, **settings)
