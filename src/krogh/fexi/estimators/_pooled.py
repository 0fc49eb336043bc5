"""The work behind ``pooled``: scatter matrices, the one-voxel problem, noise and intervals."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from krogh.fexi.estimators._assemble import on_bound
from krogh.fexi.estimators._profile import add_intervals
from krogh.fexi.estimators._reduce import Reduced
from krogh.fexi.estimators.nlls import _TO_KERNEL, search_axr
from krogh.fexi.estimators.pooled import pseudo_series
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["Problem", "solve"]

FloatArray = NDArray[np.float64]
_MAX_ROUNDS = 50


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

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the regions with usable voxels, ascending."""
        return np.unique(self.region[self.usable])


def _scatter(p: Problem, y: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Return M of every series [region, group, group], in units of the noise where it is known, and the scatter of repeats."""
    labels = p.labels
    member = np.searchsorted(labels, p.region[p.usable])
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


def _voxel_s0(p: Problem, y: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return S0 [voxel, series] and the shape [voxel, volume] of the fitted region for every usable voxel."""
    member = np.searchsorted(p.labels, p.region[p.usable])
    shape = p.model.shape(theta, p.protocol)[member]
    w = p.reduced.weight
    pick = (p.protocol.series_index[:, None] == np.arange(p.protocol.n_series)).astype(float)
    return ((w * y[p.usable] * shape) @ pick) / ((w * shape * shape) @ pick), shape


def _rician_means(p: Problem, theta: FloatArray, level: FloatArray, sd: FloatArray, y: FloatArray) -> FloatArray:
    """Return the expected noise-free-phase signal y I1/I0(y A / sd^2), the E step of Rician maximum likelihood."""
    s0, shape = level, p.model.shape(theta, p.protocol)[np.searchsorted(p.labels, p.region[p.usable])]
    amplitude = np.maximum(s0, 0.0)[:, p.protocol.series_index] * shape
    x = np.maximum(p.signals[p.usable], 0.0) * amplitude / sd[:, None] ** 2
    corrected = y.copy()
    corrected[p.usable] = p.signals[p.usable] * i1e(x) / i0e(x)
    return corrected


def solve(p: Problem, *, rician: bool, intervals: bool, level: float, threads: int, progress: Progress | None) -> Estimate:
    """Return the estimate of every region."""
    labels, y = p.labels, p.signals
    n_voxels = np.bincount(np.searchsorted(labels, p.region[p.usable]), minlength=labels.size)
    degrees = n_voxels * (p.protocol.n_volumes - p.protocol.n_series) - 3.0
    rounds = _MAX_ROUNDS if rician else 1
    theta = np.zeros((labels.size, 3))
    notes: list[str] = []
    for turn in range(rounds):
        scatter, repeats = _scatter(p, y)
        wide, u = pseudo_series(p.reduced, scatter)
        found, _, sd, cost, state = search_axr(wide, u, None, p.model.bounds)
        moved = np.abs(found - theta).max() if turn else np.inf
        theta = found
        s0, _ = _voxel_s0(p, y, theta / _TO_KERNEL)
        if p.noise_sd is None:
            with np.errstate(invalid="ignore", divide="ignore"):
                sd_region = np.where(degrees > 0, np.sqrt((cost + repeats) / degrees), np.nan)
        else:
            sd_region = np.ones(labels.size)
        if not rician or moved < 1e-7:
            break
        member = np.searchsorted(labels, p.region[p.usable])
        sd_voxel = sd_region[member] if p.noise_sd is None else p.noise_sd[p.usable]
        y = _rician_means(p, theta / _TO_KERNEL, s0, sd_voxel, y)
    if progress is not None:
        progress(int(p.usable.sum()), int(p.usable.sum()))
    if p.noise_sd is None:
        notes.append("noise SD of each region estimated from its residuals")
    good, regular = state != 1, state != 2
    sd = sd * sd_region[:, None] / _TO_KERNEL
    bound = on_bound(theta / _TO_KERNEL, p.model.bounds)
    sd[bound] = np.nan
    flag = np.where(good, Flag.OK, Flag.NOT_CONVERGED).astype(np.uint8)
    flag[(flag == Flag.OK) & bound.any(axis=1)] = Flag.ON_BOUND
    flag[(flag == Flag.OK) & ~regular] = Flag.NOT_IDENTIFIABLE
    theta = np.where(good[:, None], theta, np.nan) / _TO_KERNEL
    member = np.searchsorted(labels, p.region[p.usable])
    s0_mean = np.stack([np.bincount(member, column, labels.size) / n_voxels for column in s0.T], 1)
    s0_voxels = np.full((p.signals.shape[0], p.protocol.n_series), np.nan)
    s0_voxels[p.usable] = s0
    fitted = s0[:, p.protocol.series_index] * p.model.shape(theta, p.protocol)[member]
    squares = np.mean((p.signals[p.usable] - fitted) ** 2, axis=1)
    names = p.model.parameter_names
    estimate = Estimate(
        parameters={name: theta[:, k] for k, name in enumerate(names)},
        sd={name: sd[:, k] for k, name in enumerate(names)},
        s0=s0_mean, rmse=np.sqrt(np.bincount(member, squares, labels.size) / n_voxels), cost=cost + repeats, flag=flag,
        estimator="pooled", model=p.model.name, noise_sd=sd_region, notes=tuple(notes),
        extra={"labels": labels, "n_voxels": n_voxels, "s0_voxels": s0_voxels},
    )  # fmt: skip
    if not intervals:
        return estimate
    bare = dataclasses.replace(estimate, cost=cost)
    done = add_intervals(bare, p.model, wide, u, None, level=level, threads=threads, merged=True)
    return dataclasses.replace(done, cost=estimate.cost)
