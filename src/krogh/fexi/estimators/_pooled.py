"""The work behind ``pooled``: scatter matrices, the one-voxel problem, noise and intervals."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from krogh.fexi.estimators._assemble import on_bound
from krogh.fexi.estimators._profile import add_intervals
from krogh.fexi.estimators._reduce import Reduced, pseudo_series
from krogh.fexi.estimators._search import TO_KERNEL, search_axr
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["Problem", "solve"]

FloatArray = NDArray[np.float64]
_MAX_ROUNDS = 100
_SETTLED = 1e-6


@dataclass(frozen=True)
class Problem:
    """Voxels, their regions and their noise."""

    model: SignalModel
    protocol: Protocol
    reduced: Reduced
    signals: FloatArray
    region: NDArray[np.int64]
    usable: NDArray[np.bool_]
    noise_sd: FloatArray | None

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the regions with usable voxels, ascending."""
        return np.unique(self.region[self.usable])

    @cached_property
    def member(self) -> NDArray[np.int64]:
        """Position in `labels` of the region of each usable voxel."""
        return np.searchsorted(self.labels, self.region[self.usable])

    @cached_property
    def n_voxels(self) -> NDArray[np.int64]:
        """Number of usable voxels of each region."""
        return np.bincount(self.member, minlength=self.labels.size)


def _scatter(p: Problem, y: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Return M of every series [region, group, group], in units of the noise where it is known, and the scatter of repeats."""
    labels, member = p.labels, p.member
    u, repeats = p.reduced.merge(y[p.usable])
    if p.noise_sd is not None:
        u = u / p.noise_sd[p.usable][:, None]
        repeats = repeats / p.noise_sd[p.usable] ** 2
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(labels.size + 1))
    u = u[order]
    out = []
    for s in range(p.reduced.n_series):
        part = u[:, p.reduced.pointer[s] : p.reduced.pointer[s + 1]]
        out.append(np.stack([part[a:b].T @ part[a:b] for a, b in itertools.pairwise(starts)]))
    extra = np.bincount(member, np.broadcast_to(repeats, member.shape), labels.size).astype(float)
    return out, extra


def _fitted(p: Problem, y: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return S0 [voxel, series] and the fitted signal [voxel, volume] of every usable voxel; theta [region, 3] in SI."""
    shape = p.model.shape(theta, p.protocol)[p.member]
    w = p.reduced.weight
    pick = (p.protocol.series_index[:, None] == np.arange(p.protocol.n_series)).astype(float)
    s0 = ((w * y[p.usable] * shape) @ pick) / ((w * shape * shape) @ pick)
    return s0, s0[:, p.protocol.series_index] * shape


def _noise(p: Problem, squares: FloatArray, rician: bool, y: FloatArray, fitted: FloatArray) -> FloatArray:
    """Return the noise SD of every region from its residuals.

    Under Rician noise both channels count: the mean of y^2 - 2 A E[in-phase part] + A^2 is 2 sd^2.
    """
    n_volumes, n_series = p.protocol.n_volumes, p.protocol.n_series
    degrees = p.n_voxels * (n_volumes - n_series) - 3.0
    if rician:
        w = p.reduced.weight
        both = np.sum(w * (p.signals[p.usable] ** 2 - 2 * fitted * y[p.usable] + fitted**2), axis=1)
        squares = np.bincount(p.member, both, p.labels.size).astype(float)
        degrees = degrees + p.n_voxels * n_volumes
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(degrees > 0, np.sqrt(squares / degrees), np.nan)


def _in_phase(p: Problem, fitted: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the signals with y replaced by its expected in-phase part y I1(z)/I0(z), z = y A / sd^2 (the E step)."""
    z = np.maximum(p.signals[p.usable], 0.0) * np.maximum(fitted, 0.0) / sd[:, None] ** 2
    out = p.signals.copy()
    out[p.usable] *= i1e(z) / i0e(z)
    return out


def solve(p: Problem, *, rician: bool, intervals: bool, level: float, threads: int, progress: Progress | None) -> Estimate:
    """Return the estimate of every region."""
    y, theta, moved = p.signals, np.zeros((p.labels.size, 3)), np.full(p.labels.size, np.inf)
    for turn in range(_MAX_ROUNDS if rician else 1):
        scatter, repeats = _scatter(p, y)
        wide, u = pseudo_series(p.reduced, scatter)
        found, _, unit_sd, cost, state = search_axr(wide, u, None, p.model.bounds)
        moved, theta = np.abs(found - theta).max(axis=1), found
        s0, fitted = _fitted(p, y, theta / TO_KERNEL)
        known = p.noise_sd is not None
        noise = np.ones(p.labels.size) if known else _noise(p, cost + repeats, rician and turn > 0, y, fitted)
        if not rician or moved.max() < _SETTLED:
            break
        y = _in_phase(p, fitted, noise[p.member] if p.noise_sd is None else p.noise_sd[p.usable])
    if progress is not None:
        progress(int(p.usable.sum()), int(p.usable.sum()))
    good = (state != 1) & ((moved < 1e-3) | (not rician))
    theta = np.where(good[:, None], theta, np.nan) / TO_KERNEL
    bound = on_bound(theta, p.model.bounds)
    sd = np.where(bound, np.nan, unit_sd * noise[:, None] / TO_KERNEL)
    flag = np.where(good, Flag.OK, Flag.NOT_CONVERGED).astype(np.uint8)
    flag[good & bound.any(axis=1)] = Flag.ON_BOUND
    flag[good & ~bound.any(axis=1) & (state == 2)] = Flag.NOT_IDENTIFIABLE
    estimate = _estimate(p, theta, sd, s0, fitted, cost, flag, noise)
    if intervals:
        estimate = add_intervals(estimate, p.model, wide, u, None, level=level, threads=threads, merged=True)
    shown = noise if p.noise_sd is None else np.bincount(p.member, p.noise_sd[p.usable], p.labels.size) / p.n_voxels
    return dataclasses.replace(estimate, cost=cost + repeats, noise_sd=shown)


def _estimate(
    p: Problem,
    theta: FloatArray,
    sd: FloatArray,
    s0: FloatArray,
    fitted: FloatArray,
    cost: FloatArray,
    flag: NDArray[np.uint8],
    noise: FloatArray,
) -> Estimate:
    """Return the estimate of all regions, without intervals."""
    count = p.labels.size
    s0_voxels = np.full((p.signals.shape[0], p.protocol.n_series), np.nan)
    s0_voxels[p.usable] = s0
    squares = np.mean((p.signals[p.usable] - fitted) ** 2, axis=1)
    names = p.model.parameter_names
    return Estimate(
        parameters={name: theta[:, k] for k, name in enumerate(names)},
        sd={name: sd[:, k] for k, name in enumerate(names)},
        s0=np.stack([np.bincount(p.member, column, count) / p.n_voxels for column in s0.T], 1),
        rmse=np.sqrt(np.bincount(p.member, squares, count) / p.n_voxels),
        cost=cost,
        flag=flag,
        estimator="pooled",
        model=p.model.name,
        noise_sd=noise,
        notes=() if p.noise_sd is not None else ("noise SD of each region estimated from its residuals",),
        extra={"labels": p.labels, "n_voxels": p.n_voxels, "s0_voxels": s0_voxels},
    )
