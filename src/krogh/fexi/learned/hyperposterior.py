"""Draw priors from what voxels leave open about them: importance sampling around the most probable one, then a walk if needed.

In the coordinates z of :mod:`krogh.fexi.learned.coordinates` what is left open of the prior phi of one Gaussian is

    p(z | Y) ~ prod_v L_v(phi(z)) exp(-|z|^2 / 2).

It is drawn in rounds from multivariate t distributions, the first with the curvature at the top, the others with the moments of
the draws so far; every draw is weighted by the mean density of all rounds (adaptive multiple importance sampling, Cornuet 2012,
10.1111/j.1467-9469.2011.00756.x). A few dozen voxels may leave a distribution that is far from any t: where the draws stay worth
too few independent ones, a population drawn from them walks by differential evolution (ter Braak 2006,
10.1007/s11222-006-8769-1), which needs no shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, ndtri
from scipy.stats import chi2, qmc

from krogh.fexi.learned.coordinates import coordinates, prior_at
from krogh.fexi.learned.hyperprior import moves
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["Draws", "draw_priors", "normal_priors"]

FloatArray = NDArray[np.float64]
_FREEDOM, _ROUNDS = 5.0, 4
_DIFFERENCE = 1e-4
#: Walkers, and their sweeps; in every fifth a step may lead from one summit to another.
_WALKERS, _SWEEPS, _JUMP = 128, 48, 5


@dataclass(frozen=True)
class Draws:
    """Hold priors, their shares [draw] of the posterior, and how many independent draws they are worth."""

    priors: list[MixturePrior]
    share: FloatArray
    worth: float

    def resample(self, count: int) -> Draws:
        """Return at most `count` of the priors, evenly along the cumulative share, equal ones joined."""
        which, times = np.unique(_even(self.share, count), return_counts=True)
        return Draws([self.priors[i] for i in which], times / count, self.worth)


def _even(share: FloatArray, count: int) -> NDArray[np.intp]:
    """Return `count` places, evenly along the cumulative `share`."""
    return np.minimum(np.searchsorted(np.cumsum(share), (np.arange(count) + 0.5) / count), share.size - 1)


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


def normal_priors(best: MixturePrior, curvature: FloatArray, count: int) -> Draws:
    """Return `count` even draws (a power of 2) of the normal approximation at `best`, all coordinates being free."""
    root = np.linalg.cholesky(np.linalg.inv(curvature))
    even = qmc.Sobol(root.shape[0], scramble=True, rng=np.random.default_rng(20240229)).random(count)
    priors = moves(best, ndtri(np.clip(even, 1e-6, 1 - 1e-6)) @ root.T)
    return Draws(priors, np.full(count, 1 / count), float(count))


def draw_priors(
    best: MixturePrior,
    curvature: FloatArray,
    log_evidence: Callable[[list[MixturePrior]], FloatArray],
    *,
    per_round: int,
    worth: float,
) -> Draws:
    """Return weighted priors around `best`, in rounds until they are worth `worth` independent ones.

    Where four rounds do not reach that, 128 equal ones that walked on; `worth` is then that of the draws before the walk.

    Parameters
    ----------
    curvature : array [coordinate, coordinate]
        Minus the curvature of ln posterior at `best`, without the first coordinate (the logit of the background is held).
    log_evidence : callable
        ln p(Y | prior) [draw] of each of a list of priors.
    per_round : int
        Draws of a round, a power of 2.
    """
    target, centre = _Target(best.bounds, log_evidence), coordinates([best])[0]
    size = centre.size
    sobol = qmc.Sobol(size + 1, scramble=True, rng=np.random.default_rng(20240229))
    change = _change(best)
    rounds = [_Student(centre, np.asarray(np.linalg.cholesky(change @ np.linalg.inv(curvature) @ change.T), float))]
    z, log_p = np.empty((0, size)), np.empty(0)
    while True:
        new = rounds[-1].draw(np.clip(sobol.random(per_round), 1e-9, 1 - 1e-9))
        z, log_p = np.concatenate([z, new]), np.concatenate([log_p, target(new)])
        log_share = log_p - logsumexp([q.log_density(z) for q in rounds], axis=0)
        share = np.exp(log_share - logsumexp(log_share))
        reached = float(1 / np.sum(share**2))
        if reached >= worth:
            return Draws(target.priors(z), share, reached)
        if len(rounds) == _ROUNDS:
            break
        rounds.append(_fitted(z, share))
    place = _even(_tame(share), _WALKERS)
    walked = _walk(target, z[place], log_p[place], _fitted(z, share).root)
    return Draws(target.priors(walked), np.full(_WALKERS, 1 / _WALKERS), reached)


@dataclass(frozen=True)
class _Target:
    """ln posterior of priors at their coordinates."""

    bounds: FloatArray
    log_evidence: Callable[[list[MixturePrior]], FloatArray]

    def priors(self, z: FloatArray) -> list[MixturePrior]:
        return prior_at(z, self.bounds)

    def __call__(self, z: FloatArray) -> FloatArray:
        value = self.log_evidence(self.priors(z)) - 0.5 * np.sum(z**2, axis=1)
        return np.where(np.isfinite(value), value, -np.inf)


def _change(best: MixturePrior) -> FloatArray:
    """Return d z / d step at `best`, of the steps of :func:`krogh.fexi.learned.hyperprior.moves` but the first."""
    size = coordinates([best]).shape[1]
    steps = _DIFFERENCE * np.eye(size + 1)[1:]
    after, before = (coordinates(moves(best, sign * steps)) for sign in (1, -1))
    return np.asarray((after - before).T / (2 * _DIFFERENCE))


def _walk(target: _Target, z: FloatArray, log_p: FloatArray, root: FloatArray) -> FloatArray:
    """Return the population `z` [walker, coordinate] after its sweeps; each half moves by differences within the other."""
    rng, (n, size) = np.random.default_rng(20060301), z.shape
    order = rng.permutation(n)
    halves = order[: n // 2], order[n // 2 :]
    for sweep in range(_SWEEPS):
        length = 1.0 if sweep % _JUMP == _JUMP - 1 else 2.38 / np.sqrt(2 * size)
        for here, there in (halves, halves[::-1]):
            first, second = rng.integers(there.size, size=(2, here.size))
            jitter = 0.1 * rng.standard_normal((here.size, size)) @ root.T
            trial = z[here] + length * (z[there[first]] - z[there[second]]) + jitter
            value = target(trial)
            taken = np.log(rng.random(here.size)) < value - log_p[here]
            z[here[taken]], log_p[here[taken]] = trial[taken], value[taken]
    return z


def _tame(share: FloatArray) -> FloatArray:
    """Return shares of which none is more than a fiftieth before they are made to add to 1."""
    tame = np.minimum(share, 0.02)
    return np.asarray(tame / tame.sum())


def _fitted(z: FloatArray, share: FloatArray) -> _Student:
    """Return the t distribution with the moments of the draws of tame shares."""
    tame = _tame(share)
    centre = tame @ z
    d = z - centre
    cov = np.asarray((d * tame[:, None]).T @ d)
    return _Student(centre, np.asarray(np.linalg.cholesky(cov + 1e-6 * np.diag(np.diag(cov))), float))
