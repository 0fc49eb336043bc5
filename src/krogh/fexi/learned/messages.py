"""Reduce the signal of each voxel to what it says of every component of the prior: a probability and a Gaussian message.

With u = m + R t in component k (mean m, covariance R R'), let the posterior of t under N(0, 1) have mean mu and covariance S. The
message is the Gaussian ``exp(h t - t' P t / 2)`` that would give the same: ``P = S^-1 - 1``, ``h = S^-1 mu``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.learned import _kernel
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["Messages", "read_messages"]

FloatArray = NDArray[np.float64]
_LEAST = 1e-6  # a component that is less probable gets no message
_NARROWEST = 1e-4  # variance of t


@dataclass(frozen=True)
class Messages:
    """Hold what every voxel says.

    Attributes
    ----------
    share : array [voxel, 1 + component]
        Probability of background and components under the prior of the scan.
    precision, level : arrays [voxel, component, param, param], [voxel, component, param]
        P and h.
    speaks : array [voxel]
        1 where the voxel is heard by others, else 0.
    """

    share: FloatArray
    precision: FloatArray
    level: FloatArray
    speaks: FloatArray


def _features(prior: MixturePrior, u: FloatArray) -> FloatArray:
    """Return for each atom the share of every part, and of components times t and the products of t [atom, feature]."""
    parts = prior.log_parts(u)
    share = np.exp(parts - parts.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    first, second = np.triu_indices(u.shape[1])
    columns = [share[:, :1]]
    for k in range(prior.n_components):
        t = np.linalg.solve(np.linalg.cholesky(prior.cov[k]), (u - prior.mean[k]).T).T
        columns.append(share[:, k + 1, None] * np.concatenate([np.ones((t.shape[0], 1)), t, t[:, first] * t[:, second]], axis=1))
    return np.ascontiguousarray(np.concatenate(columns, axis=1))


def read_messages(problem: Problem, prior: MixturePrior, speaks: FloatArray, *, threads: int = 1) -> Messages:
    """Return the messages of the voxels of `problem` under `prior`; `speaks` [voxel] is 1 where they are for others too."""
    log_w = problem.grid.log_weights(prior)
    keep = np.flatnonzero(log_w > log_w.max() - 60.0)
    features = _features(prior, problem.grid.u[keep])
    found, none = np.zeros((problem.n_voxels, features.shape[1])), np.zeros((0, features.shape[1]))
    static = problem.arguments(slice(0, 0), log_w, keep)

    def work(rows: slice) -> None:
        _kernel.moments(problem.z[rows], problem.level[rows], *static[2:], features, found[rows], none, 0)

    run_chunks(work, problem.n_voxels, threads=threads, progress=None, chunk=1024)
    each = found[:, 1:].reshape(problem.n_voxels, prior.n_components, -1)
    precision, level = _gaussian(each, problem.grid.u.shape[1])
    return Messages(np.concatenate([found[:, :1], each[:, :, 0]], axis=1), precision, level, speaks)


def _gaussian(each: FloatArray, n_par: int) -> tuple[FloatArray, FloatArray]:
    """Return P and h from weight, first and second moments of t; a message never widens what is known."""
    weight = np.maximum(each[..., 0], 1e-300)
    mean = each[..., 1 : 1 + n_par] / weight[..., None]
    first, second = np.triu_indices(n_par)
    cov = np.empty((*mean.shape, n_par))
    cov[..., first, second] = each[..., 1 + n_par :] / weight[..., None]
    cov[..., second, first] = cov[..., first, second]
    cov -= mean[..., :, None] * mean[..., None, :]
    silent = each[..., 0] < _LEAST
    cov[silent], mean[silent] = np.eye(n_par), 0.0
    values, axes = np.linalg.eigh(cov)
    inverse = 1 / np.clip(values, _NARROWEST, 1.0)
    precision = np.einsum("...pi,...i,...qi->...pq", axes, inverse - 1, axes)
    return precision, np.einsum("...pi,...i,...qi,...q->...p", axes, inverse, axes, mean)
