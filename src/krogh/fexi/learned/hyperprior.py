"""What a scan may not say about the spread of its tissues, and how a mixture prior is moved.

The hyperprior h: the logit SD of every parameter within a component is about 0.35 within a factor of 1.8 (a spread between voxels
of about 35 %), correlations are mild, no weight is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.learned.prior import MixturePrior, log_uniform

__all__ = ["WEIGHT_VOXELS", "WIDTH_SD", "move", "penalty", "penalty_slope", "scores"]

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


def penalty(prior: MixturePrior) -> float:
    """Return ln h."""
    value = WEIGHT_VOXELS * float(np.log(prior.weight).sum())
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
