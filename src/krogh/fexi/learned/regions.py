"""The posterior of the mean of a region: its own prior, and how uncertain that prior is.

The voxels of a region are given a prior of their own (one Gaussian on the logit scale and the background), which they themselves
leave more or less open. Under each of the priors phi_s drawn from what they leave open, with shares w_s, the voxels are
independent, so that their mean has

    m_s = mean_v E(theta | y_v, phi_s),    V_s = sum_v Var(theta | y_v, phi_s) / n^2.

The posterior is the mixture over s with shares w_s of beta distributions within the bounds that have these moments. At low SNR
most of its spread is that of the m_s: a prior taken as known gives intervals that are many times too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtr

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned._masses import UNLIKELY
from krogh.fexi.learned.ascend import curvature
from krogh.fexi.learned.dictionary import finer
from krogh.fexi.learned.hyperposterior import Draws, draw_priors, normal_priors
from krogh.fexi.learned.learn import GridEvidence, climb
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.start import first_guess
from krogh.fexi.protocol import Protocol

__all__ = ["RegionPosterior", "region_posterior"]

FloatArray = NDArray[np.float64]
_CHUNK = 256
_WORTH, _MOMENTS = 100, 128
#: Likelihoods [voxel x atom] that are kept between sums.
_STORE = 25_000_000
#: Voxels from which what they leave open about their prior is taken as normal, and draws of it that are then made.
_MANY, _NORMAL = 1_000, 32


@dataclass(frozen=True)
class RegionPosterior:
    """Hold the posterior of the mean parameters of a region, SI.

    Attributes
    ----------
    share : array [draw]
        Of each prior.
    means, sds : arrays [draw, param]
        Posterior mean and SD of the mean over the voxels under each prior.
    prior : MixturePrior
        The most probable one.
    worth : float
        Independent draws that the draws of the prior are worth.
    """

    n_voxels: int
    share: FloatArray
    means: FloatArray
    sds: FloatArray
    bounds: FloatArray
    prior: MixturePrior
    converged: bool
    worth: float

    @property
    def mean(self) -> FloatArray:
        """Posterior mean [param]."""
        return np.asarray(self.share @ self.means)

    @property
    def sd(self) -> FloatArray:
        """Posterior SD [param]."""
        return np.sqrt(self.share @ (self.sds**2 + (self.means - self.mean) ** 2))

    def cdf(self, value: FloatArray) -> FloatArray:
        """Return the posterior probability of a smaller mean than `value` [..., param]."""
        low, width = self.bounds[:, 0], np.ptp(self.bounds, axis=1)
        m = np.clip((self.means - low) / width, 1e-12, 1 - 1e-12)
        count = np.maximum(m * (1 - m) / np.maximum((self.sds / width) ** 2, 1e-300) - 1, 1e-3)
        x = np.clip((np.asarray(value) - low) / width, 0, 1)
        each = betainc(m * count, (1 - m) * count, x[..., None, :])
        return np.asarray(np.einsum("...sp,s->...p", each, self.share))

    def interval(self, z: float = 1.959964) -> tuple[FloatArray, FloatArray]:
        """Return the quantiles [param] that leave out as much on either side as -+ `z` SD of a normal (1.96: 95 %)."""
        low, high = self.quantile(float(ndtr(-z))), self.quantile(float(ndtr(z)))
        return low, high

    def quantile(self, level: float) -> FloatArray:
        """Return the value [param] below which the mean lies with probability `level`."""
        low, high = self.bounds.T.copy()
        for _ in range(50):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))


def region_posterior(
    model: SignalModel,
    protocol: Protocol,
    problem: Problem,
    signals: FloatArray,
    s0: FloatArray | None = None,
    *,
    prior: MixturePrior | None = None,
    threads: int = 1,
) -> RegionPosterior:
    """Return the posterior of the mean over the voxels of `problem`, all of one region.

    Parameters
    ----------
    signals : array [voxel, volume]
        Their signals.
    s0 : array [voxel, series], optional
        Their S0 where it is known.
    prior : MixturePrior, optional
        Their prior where it is known; otherwise it is drawn from what they leave open about it.
    """
    sums = _Sums(problem.on(finer(problem.grid, model, protocol)), threads)
    if prior is None:
        start = first_guess(model, protocol, signals, s0, n_components=1)
        prior, some, converged = _drawn(problem, sums, start, threads)
    else:
        some, converged = Draws([prior], np.ones(1), 1.0), True
    means, sds = sums.moments(some)
    return RegionPosterior(problem.n_voxels, some.share, means, sds, model.bounds, prior, converged, some.worth)


def _drawn(problem: Problem, sums: _Sums, start: MixturePrior, threads: int) -> tuple[MixturePrior, Draws, bool]:
    """Return the most probable prior, draws of it, and whether the climb to it ended at a maximum."""
    many = problem.n_voxels >= _MANY
    found = climb(problem, start, em_rounds=3 if many else 0, threads=threads)  # expectation maximisation may drop what few need
    if not many:
        problem = sums.problem
        found = climb(problem, found.prior, em_rounds=0, threads=threads)
    best, evidence = found.prior, GridEvidence(problem, threads)
    _, state = evidence.value(best)
    matrix = curvature(best, evidence.slope(best, state), evidence.information(best, state))
    if many:
        return best, normal_priors(best, matrix, _NORMAL), found.converged
    some = draw_priors(best, matrix[1:, 1:], sums.log_evidence, per_round=256, worth=_WORTH).resample(_MOMENTS)
    return best, some, found.converged


@dataclass(frozen=True)
class _Part:
    """Hold some voxels: L_v / max L_v [voxel, atom], ln max L_v [voxel], and the sums of L, L x and L x^2 over the background."""

    likely: NDArray[np.float32]
    top: FloatArray
    background: FloatArray


@dataclass(frozen=True)
class _Sums:
    """Sums over the atoms of the dictionary under many priors at once: products of matrices."""

    problem: Problem
    threads: int
    kept: dict[int, _Part] = field(default_factory=dict)

    @cached_property
    def powers(self) -> FloatArray:
        """Return 1, x and x^2 of every atom, x the parameters within their bounds [1 + 2 param, atom]."""
        grid = self.problem.grid
        x = ((grid.theta - grid.bounds[:, 0]) / np.ptp(grid.bounds, axis=1)).T
        return np.concatenate([np.ones((1, grid.n_atoms)), x, x**2])

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
        found = _Part(likely, top, likely @ (self.powers * grid.background()).T)
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
        mass, weight = self.problem.grid.gaussians(draws.priors), np.array([g.weight[0] for g in draws.priors])
        powers = self.powers.astype(np.float32)

        def reduce(p: _Part) -> FloatArray:
            sums = np.stack([(p.likely * y) @ mass + b[:, None] * weight for y, b in zip(powers, p.background.T, strict=True)])
            first, second = np.split(sums[1:] / sums[0], [n_par])
            return np.stack([first.sum(axis=1), np.maximum(second - first**2, 0).sum(axis=1)])

        first, variance = self._reduce(reduce)
        return low + scale * first.T / n, scale * np.sqrt(variance.T) / n
