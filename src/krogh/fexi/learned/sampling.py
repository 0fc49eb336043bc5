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
from krogh.fexi.learned.hyperprior import scores
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.prior import MixturePrior, to_theta
from krogh.fexi.protocol import Protocol

__all__ = ["SampledEvidence", "Signals", "draw_samples", "posterior_by_sampling"]

FloatArray = NDArray[np.float64]
SHARE = 0.1
_CHUNK = 2048


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
        shape = self.model.shape(theta.reshape(-1, n_par), self.protocol)[:, self.order].reshape(n, m, -1)
        out = np.empty((n, m))
        _importance.log_likelihood(self.z, self.level, self.pointer, self.known, np.ascontiguousarray(shape), out)
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
    """Return samples u [voxel, sample, param] and ln L - ln q [voxel, sample]."""
    n, n_par = signals.z.shape[0], prior.bounds.shape[0]
    u, log_q = np.empty((n, n_samples, n_par)), np.empty((n, n_samples))
    _importance.propose(
        guess.weight, guess.mean, guess.root, *_roots(prior), SHARE, sobol_points(n_samples, n_par),
        voxel_shift(signals.z, n_par + 1, seed), u, log_q,
    )  # fmt: skip
    return u, signals.log_likelihood(to_theta(u, prior.bounds)) - log_q


def log_g(prior: MixturePrior, u: FloatArray) -> FloatArray:
    """Return ln g [voxel, sample]."""
    out = np.empty(u.shape[0] * u.shape[1])
    _importance.log_prior(u.reshape(-1, u.shape[2]), *_roots(prior), out)
    return out.reshape(u.shape[:2])


@dataclass(frozen=True)
class SampledEvidence:
    """The importance-weighted bound of the voxels with fixed samples, as a function of the prior.

    ``u`` [voxel, sample, param], ``base`` = ln L - ln q [voxel, sample]; the bound is ``sum_v ln mean_m exp(base + ln g(u))``
    (Burda 2016, arXiv 1509.00519).
    """

    u: FloatArray
    base: FloatArray

    def value(self, prior: MixturePrior) -> tuple[float, FloatArray]:
        """Return the bound, and the normalised weights [voxel, sample]."""
        level = self.base + log_g(prior, self.u)
        top = level.max(axis=1, keepdims=True)
        weight = np.exp(level - top)
        add = weight.sum(axis=1, keepdims=True)
        return float(np.sum(top + np.log(add / level.shape[1]))), weight / add

    def each(self, prior: MixturePrior, weight: FloatArray) -> FloatArray:
        """Return the gradient of every voxel [voxel, coordinate]."""
        n, m, n_par = self.u.shape
        parts = [
            np.einsum("vm,vmc->vc", weight[i : i + 2000], scores(prior, self.u[i : i + 2000].reshape(-1, n_par)).reshape(
                min(2000, n - i), m, -1)) for i in range(0, n, 2000)
        ]  # fmt: skip
        return np.concatenate(parts)

    def slope(self, prior: MixturePrior, state: FloatArray) -> FloatArray:
        """Return the gradient in local coordinates."""
        return np.asarray(self.each(prior, state).sum(axis=0))

    def information(self, prior: MixturePrior, state: FloatArray) -> FloatArray:
        """Return the empirical Fisher matrix."""
        each = self.each(prior, state)
        return np.asarray(each.T @ each)


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

    def work(rows: slice) -> None:
        part = signals.take(rows)
        u, base = draw_samples(part, encoder.posterior(part.inputs()), prior, n_samples, seed)
        weight, theta = base + log_g(prior, u), to_theta(u, prior.bounds)
        variance = np.empty((theta.shape[0], n_par))
        _importance.summarise(
            theta, weight, np.array(QUANTILES), out.mean[rows], variance, out.quantiles[rows], out.log_evidence[rows],
            effective[rows],
        )  # fmt: skip
        out.sd[rows] = np.sqrt(variance)
        if at is not None and out.rank is not None:
            out.rank[rows] = np.einsum("vm,vmp->vp", weight, theta < at[rows][:, None])

    run_chunks(work, n, threads=threads, progress=progress, chunk=_CHUNK)
    return out, effective
