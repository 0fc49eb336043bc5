"""Place the first components of a prior: groups of voxels that look alike, each with the fit of its mean signal.

The mean of many voxels holds what one voxel does not (the exchange rate above all), so that the search begins near the tissues
of the scan and not in the middle of the bounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators import get_estimator
from krogh.fexi.interface import Progress, SignalModel
from krogh.fexi.learned.ascend import Learning
from krogh.fexi.learned.graded import graded
from krogh.fexi.learned.hyperprior import WIDTH_SD
from krogh.fexi.learned.learn import GridEvidence, climb
from krogh.fexi.learned.occam import log_marginal
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior, to_u, uniform_prior
from krogh.fexi.protocol import Protocol

__all__ = ["first_guess", "learn_prior"]

FloatArray = NDArray[np.float64]
_STAGES = (2500, 10_000)
#: What a component must promise on each stage, in ln(voxels) for each of its numbers; fewer voxels flatter it more.
_PRICES = (0.5, 0.25)
_ROUNDS = 10  # on a stage: a start for the next, not a summit


def _groups(features: FloatArray, n_groups: int) -> NDArray[np.int64]:
    """Return the group of each row by k-means from equal slices along the first principal axis (no random number)."""
    centred = features - features.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ axis
    cuts = np.quantile(along, np.linspace(0, 1, n_groups + 1)[1:-1])
    group = np.searchsorted(cuts, along)
    for _ in range(15):
        centres = np.stack([centred[group == k].mean(axis=0) if (group == k).any() else centred[0] for k in range(n_groups)])
        group = np.argmin(((centred[:, None] - centres) ** 2).sum(axis=2), axis=1)
    return group


def first_guess(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    s0: FloatArray | None,
    *,
    n_components: int,
) -> MixturePrior:
    """Return a mixture of up to `n_components` groups of `signals` [voxel, volume]; `s0` [voxel, series] where it is known.

    A group is made of voxels with similar signals over S0; its mean is the least-squares fit of its mean signal, its width the
    default of the hyperprior.
    """
    series, bounds = protocol.series_index, model.bounds
    lowest = np.stack([signals[:, series == s][:, protocol.b_s_m2[series == s].argmin()] for s in range(protocol.n_series)], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = signals / (lowest if s0 is None else s0)[:, series]
    usable = np.isfinite(relative).all(axis=1)
    shape = np.clip(relative[usable], -2, 2)
    n_groups = max(1, min(n_components, usable.sum() // 20))
    group = _groups(shape, n_groups)
    means, weights = [], []
    for k in range(n_groups):
        rows = np.flatnonzero(usable)[group == k]
        if rows.size == 0:
            continue
        mean = signals[rows].mean(axis=0, keepdims=True)
        known = {} if s0 is None else {"s0": s0[rows].mean(axis=0, keepdims=True)}
        fitted = get_estimator("nlls")(model, protocol, mean, **known).theta()[0]
        if np.isfinite(fitted).all():
            x = (fitted - bounds[:, 0]) / np.ptp(bounds, axis=1)
            means.append(to_u(bounds[:, 0] + np.clip(x, 0.02, 0.98) * np.ptp(bounds, axis=1), bounds))
            weights.append(rows.size / usable.sum())
    n = len(means)
    weight = np.r_[0.1, 0.9 * np.array(weights) / sum(weights)] if n else np.ones(1)
    n_par = bounds.shape[0]
    return MixturePrior(bounds, weight, np.array(means).reshape(n, n_par), np.tile(WIDTH_SD**2 * np.eye(n_par), (n, 1, 1)))


def learn_prior(
    model: SignalModel,
    protocol: Protocol,
    problem: Problem,
    signals: FloatArray,
    s0: FloatArray | None = None,
    *,
    max_components: int = 5,
    threads: int = 1,
    progress: Progress | None = None,
) -> Learning:
    """Return the prior with the largest marginal likelihood among mixtures of 0, 1, 2, ... components.

    Parameters
    ----------
    signals : array [voxel, volume]
        The signals of `problem`, for the first guess.
    s0 : array [voxel, series], optional
        S0 where it is known.
    max_components : int, optional
        The search ends here, or at the first component that does not pay.

    Notes
    -----
    Most of the way is gone on 2,500 and 10,000 of the voxels, and not further where these promise too little; the last of it on
    cells that are narrow where the prior is.
    """
    n_voxels, n_par = problem.n_voxels, model.bounds.shape[0]
    parts = [problem.take(_even(n_voxels, size)) for size in _STAGES if n_voxels > 2 * size]
    some = _even(n_voxels, min(n_voxels, _STAGES[-1]))
    looks = signals[some], None if s0 is None else s0[some]
    prior = uniform_prior(model.bounds)
    before = [_evidence(part, prior, threads) for part in parts]
    best_value = _evidence(problem, prior, threads)
    best = Learning(prior, (best_value,), True)
    each = (1 + n_par + n_par * (n_par + 1) / 2) * np.log(n_voxels)
    for n in range(1, max_components + 1):
        start = first_guess(model, protocol, *looks, n_components=n)
        if start.n_components < n:
            break
        for i, (part, price) in enumerate(zip(parts, _PRICES, strict=False)):
            em_rounds = 0 if i else 3
            start = climb(part, start, max_rounds=_ROUNDS, em_rounds=em_rounds, threads=threads, progress=progress).prior
            gain, before[i] = _evidence(part, start, threads) - before[i], _evidence(part, start, threads)
            if gain * n_voxels / part.n_voxels < price * each:
                return best
        if not parts:
            start = climb(problem, start, threads=threads, progress=progress).prior
        fine = problem.on(graded(problem.grid, [start]))
        found = climb(fine, start, em_rounds=0, threads=threads, progress=progress)
        value = log_marginal(GridEvidence(fine, threads), found.prior)
        if value <= best_value:
            break
        best, best_value = found, value
    return best


def _even(n: int, size: int) -> NDArray[np.intp]:
    return np.linspace(0, n - 1, size).astype(np.intp)


def _evidence(problem: Problem, prior: MixturePrior, threads: int) -> float:
    return problem.expected_masses(problem.grid.log_weights(prior), threads=threads)[0]
