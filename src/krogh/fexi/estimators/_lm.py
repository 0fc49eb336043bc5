"""Batched Levenberg-Marquardt within a box, for models with no search of their own (two compartments).

All voxels step together in numpy; S0 is eliminated (variable projection, Kaufman's approximation), the parameters live in the
unit box. Several starts; the lowest end is kept. That is a good search, not a proof of the global optimum.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.estimators._assemble import assemble, known_s0
from krogh.fexi.estimators._reduce import check_signals, input_flags
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit_batched", "minimise"]

FloatArray = NDArray[np.float64]
_MAX_STEPS = 200
_CHUNK = 4096


class _Voxels:
    """Evaluate cost, gradient and Gauss-Newton matrix of a batch in the unit box."""

    def __init__(self, model: SignalModel, protocol: Protocol, weights: FloatArray, y: FloatArray, s0: FloatArray | None) -> None:
        self.model, self.protocol, self.w, self.y, self.s0 = model, protocol, weights, y, s0
        self.low, self.width = model.bounds[:, 0], np.ptp(model.bounds, axis=1)
        self.series = protocol.series_index
        self.member = (self.series[:, None] == np.arange(protocol.n_series)).astype(float)

    def level(self, rows: NDArray[np.int64], shape: FloatArray) -> FloatArray:
        """Return S0 [voxel, series], given or best."""
        if self.s0 is not None:
            return self.s0[rows]
        return ((self.w * self.y[rows] * shape) @ self.member) / ((self.w * shape * shape) @ self.member)

    def cost(self, rows: NDArray[np.int64], unit: FloatArray) -> FloatArray:
        """Return the weighted sum of squares [voxel]."""
        shape = self.model.shape(self.low + self.width * unit, self.protocol)
        residual = self.y[rows] - self.level(rows, shape)[:, self.series] * shape
        return np.sum(self.w * residual * residual, axis=1)

    def quadratic(self, rows: NDArray[np.int64], unit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return half the gradient [voxel, param] and half the Gauss-Newton matrix."""
        theta = self.low + self.width * unit
        shape = self.model.shape(theta, self.protocol)
        level = self.level(rows, shape)[:, self.series]
        jac = level[:, :, None] * self.model.shape_jacobian(theta, self.protocol) * self.width
        residual = self.y[rows] - level * shape
        if self.s0 is None:
            q = (self.w * shape * shape) @ self.member
            mean = np.einsum("vg,vgp,gs->vsp", self.w * shape, jac, self.member) / q[:, :, None]
            jac = jac - shape[:, :, None] * mean[:, self.series]
        weighted = jac * self.w[:, None]
        return -np.einsum("vgp,vg->vp", weighted, residual), np.einsum("vgp,vgq->vpq", weighted, jac)


def minimise(voxels: _Voxels, unit: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return the end point, cost and convergence of every voxel from `unit` [voxel, param]."""
    n, n_par = unit.shape
    unit, rows, eye = unit.copy(), np.arange(n), np.eye(n_par)
    cost, damping = voxels.cost(rows, unit), np.full(n, 1e-3)
    good = np.zeros(n, bool)
    floor = 1e-31 * np.sum(voxels.w * voxels.y**2, axis=1)
    for _ in range(_MAX_STEPS):
        if rows.size == 0:
            break
        here = unit[rows]
        grad, h = voxels.quadratic(rows, here)
        held = ((here <= 0) & (grad > 0)) | ((here >= 1) & (grad < 0))
        matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, h)
        diagonal = np.einsum("vpp->vp", h)
        shift = np.where(held, 1.0, damping[rows, None] * diagonal + 1e-15 * diagonal.max(axis=1, keepdims=True) + 1e-300)
        step = np.linalg.solve(matrix + eye * shift[:, :, None], np.where(held, 0.0, -grad)[:, :, None])[:, :, 0]
        trial = np.clip(here + step, 0.0, 1.0)
        moved = trial - here
        gain = -2 * np.sum(grad * moved, axis=1) - np.einsum("vp,vpq,vq->v", moved, h, moved)
        trial_cost = voxels.cost(rows, trial)
        better = trial_cost < cost[rows]
        settled = (np.abs(gain) <= 1e-12 * cost[rows] + floor[rows]) | (np.abs(moved).max(axis=1) < 1e-14)
        unit[rows[better]], cost[rows[better]] = trial[better], trial_cost[better]
        damping[rows] = np.where(better, np.maximum(damping[rows] * 0.1, 1e-12), damping[rows] * 8)
        stuck = damping[rows] > 1e9
        good[rows[settled | stuck]] = True
        rows = rows[~(settled | stuck)]
    return unit, cost, good


def fit_batched(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None,
    progress: Progress | None,
    threads: int,
    s0: str | ArrayLike,
    weights: ArrayLike | None,
    starts_per_axis: int = 2,
    **settings: Any,
) -> Estimate:
    """Fit any model from ``starts_per_axis ** n_parameters`` starts (settings as in ``nlls.fit``)."""
    from krogh.fexi.estimators._search import run_chunks

    y = check_signals(signals, protocol).astype(float)
    w = np.ones(protocol.n_volumes) if weights is None else np.asarray(weights, float)
    n, n_par = y.shape[0], len(model.parameter_names)
    given, flag = known_s0(s0, n, protocol.n_series), input_flags(y)
    theta, s0_fit = np.full((n, n_par), np.nan), np.full((n, protocol.n_series), np.nan)
    cost = np.full(n, np.nan)
    inner = (np.arange(starts_per_axis) + 0.5) / starts_per_axis
    first = np.array(list(itertools.product(inner, repeat=n_par)))

    def work(part: slice) -> None:
        rows = np.arange(part.start, part.stop)[flag[part] == Flag.OK]
        voxels = _Voxels(model, protocol, w, y[rows], None if given is None else given[rows])
        best, best_cost = np.zeros((rows.size, n_par)), np.full(rows.size, np.inf)
        best_good = np.zeros(rows.size, bool)
        for start in first:
            end, found, good = minimise(voxels, np.tile(start, (rows.size, 1)))
            lower = found < best_cost
            best[lower], best_cost[lower], best_good[lower] = end[lower], found[lower], good[lower]
        theta[rows], cost[rows] = voxels.low + voxels.width * best, best_cost
        s0_fit[rows] = voxels.level(np.arange(rows.size), model.shape(theta[rows], protocol))
        flag[rows[~best_good]] = Flag.NOT_CONVERGED

    run_chunks(work, n, threads=threads, progress=progress, chunk=_CHUNK)
    return assemble(model, protocol, y, theta, s0_fit, cost, flag, noise_sd, w, "nlls", given is None, **settings)
