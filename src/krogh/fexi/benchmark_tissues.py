"""A test set that is not uniform: two tissues, whose distribution no estimator is told.

What a scan is like: few tissues, each with a spread. A wide uniform prior is wrong here and drags AXR to the middle of its range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.benchmark_set import TestSet
from krogh.fexi.learned.dictionary import build_dictionary
from krogh.fexi.learned.posterior import Posterior, make_problem, posterior
from krogh.fexi.learned.prior import log_uniform, to_theta
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset
from krogh.fexi.protocol import Protocol

__all__ = ["TWO_TISSUES", "TissueDensity", "draw_two_tissues", "true_posterior"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TissueDensity:
    """Hold Gaussians of (ADC, sigma, AXR), SI, cut at the bounds, in equal shares; ``mean``, ``sd`` [tissue, 3]."""

    mean: FloatArray
    sd: FloatArray
    bounds: FloatArray

    def log_density(self, u: FloatArray) -> FloatArray:
        """Return the log density per logit coordinate [...], up to a constant."""
        theta = to_theta(u, self.bounds)
        parts = [
            -0.5 * np.sum(((theta - m) / s) ** 2, axis=-1) - np.log(s / np.ptp(self.bounds, axis=1)).sum()
            for m, s in zip(self.mean, self.sd, strict=True)
        ]
        return np.asarray(np.logaddexp.reduce(parts) + log_uniform(u))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return theta [voxel, 3] and the tissue of each voxel, in order."""
        tissue = np.sort(np.arange(n) % self.mean.shape[0])
        theta = np.full((n, 3), np.inf)
        while (out := ((theta < self.bounds[:, 0]) | (theta > self.bounds[:, 1])).any(axis=1)).any():
            theta[out] = self.mean[tissue[out]] + self.sd[tissue[out]] * rng.standard_normal((int(out.sum()), 3))
        return theta, tissue


#: ADC 0.85 +- 0.08 and 0.75 +- 0.06 um2/ms, sigma 0.25 +- 0.05 and 0.18 +- 0.04, AXR 3.0 +- 0.9 and 1.5 +- 0.6 1/s.
TWO_TISSUES = TissueDensity(
    np.array([[0.85e-9, 0.25, 3.0], [0.75e-9, 0.18, 1.5]]),
    np.array([[0.08e-9, 0.05, 0.9], [0.06e-9, 0.04, 0.6]]),
    AxrModel().bounds,
)


def draw_two_tissues(n: int = 10_000, *, snr: float = 50.0, seed: int = 0, protocol: Protocol | None = None) -> TestSet:
    """Return `n` voxels, half of each tissue of :data:`TWO_TISSUES`, S0 = 1, with Rician noise of SD 1/snr on every volume."""
    rng = np.random.default_rng([seed, 5])
    chosen = preset("human-bbb") if protocol is None else protocol
    truth, tissue = TWO_TISSUES.draw(n, rng)
    clean = AxrModel().shape(truth, chosen)
    words = "two tissues: ADC 0.85 and 0.75 um2/ms, sigma 0.25 and 0.18, AXR 3.0 +- 0.9 and 1.5 +- 0.6 1/s"
    signals = add_noise(clean, 1 / snr, rng)
    return TestSet(truth, clean, signals, chosen, AxrModel().bounds, snr, seed, TWO_TISSUES, tissue, words)


def true_posterior(data: TestSet, signals: FloatArray, *, at: FloatArray | None = None) -> Posterior:
    """Return the posterior of `signals` [voxel, volume] under the true distribution of `data`, S0 = 1 known: the oracle."""
    model, n = AxrModel(bounds=dict(zip(AxrModel().parameter_names, data.prior.tolist(), strict=True))), signals.shape[0]
    levels = np.full((data.truth.shape[0], data.protocol.n_series), data.snr)
    grid = build_dictionary(model, data.protocol, data.truth, levels, known_s0=True)
    problem = make_problem(grid, signals, np.full(n, 1 / data.snr), s0=np.ones((n, data.protocol.n_series)))
    return posterior(problem, data.density, at=at)  # type: ignore[arg-type]
