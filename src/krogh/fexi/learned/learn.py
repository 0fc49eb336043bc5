"""Learn the prior from the scan itself: the mixture that makes all its voxels most probable.

Maximises ``sum_v ln sum_j L_vj w_j(phi) + ln h(phi)`` over the mixture phi. The data enter through the expected number of voxels
at every atom, which also gives the exact gradient (Fisher's identity), so that a step costs one pass over the voxels whatever
the mixture. A few rounds of expectation maximisation place the components; scoring with the empirical Fisher matrix goes to the
maximum, which expectation maximisation alone reaches only in hundreds of rounds because a single voxel says so little.

h holds what a scan may not say: the logit SD of every parameter within a component is about 0.35 within a factor of 1.8 (a spread
between voxels of about 35 %), correlations are mild, no weight is 0. The number of components is that of the smallest Bayesian
information criterion, beginning with none (the uniform background alone).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.interface import Progress
from krogh.fexi.learned import _kernel
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior, log_uniform

__all__ = ["WIDTH_SD", "Learning", "climb", "move", "scores", "update_mixture"]

FloatArray = NDArray[np.float64]
WIDTH_SD, WIDTH_SPREAD = 0.35, 0.6
_INDEPENDENCE = 1.0
_WIDTH_VOXELS = 4.0
_WEIGHT_VOXELS = 2.0
_EM_ROUNDS = 3
_FISHER_VOXELS = 1500
_CLOSE = 0.1  # predicted gain in ln evidence at which the search ends: far below the uncertainty of the maximum


@dataclass(frozen=True)
class Learning:
    """Hold the learned prior, the penalised ln evidence after every pass, and whether the search ended at a maximum."""

    prior: MixturePrior
    history: tuple[float, ...]
    converged: bool


def update_mixture(prior: MixturePrior, u: FloatArray, mass: FloatArray, *, rounds: int = 3) -> MixturePrior:
    """Return `prior` after `rounds` of expectation maximisation on points `u` [point, param] of weight `mass` [point]."""
    n_par = u.shape[1]
    cost = 0.5 * (n_par + n_par * (n_par + 1) / 2)
    for _ in range(rounds):
        parts = prior.log_parts(u)
        share = np.exp(parts - parts.max(axis=1, keepdims=True))
        share *= (mass / share.sum(axis=1))[:, None]
        count = share.sum(axis=0)
        wanted = np.r_[count[0] + _WEIGHT_VOXELS, np.maximum(count[1:] - cost, 0.0)]
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


def scores(prior: MixturePrior, u: FloatArray) -> FloatArray:
    """Return d ln g(u) / d phi [point, 1 + 10 per component for 3 parameters] in coordinates local to `prior`.

    In order: logits of the weights; for each component the shift of the mean in units of its Cholesky root R, and the lower
    triangle of M in R <- R M (logarithms on the diagonal).
    """
    n_par = u.shape[1]
    low = np.tril_indices(n_par, -1)
    parts = prior.log_parts(u)
    share = np.exp(parts - parts.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    columns = [share - prior.weight]
    for k in range(prior.n_components):
        z = np.linalg.solve(np.linalg.cholesky(prior.cov[k]), (u - prior.mean[k]).T).T
        r = share[:, k + 1, None]
        columns += [r * z, r * (z * z - 1), r * z[:, low[0]] * z[:, low[1]]]
    return np.concatenate(columns, axis=1)


def move(prior: MixturePrior, step: FloatArray) -> MixturePrior:
    """Return `prior` moved by `step` in the coordinates of `scores`."""
    n_par, n = prior.bounds.shape[0], prior.n_components
    low = np.tril_indices(n_par, -1)
    log_w = np.log(prior.weight) + step[: n + 1]
    w = np.exp(log_w - log_w.max())
    mean, cov = prior.mean.copy(), prior.cov.copy()
    for k, s in enumerate(step[n + 1 :].reshape(n, -1)):
        root = np.linalg.cholesky(prior.cov[k])
        change = np.diag(np.exp(s[n_par : 2 * n_par]))
        change[low] = s[2 * n_par :]
        mean[k] = prior.mean[k] + root @ s[:n_par]
        cov[k] = root @ change @ change.T @ root.T
    return MixturePrior(prior.bounds, w / w.sum(), mean, cov)


def _penalty(prior: MixturePrior) -> float:
    """Return ln h."""
    value = _WEIGHT_VOXELS * float(np.log(prior.weight).sum())
    if prior.n_components:
        value += float(log_uniform(prior.mean).sum())
    for c in prior.cov:
        log_sd = 0.5 * np.log(np.diag(c))
        value -= float(np.sum((log_sd - np.log(WIDTH_SD)) ** 2)) / (2 * WIDTH_SPREAD**2)
        value += _INDEPENDENCE * float(np.linalg.slogdet(c)[1] - 2 * log_sd.sum())
    return value


def penalty_slope(prior: MixturePrior) -> tuple[FloatArray, FloatArray]:
    """Return the gradient of ln h and minus its curvature (diagonal, positive) in local coordinates."""
    n_par = prior.bounds.shape[0]
    low = np.tril_indices(n_par, -1)
    slope = [_WEIGHT_VOXELS * (1 - prior.weight.size * prior.weight)]
    curve = [_WEIGHT_VOXELS * prior.weight.size * prior.weight]
    for k in range(prior.n_components):
        root = np.linalg.cholesky(prior.cov[k])
        variance = np.diag(prior.cov[k])
        pull = -(0.5 * np.log(variance) - np.log(WIDTH_SD)) / (2 * WIDTH_SPREAD**2) - _INDEPENDENCE
        change = np.concatenate([root**2, root[:, low[0]] * root[:, low[1]]], axis=1) * (2 / variance)[:, None]
        widths = pull @ change
        widths[:n_par] += 2 * _INDEPENDENCE
        slope += [-root.T @ np.tanh(0.5 * prior.mean[k]), widths]
        bend = np.sum((0.5 * change) ** 2, axis=0) / WIDTH_SPREAD**2
        curve += [0.5 * np.diag(root.T @ root), bend + _INDEPENDENCE]
    return np.concatenate(slope), np.concatenate(curve)


def voxel_scores(problem: Problem, prior: MixturePrior, log_w: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
    """Return the gradient of each voxel's ln evidence in local coordinates [voxel, coordinate]."""
    keep = np.flatnonzero(log_w > log_w.max() - 60.0)
    features = np.ascontiguousarray(scores(prior, problem.grid.u[keep]))
    out = np.zeros((rows.size, features.shape[1]))
    _kernel.moments(*problem.arguments(rows, log_w, keep), features, out, np.zeros((0, features.shape[1])), 0)
    return out - np.exp(log_w[keep]) @ features


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
        ``converged`` says whether less than 0.1 of ln evidence was left to gain.
    """
    grid, prior = problem.grid, start
    tell: Callable[[int], None] = lambda i: None if progress is None else progress(i, em_rounds + max_rounds)  # noqa: E731
    for i in range(em_rounds):
        _, mass = problem.expected_masses(grid.log_weights(prior), threads=threads)
        prior = update_mixture(prior, grid.u, mass)
        tell(i + 1)
    rows = np.linspace(0, problem.n_voxels - 1, min(problem.n_voxels, _FISHER_VOXELS)).astype(np.intp)
    log_w = grid.log_weights(prior)
    value, mass = problem.expected_masses(log_w, threads=threads)
    value += _penalty(prior)
    history, damping, information = [value], 1e-2, None
    for i in range(max_rounds):
        slope, curve = penalty_slope(prior)
        slope += (mass - problem.n_voxels * np.exp(log_w)) @ scores(prior, grid.u)
        if information is None or i % 3 == 0:
            each = voxel_scores(problem, prior, log_w, rows)
            information = each.T @ each * (problem.n_voxels / rows.size)
        matrix = information + np.diag(curve + 1e-6 * np.trace(information) / curve.size)
        while True:
            step = np.asarray(np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), slope))
            step = np.asarray(step * min(1.0, 1.5 / float(np.abs(step).max())))
            gain = float(step @ slope)
            if gain < _CLOSE or damping > 1e4:
                break
            trial = move(prior, step)
            trial_w = grid.log_weights(trial)
            trial_value, trial_mass = problem.expected_masses(trial_w, threads=threads)
            trial_value += _penalty(trial)
            if trial_value > value:
                damping = max(damping * (0.2 if trial_value - value > 0.3 * gain else 1.0), 1e-4)
                break
            damping = max(damping * 8, 1e-2)
        if gain < _CLOSE or damping > 1e4:
            tell(em_rounds + max_rounds)
            return Learning(prior, tuple(history), gain < _CLOSE)
        prior, log_w, value, mass = trial, trial_w, trial_value, trial_mass
        history.append(value)
        tell(em_rounds + i + 1)
    return Learning(prior, tuple(history), False)
