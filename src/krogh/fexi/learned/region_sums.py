"""Sums over the atoms of a dictionary under many priors at once: ln evidence of all voxels of a region, and their moments.

In the evidence S0 is integrated out over 1 / S0, which learns nothing of the tissue from how bright a voxel is (see `_kernel`),
in the moments over a flat prior: L has a factor prod_s 1 / |e_s|, |e_s| being the length of the signals of series s for S0 = 1.
The mean over many voxels that are about as bright is off by some c / SNR^2 under S0^k, none for k = 1 where the signals decide
and for k = -1 where the prior does. With 1 / S0 in the moments too, the mean ADC of 64 voxels at SNR 50 was 0.14 SD low.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.learned._masses import UNLIKELY
from krogh.fexi.learned.hyperposterior import Draws
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["RegionSums"]

FloatArray = NDArray[np.float64]
_CHUNK = 256
#: Likelihoods [voxel x atom] that are kept between sums.
_STORE = 25_000_000


@dataclass(frozen=True)
class _Part:
    """Hold some voxels: L_v / max L_v [voxel, atom], ln max L_v [voxel], and sums of L times features over the background."""

    likely: NDArray[np.float32]
    top: FloatArray
    background: FloatArray


@dataclass(frozen=True)
class RegionSums:
    """Sums over the atoms of the dictionary under many priors at once: products of matrices."""

    problem: Problem
    threads: int
    kept: dict[int, _Part] = field(default_factory=dict)

    @cached_property
    def features(self) -> FloatArray:
        """Return 1, and q, q x and q x^2 of every atom [2 + 2 param, atom]: x parameter within bounds, q flat S0."""
        grid, square = self.problem.grid, self.problem.square
        x = ((grid.theta - grid.bounds[:, 0]) / np.ptp(grid.bounds, axis=1)).T
        one = np.ones((1, grid.n_atoms))
        q = one if self.problem.known else np.prod(square.min(axis=1)[:, None] / square, axis=0) ** 0.5
        return np.concatenate([one, q * np.concatenate([one, x, x**2])])

    def _reduce(self, reduce: Callable[[_Part], FloatArray]) -> FloatArray:
        """Return the sum over chunks of voxels of what `reduce` makes of them."""
        parts = [np.empty(0)] * math.ceil(self.problem.n_voxels / _CHUNK)

        def work(rows: slice) -> None:
            parts[rows.start // _CHUNK] = reduce(self._part(rows))

        run_chunks(work, self.problem.n_voxels, threads=self.threads, progress=None, chunk=_CHUNK)
        return np.asarray(np.sum(parts, axis=0))

    def _part(self, rows: slice) -> _Part:
        if rows.start in self.kept:
            return self.kept[rows.start]
        grid = self.problem.grid
        log_l = self.problem.log_likelihood(rows, np.arange(grid.n_atoms))
        top = log_l.max(axis=1)
        log_l -= top[:, None]
        likely = (np.exp(log_l) * (log_l > UNLIKELY)).astype(np.float32)
        found = _Part(likely, top, likely @ (self.features * grid.background()).T)
        if self.problem.n_voxels * grid.n_atoms <= _STORE:
            self.kept[rows.start] = found
        return found

    def log_evidence(self, priors: list[MixturePrior]) -> FloatArray:
        """Return ln p(Y | prior) of each prior but for a constant [draw]."""
        mass, weight = self.problem.grid.gaussians(priors), np.array([g.weight[0] for g in priors])
        return self._reduce(lambda p: (np.log(p.likely @ mass + p.background[:, :1] * weight) + p.top[:, None]).sum(axis=0))

    def moments(self, draws: Draws) -> tuple[FloatArray, FloatArray]:
        """Return mean and SD [draw, param] of the mean over the voxels under each prior."""
        grid, n = self.problem.grid, self.problem.n_voxels
        low, scale, n_par = grid.bounds[:, 0], np.ptp(grid.bounds, axis=1), grid.theta.shape[1]
        mass, weight = grid.gaussians(draws.priors), np.array([g.weight[0] for g in draws.priors])
        features = self.features[1:].astype(np.float32)

        def reduce(p: _Part) -> FloatArray:
            pairs = zip(features, p.background.T[1:], strict=True)
            sums = np.stack([(p.likely * f) @ mass + b[:, None] * weight for f, b in pairs])
            with np.errstate(invalid="ignore"):  # NaN where a given prior holds nothing that a voxel could be
                first, second = np.split(sums[1:] / sums[0], [n_par])
            return np.stack([first.sum(axis=1), np.maximum(second - first**2, 0).sum(axis=1)])

        first, variance = self._reduce(reduce)
        return low + scale * first.T / n, scale * np.sqrt(variance.T) / n
