"""Posteriors by importance sampling from the network: exact in the limit of many samples, whatever the network learned.

Samples come from ``0.9 q(u | y) + 0.1 g(u)``, q the network and g the prior, so that no weight exceeds ten times its fair share.
The points fill the space evenly (Sobol) and are moved by an amount that hangs on the signals of the voxel alone: the same voxel
gives the same bytes in any company.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.interface import Progress, SignalModel
from krogh.fexi.learned import _importance
from krogh.fexi.learned.encoder import Encoder, Gaussians, features
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.prior import MixturePrior, to_theta
from krogh.fexi.protocol import Protocol

__all__ = ["Signals", "draw_samples", "posterior_by_sampling"]

FloatArray = NDArray[np.float64]
SHARE = 0.1
_CHUNK = 2048
_ENOUGH, _MORE = 80.0, 4  # a voxel with fewer effective samples, whose 95 % interval would be too narrow, gets 4 times as many


@dataclass(frozen=True)
class Signals:
    """Hold voxels in units of their noise: ``z`` [voxel, volume sorted by series], ``level`` [voxel, series] (S0 if known)."""

    model: SignalModel
    protocol: Protocol
    z: FloatArray
    level: FloatArray
    known: bool
    order: NDArray[np.int64]
    pointer: NDArray[np.int64]

    @classmethod
    def of(cls, model: SignalModel, protocol: Protocol, signals: FloatArray, noise: FloatArray, s0: FloatArray | None) -> Signals:
        """Return signals [voxel, volume] with noise SD [voxel] and S0 [voxel, series] or None."""
        order = np.argsort(protocol.series_index, kind="stable")
        pointer = np.concatenate([[0], np.cumsum(np.bincount(protocol.series_index))]).astype(np.int64)
        z = np.ascontiguousarray(signals[:, order] / noise[:, None])
        level = np.ones((z.shape[0], protocol.n_series)) if s0 is None else s0 / noise[:, None]
        return cls(model, protocol, z, level, s0 is not None, order, pointer)

    def take(self, rows: NDArray[np.intp] | slice) -> Signals:
        """Return the voxels `rows`."""
        return Signals(self.model, self.protocol, self.z[rows], self.level[rows], self.known, self.order, self.pointer)

    def inputs(self) -> FloatArray:
        """Return what the network sees [voxel, input]."""
        return features(self.z, self.level, self.known, self.pointer)

    def log_likelihood(self, theta: FloatArray) -> FloatArray:
        """Return ln L [voxel, sample] of theta [voxel, sample, param], up to a factor of the voxel."""
        n, m, n_par = theta.shape
        shape = self.model.shape(theta.reshape(-1, n_par), self.protocol)
        if np.any(np.diff(self.order) != 1):
            shape = shape[:, self.order]
        out = np.empty((n, m))
        whole = np.ascontiguousarray(shape).reshape(n, m, -1)
        _importance.log_likelihood(self.z, self.level, self.pointer, self.known, whole, out)
        return out


def sobol_points(n_samples: int, n_par: int) -> FloatArray:
    """Return points [sample, param] that fill the unit cube evenly."""
    whole = qmc.Sobol(n_par, scramble=True, rng=np.random.default_rng(20230124)).random_base2((n_samples - 1).bit_length())
    return np.asarray(whole[:n_samples])


def voxel_shift(z: FloatArray, n: int, seed: int) -> FloatArray:
    """Return numbers in [0, 1) [voxel, n] that only the signals and the seed decide."""
    direction = np.random.default_rng([seed, 77]).uniform(500, 1500, (z.shape[1], n))
    return np.asarray(np.mod(z @ direction, 1.0))


def _roots(prior: MixturePrior) -> tuple[FloatArray, FloatArray, FloatArray]:
    n_par = prior.bounds.shape[0]
    roots = [np.linalg.cholesky(c) for c in prior.cov]
    return np.maximum(prior.weight, 1e-12), prior.mean, np.array(roots).reshape(-1, n_par, n_par)


def draw_samples(
    signals: Signals, guess: Gaussians, prior: MixturePrior, n_samples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return samples theta [voxel, sample, param] of the network and the prior, and ln of their weights [voxel, sample]."""
    n, n_par = signals.z.shape[0], prior.bounds.shape[0]
    u, log_g, log_q = np.empty((n, n_samples, n_par)), np.empty((n, n_samples)), np.empty((n, n_samples))
    _importance.propose(
        guess.weight, guess.mean, guess.root, *_roots(prior), SHARE, sobol_points(n_samples, n_par),
        voxel_shift(signals.z, n_par + 1, seed), u, log_g, log_q,
    )  # fmt: skip
    theta = to_theta(u, prior.bounds)
    return theta, signals.log_likelihood(theta) + log_g - log_q


def log_g(prior: MixturePrior, u: FloatArray) -> FloatArray:
    """Return ln g [voxel, sample]."""
    out = np.empty(u.shape[0] * u.shape[1])
    _importance.log_prior(u.reshape(-1, u.shape[2]), *_roots(prior), out)
    return out.reshape(u.shape[:2])


def posterior_by_sampling(
    signals: Signals,
    encoder: Encoder,
    prior: MixturePrior,
    *,
    n_samples: int = 128,
    seed: int = 0,
    at: FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Posterior, FloatArray]:
    """Return the posterior of every voxel and the effective number of its samples [voxel].

    `at` [voxel, param] are values whose posterior rank is wanted.
    """
    n, n_par = signals.z.shape[0], prior.bounds.shape[0]
    out = Posterior(
        np.empty((n, n_par)), np.empty((n, n_par)), np.empty((n, n_par, len(QUANTILES))), np.empty(n),
        None if at is None else np.empty((n, n_par)),
    )  # fmt: skip
    effective = np.empty(n)

    def fill(rows: NDArray[np.intp], samples: int) -> None:
        part = signals.take(rows)
        theta, weight = draw_samples(part, encoder.posterior(part.inputs()), prior, samples, seed)
        mean, variance, quantiles = (np.empty((rows.size, n_par, *more)) for more in ((), (), (len(QUANTILES),)))
        evidence, count = np.empty(rows.size), np.empty(rows.size)
        _importance.summarise(theta, weight, np.array(QUANTILES), mean, variance, quantiles, evidence, count)
        out.mean[rows], out.sd[rows], out.quantiles[rows] = mean, np.sqrt(variance), quantiles
        out.log_evidence[rows], effective[rows] = evidence, count
        if at is not None and out.rank is not None:
            out.rank[rows] = np.einsum("vm,vmp->vp", weight, theta < at[rows][:, None])

    def work(rows: slice) -> None:
        every = np.arange(rows.start, rows.stop)
        fill(every, n_samples)
        poor = every[effective[every] < _ENOUGH]
        for some in np.array_split(poor, -(-poor.size * _MORE // _CHUNK)) if poor.size else ():
            fill(some, _MORE * n_samples)

    run_chunks(work, n, threads=threads, progress=progress, chunk=_CHUNK)
    return out, effective
