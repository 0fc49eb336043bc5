"""The numbers of a prior of one Gaussian in coordinates z in which what is known of them beforehand is a standard normal.

The medians x within their bounds follow the arcsine law (Jeffreys' for a proportion: within a hundredth of a bound is as likely
as from 0.45 to 0.55), the SDs are log-normal, the correlations have a density ~ det R, the weight is Beta(2, 2):

    u = 2 ln tan(pi / 2 Phi(z)),   s = 0.35 exp(0.6 z),   r = 2 B_a^-1(Phi(z)) - 1,   w = B_2^-1(Phi(z))

with Phi the normal and B_a the Beta(a, a) distribution. The r are the canonical partial correlations, whose distributions are
independent, a = 2 + (p - 1 - k) / 2 in column k of p parameters (Lewandowski 2009, 10.1016/j.jmva.2009.04.008). Where voxels say
nothing of a number it stays normal, however far it may lie on the logit scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtr, ndtri

from krogh.fexi.learned.hyperprior import WEIGHT_VOXELS, WIDTH_SD, WIDTH_SPREAD
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["coordinates", "prior_at"]

FloatArray = NDArray[np.float64]
_INSIDE, _TINY = 1e-12, 1e-300
_MOST = 1 - 1e-4  # the largest partial correlation: the product of three nearer to 1 is 1 in floating point


def prior_at(z: FloatArray, bounds: FloatArray) -> list[MixturePrior]:
    """Return the priors at the coordinates `z` [draw, coordinate]."""
    n = bounds.shape[0]
    row, column = np.tril_indices(n, -1)
    mean, log_sd, angle, weight = np.split(z, [n, 2 * n, z.shape[1] - 1], axis=1)
    u = np.sign(mean) * -2 * np.log(np.tan(0.5 * np.pi * np.maximum(ndtr(-np.abs(mean)), _TINY)))
    a = 2 + 0.5 * (n - 2 - column)
    partial = np.zeros((len(z), n, n))
    partial[:, row, column] = _MOST * (2 * betaincinv(a, a, ndtr(angle)) - 1)
    root, left = np.zeros_like(partial), np.ones((len(z), n))
    for k in range(n):
        root[:, k:, k] = np.where(np.arange(k, n) == k, 1.0, partial[:, k:, k]) * np.sqrt(left[:, k:])
        left[:, k:] -= root[:, k:, k] ** 2
    root *= (WIDTH_SD * np.exp(WIDTH_SPREAD * log_sd))[..., None]
    w = betaincinv(WEIGHT_VOXELS, WEIGHT_VOXELS, ndtr(weight[:, 0]))
    cov = root @ root.swapaxes(-1, -2)
    return [MixturePrior(bounds, np.array([1 - w[i], w[i]]), u[i][None], cov[i][None]) for i in range(len(z))]


def coordinates(priors: list[MixturePrior]) -> FloatArray:
    """Return the coordinates [prior, coordinate] of priors of one Gaussian."""
    mean, cov = np.array([g.mean[0] for g in priors]), np.array([g.cov[0] for g in priors])
    n = mean.shape[1]
    row, column = np.tril_indices(n, -1)
    sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    root = np.linalg.cholesky(cov) / sd[..., None]
    used = np.cumsum(root**2, axis=-1) - root**2
    partial = (root / np.sqrt(np.maximum(1 - used, _INSIDE)))[:, row, column]
    a = 2 + 0.5 * (n - 2 - column)
    shares = np.concatenate(
        [
            2 / np.pi * np.arctan(np.exp(-0.5 * np.abs(mean))),
            betainc(a, a, 0.5 * (1 + np.clip(partial / _MOST, -1, 1))),
            betainc(WEIGHT_VOXELS, WEIGHT_VOXELS, np.array([g.weight[1:] for g in priors])),
        ],
        axis=1,
    )
    z = ndtri(np.clip(shares, _INSIDE, 1 - _INSIDE))
    return np.concatenate([-np.sign(mean) * z[:, :n], np.log(sd / WIDTH_SD) / WIDTH_SPREAD, z[:, n:]], axis=1)
