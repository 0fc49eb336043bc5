"""Draw priors from what voxels leave open about them: importance sampling around the most probable one.

With phi the numbers of a mixture in the coordinates z of :mod:`krogh.fexi.learned.hyperprior` around the most probable one,

    p(z | Y) ~ prod_v L_v(phi(z)) h(phi(z)) |d (mean, log SDs, correlations) / d z|

is drawn in rounds from multivariate t distributions, the first with the curvature at the top, the others with the moments of the
draws so far; every draw is weighted by the mean density of all rounds (adaptive multiple importance sampling, Cornuet 2012,
10.1111/j.1467-9469.2011.00756.x). A few dozen voxels leave a distribution that is far from normal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, ndtri
from scipy.stats import chi2, qmc

from krogh.fexi.learned.hyperprior import move, penalty
from krogh.fexi.learned.occam import log_change
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["Draws", "draw_priors"]

FloatArray = NDArray[np.float64]
_FREEDOM, _ROUNDS = 5.0, 6


@dataclass(frozen=True)
class Draws:
    """Hold priors, their shares [draw] of the posterior, and how many independent draws they are worth."""

    priors: list[MixturePrior]
    share: FloatArray
    worth: float

    def resample(self, count: int) -> Draws:
        """Return at most `count` of the priors, evenly along the cumulative share, equal ones joined."""
        place = np.searchsorted(np.cumsum(self.share), (np.arange(count) + 0.5) / count)
        which, times = np.unique(np.minimum(place, self.share.size - 1), return_counts=True)
        return Draws([self.priors[i] for i in which], times / count, self.worth)


@dataclass(frozen=True)
class _Student:
    """Multivariate t with 5 degrees of freedom."""

    centre: FloatArray
    root: FloatArray

    def draw(self, even: FloatArray) -> FloatArray:
        """Return draws from `even` points of the unit cube [draw, 1 + coordinate]."""
        stretch = np.sqrt(_FREEDOM / chi2.ppf(even[:, 0], _FREEDOM))
        return np.asarray(self.centre + stretch[:, None] * ndtri(even[:, 1:]) @ self.root.T)

    def log_density(self, z: FloatArray) -> FloatArray:
        """Return ln density [draw]."""
        n = self.centre.size
        distance = np.sum(np.linalg.solve(self.root, (z - self.centre).T) ** 2, axis=0)
        norm = gammaln((_FREEDOM + n) / 2) - gammaln(_FREEDOM / 2) - 0.5 * n * np.log(_FREEDOM * np.pi)
        return np.asarray(norm - np.log(np.diag(self.root)).sum() - 0.5 * (_FREEDOM + n) * np.log1p(distance / _FREEDOM))


def draw_priors(
    best: MixturePrior,
    curvature: FloatArray,
    log_evidence: Callable[[list[MixturePrior]], FloatArray],
    *,
    per_round: int,
    worth: float,
) -> Draws:
    """Return weighted priors around `best`, in rounds until they are worth `worth` independent ones (at most six).

    Parameters
    ----------
    curvature : array [coordinate, coordinate]
        Minus the curvature of ln posterior at `best`, without the first coordinate (the logit of the background is held).
    log_evidence : callable
        ln p(Y | prior) [draw] of each of a list of priors.
    per_round : int
        Draws of a round, a power of 2.
    """
    size = curvature.shape[0]
    sobol = qmc.Sobol(size + 1, scramble=True, rng=np.random.default_rng(20240229))
    rounds = [_Student(np.zeros(size), np.linalg.cholesky(np.linalg.inv(curvature)))]
    z, log_p, priors = np.empty((0, size)), np.empty(0), []
    while True:
        new = rounds[-1].draw(np.clip(sobol.random(per_round), 1e-9, 1 - 1e-9))
        drawn = [move(best, step) for step in np.c_[np.zeros(per_round), new]]
        value = log_evidence(drawn) + [penalty(g) + sum(log_change(best, k, g) for k in range(g.n_components)) for g in drawn]
        z, log_p = np.concatenate([z, new]), np.concatenate([log_p, np.where(np.isfinite(value), value, -np.inf)])
        priors += drawn
        log_share = log_p - logsumexp([q.log_density(z) for q in rounds], axis=0)
        share = np.exp(log_share - logsumexp(log_share))
        draws = Draws(priors, share, float(1 / np.sum(share**2)))
        if draws.worth >= worth or len(rounds) == _ROUNDS:
            return draws
        rounds.append(_fitted(z, share))


def _fitted(z: FloatArray, share: FloatArray) -> _Student:
    """Return the t distribution with the moments of the draws, none of which counts for more than a fiftieth."""
    tame = np.minimum(share, 0.02)
    tame /= tame.sum()
    centre = tame @ z
    d = z - centre
    cov = (d * tame[:, None]).T @ d
    return _Student(centre, np.linalg.cholesky(cov + 1e-6 * np.diag(np.diag(cov))))
