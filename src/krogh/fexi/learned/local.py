"""Posteriors where every voxel has a prior of its own: sums over a dictionary, as under one prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.interface import Progress
from krogh.fexi.learned import _local
from krogh.fexi.learned.posterior import Posterior, Problem, read_posteriors

__all__ = ["LocalPriors", "local_posterior"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LocalPriors:
    """Hold the prior of each voxel: a mixture of Gaussians on the logit scale and a uniform background.

    Attributes
    ----------
    bounds : array [param, 2]
        Limits, SI.
    weight : array [voxel, 1 + component]
        Background first.
    mean, root : arrays [voxel, component, param], [voxel, component, param, param]
        Means and Cholesky roots of the covariances.
    """

    bounds: FloatArray
    weight: FloatArray
    mean: FloatArray
    root: FloatArray

    def parts(self, rows: NDArray[np.intp]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return weights (none 0), means and roots of the voxels `rows`, as the kernels take them."""
        return np.maximum(self.weight[rows], 1e-12), self.mean[rows], self.root[rows]


def local_posterior(
    problem: Problem, priors: LocalPriors, *, at: FloatArray | None = None, threads: int = 1, progress: Progress | None = None
) -> Posterior:
    """Return the posterior of every voxel under its own prior; `at` as in ``posterior``."""
    grid = problem.grid
    scale = np.ptp(grid.bounds, axis=1)
    x = (grid.theta - grid.bounds[:, 0]) / scale
    volume = np.exp(grid.log_volume)
    cell = volume * np.prod(x * (1 - x), axis=1)
    static = (grid.pointer, problem.known, problem.table, problem.square, problem.constant)
    u, theta = np.ascontiguousarray(grid.u.T), grid.theta / scale

    def fill(rows: slice, marginal: FloatArray, moment: FloatArray, log_evidence: FloatArray) -> None:
        own = priors.weight[rows], priors.mean[rows], priors.root[rows]
        _local.local_marginals(
            problem.z[rows], problem.level[rows], *static, u, volume, cell, *own, theta, grid.index, marginal, moment,
            log_evidence,
        )  # fmt: skip

    return read_posteriors(problem, fill, at=at, threads=threads, progress=progress)
