"""Weigh mixtures with different numbers of components by their marginal likelihood.

With phi the d numbers of a mixture, h its hyperprior and H minus the curvature of ln evidence + ln h at the most probable phi,
Laplace's approximation is

    ln p(Y | K) = ln p(Y | phi) + ln h(phi) + d/2 ln 2 pi - 1/2 ln det H + ln K!,

h and H in the local coordinates of :mod:`krogh.fexi.learned.hyperprior` (K! ways to number the components). A mixture pays for
what it could have been and was not, and no more: half a logarithm of the voxels for each number, as the Bayesian information
criterion has it, is too much here, where a voxel says little and the hyperprior leaves little open.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from krogh.fexi.learned.ascend import Evidence, curvature
from krogh.fexi.learned.hyperprior import WEIGHT_VOXELS, WIDTH_SPREAD, penalty
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["hyperprior_density", "log_change", "log_marginal"]

FloatArray = NDArray[np.float64]


def _log_correlations(n: int) -> float:
    """Return ln of the integral of det R over correlation matrices R [n, n] (Lewandowski 2009, 10.1016/j.jmva.2009.04.008)."""
    k = np.arange(1, n)
    return float(np.sum(0.5 * k * np.log(np.pi) + gammaln(2 + 0.5 * (n - 1 - k)) - gammaln(2 + 0.5 * (n - 1))))


def log_change(prior: MixturePrior) -> float:
    """Return ln of the volume of (means, log SDs, correlations) per volume of the local coordinates, at `prior`.

    With the Cholesky root R and the SDs s of a component of p parameters it is
    ``sum_i i ln R_ii + (p - i + 2) ln(R_ii / s_i) - (i - 1) ln s_i``: the rows of R in spherical coordinates, and the root of a
    correlation matrix (Lewandowski 2009).
    """
    root, i = np.linalg.cholesky(prior.cov), np.arange(1, prior.bounds.shape[0] + 1)
    sd, at = np.sqrt(np.sum(root**2, axis=-1)), np.diagonal(root, axis1=-2, axis2=-1)
    return float(np.sum(i * np.log(at) + (i[::-1] + 1) * np.log(at / sd) - (i - 1) * np.log(sd)))


def hyperprior_density(prior: MixturePrior) -> float:
    """Return ln h of `prior`, normalised, per volume of the local coordinates (logit of the background's weight held)."""
    n, n_par = prior.weight.size, prior.bounds.shape[0]
    each = n_par * math.log(WIDTH_SPREAD * math.sqrt(2 * math.pi)) + _log_correlations(n_par)
    weights = float(gammaln(n * WEIGHT_VOXELS) - n * gammaln(WEIGHT_VOXELS))
    return penalty(prior) + weights - prior.n_components * each + log_change(prior)


def log_marginal(evidence: Evidence, prior: MixturePrior) -> float:
    """Return ln p(Y | number of components) from the most probable `prior`."""
    value, state = evidence.value(prior)
    n = prior.n_components
    if not n:
        return value
    matrix = curvature(prior, evidence.slope(prior, state), evidence.information(prior, state))[1:, 1:]
    size = matrix.shape[0]
    volume = 0.5 * size * math.log(2 * math.pi) - 0.5 * float(np.linalg.slogdet(matrix)[1])
    return value + hyperprior_density(prior) + volume + float(gammaln(n + 1))
