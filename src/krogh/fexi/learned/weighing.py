"""Posteriors from samples of a flow, weighted by likelihood and prior: exact in the limit, whatever the flow learned.

One sample in ten comes from the prior itself, so that no weight exceeds ten times its fair share (as in ``sampling``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from krogh.fexi.interface import Progress
from krogh.fexi.learned import _importance
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.prior import MixturePrior, to_theta, to_u
from krogh.fexi.learned.sampling import SHARE, Signals, log_g, sobol_points, voxel_shift

if TYPE_CHECKING:
    from krogh.fexi.learned.flow import PosteriorNetwork

__all__ = ["posterior_by_flow"]

FloatArray = NDArray[np.float64]
_CHUNK = 512


def posterior_by_flow(
    network: PosteriorNetwork,
    signals: Signals,
    x: FloatArray,
    prior: MixturePrior,
    *,
    n_samples: int,
    seed: int,
    at: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[Posterior, FloatArray]:
    """Return the posterior of every voxel and the effective number of its samples; `at` as in ``posterior_by_sampling``."""
    n, n_par = x.shape[0], prior.bounds.shape[0]
    out = Posterior(
        np.empty((n, n_par)), np.empty((n, n_par)), np.empty((n, n_par, len(QUANTILES))), np.empty(n),
        None if at is None else np.empty((n, n_par)),
    )  # fmt: skip
    effective, few = np.empty(n), max(1, round(SHARE * n_samples))
    points = sobol_points(n_samples - few, n_par)
    own = to_u(prior.draw(few, np.random.default_rng([seed, 78])), prior.bounds)
    share = few / n_samples
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        part = signals.take(rows)
        place = np.mod(points + voxel_shift(part.z, n_par, seed)[:, None], 1.0)
        u, log_q = network.draw(x[rows], ndtri(np.clip(place, 1e-7, 1 - 1e-7)))
        there = np.broadcast_to(own, (u.shape[0], *own.shape))
        u = np.ascontiguousarray(np.concatenate([u, there], axis=1))
        log_q = np.concatenate([log_q, network.log_density(x[rows], there)], axis=1)
        g = log_g(prior, u)
        mixed = np.logaddexp(np.log1p(-share) + log_q, np.log(share) + g)
        theta = to_theta(u, prior.bounds)
        weight, variance = part.log_likelihood(theta) + g - mixed, np.empty((theta.shape[0], n_par))
        _importance.summarise(
            theta, weight, np.array(QUANTILES), out.mean[rows], variance, out.quantiles[rows], out.log_evidence[rows],
            effective[rows],
        )  # fmt: skip
        out.sd[rows] = np.sqrt(variance)
        if at is not None and out.rank is not None:
            out.rank[rows] = np.einsum("vm,vmp->vp", weight, theta < at[rows][:, None])
        if progress is not None:
            progress(rows.stop, n)
    return out, effective
