"""The posterior of the mean of a region: its own prior, and how uncertain that prior is.

The voxels of a region are given a prior of their own (one Gaussian on the logit scale and the background), learned from them. The
posterior of the mean over its voxels then has two parts,

    Var = sum_v Cov(theta | y_v) / n^2 + D I^-1 D',    D = d E[mean] / d phi = mean_v Cov(theta, score | y_v),

what the voxels leave open when the prior is known, and what the region leaves open about its prior phi (I: empirical Fisher
matrix of phi and curvature of its hyperprior). The second is the larger one at low SNR; leaving it out gives intervals that are
many times too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.interface import SignalModel
from krogh.fexi.learned import _kernel
from krogh.fexi.learned.hyperprior import penalty_slope, scores
from krogh.fexi.learned.learn import climb
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior, to_theta, to_u
from krogh.fexi.learned.start import first_guess
from krogh.fexi.protocol import Protocol

__all__ = ["RegionPosterior", "region_posterior"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RegionPosterior:
    """Hold the posterior of the mean parameters of a region [param], SI, and the prior that its voxels showed."""

    n_voxels: int
    mean: FloatArray
    sd: FloatArray
    bounds: FloatArray
    prior: MixturePrior
    converged: bool

    def interval(self, z: float = 1.959964) -> tuple[FloatArray, FloatArray]:
        """Return mean -+ z SD, taken on the logit scale so that it stays within the bounds (z 1.96: 95 %)."""
        u = to_u(self.mean, self.bounds)
        x = (self.mean - self.bounds[:, 0]) / np.ptp(self.bounds, axis=1)
        half = z * self.sd / np.maximum(np.ptp(self.bounds, axis=1) * x * (1 - x), 1e-300)
        return to_theta(u - half, self.bounds), to_theta(u + half, self.bounds)

    def cdf(self, value: FloatArray) -> FloatArray:
        """Return the posterior probability of a smaller mean than `value` [param]."""
        from scipy.special import ndtr

        x = (self.mean - self.bounds[:, 0]) / np.ptp(self.bounds, axis=1)
        spread = self.sd / (np.ptp(self.bounds, axis=1) * x * (1 - x))
        return np.asarray(ndtr((to_u(value, self.bounds) - to_u(self.mean, self.bounds)) / spread))


def region_posterior(
    model: SignalModel,
    protocol: Protocol,
    problem: Problem,
    signals: FloatArray,
    s0: FloatArray | None = None,
    *,
    threads: int = 1,
) -> RegionPosterior:
    """Return the posterior of the mean over the voxels of `problem`, all of one region.

    Parameters
    ----------
    signals : array [voxel, volume]
        Their signals.
    s0 : array [voxel, series], optional
        Their S0 where it is known.
    """
    found = climb(problem, first_guess(model, protocol, signals, s0, n_components=1), threads=threads)
    prior, grid, n_par = found.prior, problem.grid, model.bounds.shape[0]
    log_w = grid.log_weights(prior)
    keep = np.flatnonzero(log_w > log_w.max() - 60.0)
    scale = np.ptp(model.bounds, axis=1)
    own = scores(prior, grid.u[keep])
    features = np.ascontiguousarray(np.concatenate([grid.theta[keep] / scale, own], axis=1))
    mean, cross = np.zeros((problem.n_voxels, features.shape[1])), np.zeros((n_par, features.shape[1]))
    _kernel.moments(*problem.arguments(slice(None), log_w, keep), features, mean, cross, n_par)
    each = mean[:, n_par:] - np.exp(log_w[keep]) @ own
    information = each.T @ each + np.diag(penalty_slope(prior)[1])
    information += 1e-9 * np.trace(information) * np.eye(information.shape[0])
    n = problem.n_voxels
    lever = cross[:, n_par:] / n
    variance = np.diag(cross[:, :n_par]) / n**2 + np.einsum("pi,ip->p", lever, np.linalg.solve(information, lever.T))
    return RegionPosterior(
        n, mean[:, :n_par].mean(axis=0) * scale, np.sqrt(variance) * scale, model.bounds, prior, found.converged
    )
