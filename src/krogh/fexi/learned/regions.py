"""The posterior of the mean of a region: its own prior, and how uncertain that prior is.

The voxels of a region are given a prior of their own (one Gaussian on the logit scale and the background), which they themselves
leave more or less open. Under each of the priors phi_s drawn from what they leave open, with shares w_s, the voxels are
independent, so that their mean has

    m_s = mean_v E(theta | y_v, phi_s),    V_s = sum_v Var(theta | y_v, phi_s) / n^2.

The posterior is the mixture over s with shares w_s of beta distributions within the bounds that have these moments. At low SNR
most of its spread is that of the m_s: a prior taken as known gives intervals that are many times too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtr

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.ascend import curvature
from krogh.fexi.learned.graded import graded
from krogh.fexi.learned.hyperposterior import Draws, draw_priors, normal_priors
from krogh.fexi.learned.learn import GridEvidence, climb
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.region_sums import RegionSums
from krogh.fexi.learned.start import first_guess
from krogh.fexi.protocol import Protocol

__all__ = ["RegionPosterior", "region_posterior"]

FloatArray = NDArray[np.float64]
_WORTH, _MOMENTS = 100, 128
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
        The most probable one (medians even between the bounds).
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

    Raises
    ------
    InputError
        If a given `prior` holds no tissue that these voxels could be.
    """
    if prior is None:
        start = first_guess(model, protocol, signals, s0, n_components=1)
        prior, some, sums, converged = _drawn(problem, start, threads)
    else:
        some, converged = Draws([prior], np.ones(1), 1.0), True
        sums = RegionSums(problem.on(graded(problem.grid, [prior])), threads)
    means, sds = sums.moments(some)
    if not np.isfinite(means).all():
        raise InputError("prior", got="one without any tissue that these voxels could be", expected="one with a background")
    return RegionPosterior(problem.n_voxels, some.share, means, sds, model.bounds, prior, converged, some.worth)


def _drawn(problem: Problem, start: MixturePrior, threads: int) -> tuple[MixturePrior, Draws, RegionSums, bool]:
    """Return the most probable prior, draws of it, what sums over them, and whether the climb to it ended at a maximum."""
    grid, many = problem.grid, problem.n_voxels >= _MANY
    near = climb(problem, start, em_rounds=3 if many else 0, threads=threads)  # expectation maximisation may drop what few need
    problem = problem.on(graded(grid, [near.prior]))
    found = climb(problem, near.prior, em_rounds=0, threads=threads)
    best, evidence = found.prior, GridEvidence(problem, threads)
    if not best.n_components:  # they ask for no Gaussian
        return best, Draws([best], np.ones(1), 1.0), RegionSums(problem, threads), found.converged
    _, state = evidence.value(best)
    matrix = curvature(best, evidence.slope(best, state), evidence.information(best, state))
    normal = normal_priors(best, matrix, _NORMAL)
    sums = RegionSums(problem.on(graded(grid, normal.priors)), threads)
    if many:
        return best, normal, sums, found.converged
    some = draw_priors(best, matrix[1:, 1:], sums.log_evidence, per_round=256, worth=_WORTH).resample(_MOMENTS)
    return best, some, sums, found.converged
