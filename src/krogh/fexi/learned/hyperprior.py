"""What a scan may not say about the spread of its tissues, and how a mixture prior is moved.

The hyperprior h: the logit SD of every parameter within a component is about 0.35 within a factor of 1.8 (a spread between voxels
of about 35 %), correlations are mild, no weight is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.learned.prior import MixturePrior, log_uniform

__all__ = ["WEIGHT_VOXELS", "WIDTH_SD", "move", "moves", "penalty", "penalty_slope", "scores"]

FloatArray = NDArray[np.float64]
WIDTH_SD, WIDTH_SPREAD, WEIGHT_VOXELS = 0.35, 0.6, 2.0
_INDEPENDENCE = 1.0


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
    return moves(prior, step[None])[0]


def moves(prior: MixturePrior, steps: FloatArray) -> list[MixturePrior]:
    """Return `prior` moved by each of `steps` [draw, coordinate]."""
    n_par, n = prior.bounds.shape[0], prior.n_components
    i, j = np.tril_indices(n_par, -1)
    log_w = np.log(prior.weight) + steps[:, : n + 1]
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    s = steps[:, n + 1 :].reshape(len(steps), n, n_par * (n_par + 3) // 2)
    root = np.linalg.cholesky(prior.cov)
    change = np.zeros((len(steps), n, n_par, n_par))
    change[..., range(n_par), range(n_par)] = np.exp(s[..., n_par : 2 * n_par])
    change[..., i, j] = s[..., 2 * n_par :]
    moved = root @ change
    mean, cov = prior.mean + np.einsum("kij,dkj->dki", root, s[..., :n_par]), moved @ moved.swapaxes(-1, -2)
    return [MixturePrior(prior.bounds, *numbers) for numbers in zip(w, mean, cov, strict=True)]


def penalty(prior: MixturePrior) -> float:
    """Return ln h."""
    log_sd = 0.5 * np.log(np.diagonal(prior.cov, axis1=-2, axis2=-1))
    value = WEIGHT_VOXELS * np.log(prior.weight).sum() + log_uniform(prior.mean).sum()
    value -= np.sum((log_sd - np.log(WIDTH_SD)) ** 2) / (2 * WIDTH_SPREAD**2)
    return float(value + _INDEPENDENCE * (np.linalg.slogdet(prior.cov)[1].sum() - 2 * log_sd.sum()))


def penalty_slope(prior: MixturePrior) -> tuple[FloatArray, FloatArray]:
    """Return the gradient of ln h and minus its curvature (diagonal, positive) in local coordinates."""
    n_par = prior.bounds.shape[0]
    low = np.tril_indices(n_par, -1)
    slope = [WEIGHT_VOXELS * (1 - prior.weight.size * prior.weight)]
    curve = [WEIGHT_VOXELS * prior.weight.size * prior.weight]
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
