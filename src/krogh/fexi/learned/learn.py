"""Learn the prior from the scan itself, on a dictionary: the mixture that makes all its voxels most probable.

Maximises ``sum_v ln sum_j L_vj w_j(phi) + ln h(phi)`` over the mixture phi. The data enter through the expected number of voxels
at every atom, which also gives the exact gradient (Fisher's identity), so that a step costs one pass over the voxels whatever
the mixture. A few rounds of expectation maximisation place the components, scoring does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.interface import Progress
from krogh.fexi.learned import _kernel
from krogh.fexi.learned.ascend import Learning, ascend
from krogh.fexi.learned.hyperprior import WEIGHT_VOXELS, WIDTH_SD, scores
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["GridEvidence", "climb", "update_mixture"]

FloatArray = NDArray[np.float64]
_WIDTH_VOXELS = 4.0
_EM_ROUNDS = 3
_FISHER_VOXELS = 5_000


def update_mixture(prior: MixturePrior, u: FloatArray, mass: FloatArray, *, rounds: int = 3) -> MixturePrior:
    """Return `prior` after `rounds` of expectation maximisation on points `u` [point, param] of weight `mass` [point]."""
    n_par = u.shape[1]
    cost = 0.5 * (n_par + n_par * (n_par + 1) / 2)
    for _ in range(rounds):
        parts = prior.log_parts(u)
        share = np.exp(parts - parts.max(axis=1, keepdims=True))
        share *= (mass / share.sum(axis=1))[:, None]
        count = share.sum(axis=0)
        wanted = np.r_[count[0] + WEIGHT_VOXELS, np.maximum(count[1:] - cost, 0.0)]
        alive = np.flatnonzero(wanted[1:] > 0)
        mean, cov = np.empty((alive.size, n_par)), np.empty((alive.size, n_par, n_par))
        for i, k in enumerate(alive):
            w = share[:, k + 1]
            mean[i] = w @ u / count[k + 1]
            d = u - mean[i]
            scatter = (d * w[:, None]).T @ d + _WIDTH_VOXELS * WIDTH_SD**2 * np.eye(n_par)
            cov[i] = scatter / (count[k + 1] + _WIDTH_VOXELS)
        weight = np.r_[wanted[0], wanted[1:][alive]]
        prior = MixturePrior(prior.bounds, weight / weight.sum(), mean, cov)
    return prior


def voxel_scores(problem: Problem, prior: MixturePrior, log_w: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
    """Return the gradient of each voxel's ln evidence in local coordinates [voxel, coordinate]."""
    keep = np.flatnonzero(log_w > log_w.max() - 60.0)
    features = np.ascontiguousarray(scores(prior, problem.grid.u[keep]))
    out = np.zeros((rows.size, features.shape[1]))
    _kernel.moments(*problem.arguments(rows, log_w, keep), features, out, np.zeros((0, features.shape[1])), 0)
    return out - np.exp(log_w[keep]) @ features


@dataclass(frozen=True)
class GridEvidence:
    """Evidence of the voxels of `problem`, summed over its dictionary; the Fisher matrix comes from 5,000 of them."""

    problem: Problem
    threads: int = 1

    def value(self, prior: MixturePrior) -> tuple[float, tuple[FloatArray, FloatArray]]:
        """Return ln evidence, and log weights and expected masses of the atoms."""
        log_w = self.problem.grid.log_weights(prior)
        value, mass = self.problem.expected_masses(log_w, threads=self.threads)
        return value, (log_w, mass)

    def slope(self, prior: MixturePrior, state: tuple[FloatArray, FloatArray]) -> FloatArray:
        """Return the gradient in local coordinates."""
        log_w, mass = state
        return np.asarray((mass - self.problem.n_voxels * np.exp(log_w)) @ scores(prior, self.problem.grid.u))

    def information(self, prior: MixturePrior, state: tuple[FloatArray, FloatArray]) -> FloatArray:
        """Return the empirical Fisher matrix."""
        n = self.problem.n_voxels
        rows = np.linspace(0, n - 1, min(n, _FISHER_VOXELS)).astype(np.intp)
        each = voxel_scores(self.problem, prior, state[0], rows)
        return np.asarray(each.T @ each * (n / rows.size))


def climb(
    problem: Problem,
    start: MixturePrior,
    *,
    max_rounds: int = 30,
    em_rounds: int = _EM_ROUNDS,
    threads: int = 1,
    progress: Progress | None = None,
) -> Learning:
    """Return the mixture, with the components of `start`, that makes the voxels of `problem` most probable.

    Parameters
    ----------
    start : MixturePrior
        Where to begin; components that no voxel needs are dropped.
    max_rounds, em_rounds : int, optional
        Scoring steps, and rounds of expectation maximisation before them.

    Returns
    -------
    Learning
        ``converged`` says whether less than 0.05 of ln evidence was left to gain.
    """
    grid, prior = problem.grid, start
    tell: Callable[[int], None] = lambda i: None if progress is None else progress(i, em_rounds + max_rounds)  # noqa: E731
    for i in range(em_rounds):
        _, mass = problem.expected_masses(grid.log_weights(prior), threads=threads)
        prior = update_mixture(prior, grid.u, mass)
        tell(i + 1)
    found = ascend(GridEvidence(problem, threads), prior, max_rounds=max_rounds, tell=lambda i: tell(em_rounds + i))
    tell(em_rounds + max_rounds)
    return found
