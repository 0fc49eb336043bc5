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
from krogh.fexi.learned import _importance, _local, _proposal
from krogh.fexi.learned.encoder import Encoder, features
from krogh.fexi.learned.local import LocalPriors
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.protocol import Protocol

__all__ = ["SHARE", "Collected", "Signals", "posterior_by_sampling", "prior_parts", "sobol_points", "voxel_shift"]

FloatArray = NDArray[np.float64]
SHARE = 0.1
_CHUNK = 256  # small enough that the samples of a chunk stay in the cache
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

    def shape(self, theta: FloatArray) -> FloatArray:
        """Return signals for S0 = 1 [voxel, sample, volume sorted by series] of theta [voxel, sample, param]."""
        n, m, n_par = theta.shape
        shape = self.model.shape(theta.reshape(-1, n_par), self.protocol)
        if np.any(np.diff(self.order) != 1):
            shape = shape[:, self.order]
        return np.ascontiguousarray(shape).reshape(n, m, -1)

    def log_likelihood(self, theta: FloatArray) -> FloatArray:
        """Return ln L [voxel, sample] of theta [voxel, sample, param], up to a factor of the voxel."""
        out = np.empty(theta.shape[:2])
        _importance.log_likelihood(self.z, self.level, self.pointer, self.known, self.shape(theta), out)
        return out


def sobol_points(n_samples: int, n_par: int) -> FloatArray:
    """Return points [sample, param] that fill the unit cube evenly."""
    whole = qmc.Sobol(n_par, scramble=True, rng=np.random.default_rng(20230124)).random_base2((n_samples - 1).bit_length())
    return np.asarray(whole[:n_samples])


def voxel_shift(z: FloatArray, n: int, seed: int) -> FloatArray:
    """Return numbers in [0, 1) [voxel, n] that only the signals and the seed decide."""
    direction = np.random.default_rng([seed, 77]).uniform(500, 1500, (z.shape[1], n))
    return np.asarray(np.mod(z @ direction, 1.0))


def prior_parts(prior: MixturePrior) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights (background first, none 0), means and Cholesky roots, as the kernels take them."""
    n_par = prior.bounds.shape[0]
    roots = [np.linalg.cholesky(c) for c in prior.cov]
    return np.maximum(prior.weight, 1e-12), prior.mean, np.array(roots).reshape(-1, n_par, n_par)


class Collected:
    """Gather posteriors of weighted samples, some voxels at a time: ``posterior`` and ``effective`` [voxel].

    `at` [voxel, param] are values whose posterior rank is wanted.
    """

    def __init__(self, signals: Signals, bounds: FloatArray, at: FloatArray | None) -> None:
        n, n_par = signals.z.shape[0], bounds.shape[0]
        self.signals, self.bounds, self.at = signals, bounds, at
        self.effective = np.empty(n)
        self.posterior = Posterior(
            np.empty((n, n_par)), np.empty((n, n_par)), np.empty((n, n_par, len(QUANTILES))), np.empty(n),
            None if at is None else np.empty((n, n_par)),
        )  # fmt: skip

    def add(self, rows: NDArray[np.intp], fraction: FloatArray, ratio: FloatArray) -> None:
        """Weight samples `fraction` [voxel, sample, param] of the bounds by L x ratio; keep what is reported of `rows`."""
        part, out = self.signals.take(rows), self.posterior
        low, width = self.bounds[:, 0], np.ptp(self.bounds, axis=1)
        theta = low + width * fraction
        n, n_m, n_par = fraction.shape
        weight, mean, variance = np.empty((n, n_m)), np.empty((n, n_par)), np.empty((n, n_par))
        evidence, effective = np.empty(n), np.empty(n)
        _importance.weigh(
            part.z, part.level, part.pointer, part.known, part.shape(theta), ratio, fraction, weight, mean, variance, evidence,
            effective,
        )  # fmt: skip
        bits = max(1, (n_m - 1).bit_length())
        keys, quantiles = np.empty((n, n_par, n_m), np.int64), np.empty((n, n_par, len(QUANTILES)))
        _importance.sort_keys(fraction, bits, keys)
        keys.sort(axis=2)
        _importance.read_quantiles(keys, bits, fraction, weight, np.array(QUANTILES), quantiles)
        out.mean[rows], out.sd[rows] = low + width * mean, width * np.sqrt(variance)
        out.quantiles[rows] = low[:, None] + width[:, None] * quantiles
        out.log_evidence[rows], self.effective[rows] = evidence, effective
        if self.at is not None and out.rank is not None:
            out.rank[rows] = np.einsum("vm,vmp->vp", weight, theta < self.at[rows][:, None])


def posterior_by_sampling(
    signals: Signals,
    encoder: Encoder,
    prior: MixturePrior | LocalPriors,
    *,
    n_samples: int = 128,
    seed: int = 0,
    at: FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Posterior, FloatArray]:
    """Return the posterior of every voxel and the effective number of its samples [voxel].

    `prior` is of all voxels, or each has its own; `at` [voxel, param] are values whose posterior rank is wanted.
    """
    n, n_par = signals.z.shape[0], prior.bounds.shape[0]
    found = Collected(signals, prior.bounds, at)
    parts = prior_parts(prior) if isinstance(prior, MixturePrior) else ()
    propose = _local.propose_local if isinstance(prior, LocalPriors) else _proposal.propose
    points = {m: sobol_points(m, n_par) for m in (n_samples, _MORE * n_samples)}

    def fill(rows: NDArray[np.intp], samples: int) -> None:
        part = signals.take(rows)
        guess = encoder.posterior(part.inputs())
        fraction, ratio = np.empty((rows.size, samples, n_par)), np.empty((rows.size, samples))
        shift = voxel_shift(part.z, n_par + 1, seed)
        g = prior.parts(rows) if isinstance(prior, LocalPriors) else parts
        propose(guess.weight, guess.mean, guess.root, *g, SHARE, points[samples], shift, fraction, ratio)
        found.add(rows, fraction, ratio)

    def work(rows: slice) -> None:
        for some in np.array_split(np.arange(rows.start, rows.stop), max(1, -(-(rows.stop - rows.start) // _CHUNK))):
            fill(some, n_samples)
            poor = some[found.effective[some] < _ENOUGH]
            if poor.size:
                fill(poor, _MORE * n_samples)

    run_chunks(work, n, threads=threads, progress=progress, chunk=16 * _CHUNK)
    return found.posterior, found.effective
