"""Hold simulated voxels whose truth is known, for every benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.protocol import Protocol

__all__ = ["TestSet", "rician"]

FloatArray = NDArray[np.float64]
#: True log density of a test set: ``log_density(u)`` of logit coordinates [..., 3], as a learned prior has it.
Density = Any


def rician(clean: FloatArray, sd: float, rng: np.random.Generator) -> FloatArray:
    """Return the magnitude of `clean` with complex Gaussian noise of SD `sd` per channel."""
    real, imaginary = rng.standard_normal((2, *clean.shape))
    return np.hypot(clean + sd * real, sd * imaginary)


@dataclass(frozen=True)
class TestSet:
    """Hold truth [voxel, 3], noise-free and noisy signals [voxel, volume] and how they were made.

    ``prior`` [3, 2] are the limits that estimators are given. ``density`` is the true log density per logit coordinate where it
    is not uniform within them, ``tissue`` [voxel] the tissue of each voxel; estimators see neither.
    """

    __test__ = False
    truth: FloatArray
    clean: FloatArray
    signals: FloatArray
    protocol: Protocol
    prior: FloatArray
    snr: float
    seed: int
    density: Density | None = None
    tissue: NDArray[np.int64] | None = None
    words: str = "ADC 0.1-4 um2/ms, sigma 0-0.8, AXR 0.1-20 1/s uniform"

    @property
    def span(self) -> FloatArray:
        """Range of the truth [3, 2], for bins and axes."""
        return self.prior if self.density is None else np.quantile(self.truth, [0.001, 0.999], axis=0).T

    def noisy(self, rows: NDArray[np.int64], stream: int) -> FloatArray:
        """Return fresh Rician noise on the voxels `rows`; `stream` numbers the repetition."""
        return rician(self.clean[rows], 1 / self.snr, np.random.default_rng([self.seed, 1, stream]))
