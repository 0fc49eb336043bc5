"""Hold magnitudes of complex noise: their likelihood is Rician, which matters below an SNR of about ten.

With the noiseless signal m, the SD s of one channel and ``z = y m / s^2``::

    -log L = (y - m)^2 / (2 s^2) - log(exp(-z) I0(z)) - log(y / s^2)

Source: Gudbjartsson and Patz 1995 doi:10.1002/mrm.1910340618.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import i0e, i1e

from krogh.inference.observations import Loss, Observations

__all__ = ["RicianObservations"]

_SMALL = 1e-6
#: Least curvature, over that of normal errors: near the noise floor the likelihood is not convex.
_FLOOR = 1e-3


@dataclass(frozen=True)
class RicianObservations(Observations):
    """Hold N magnitudes, all > 0, with the SD of one channel in ``sd``; ``cv`` and ``lloq`` play no part."""

    def loss(self, m: np.ndarray) -> Loss:
        """Return -log L without its constants and its derivatives for the noiseless signals `m` (..., N), >= 0."""
        s2 = self.spread(m) ** 2
        y = self.value
        z = y * m / s2
        ratio = i1e(z) / i0e(z)
        bend = np.where(z > _SMALL, 1.0 - ratio / np.maximum(z, _SMALL) - ratio**2, 0.5)
        return Loss(
            (y - m) ** 2 / (2 * s2) - np.log(i0e(z)), (m - y * ratio) / s2, np.maximum(1.0 - y**2 / s2 * bend, _FLOOR) / s2
        )

    def residual(self, m: np.ndarray) -> np.ndarray:
        """Return (y - mean)/SD of the magnitudes (..., N): their mean lies above the signal where that is in the noise."""
        s2 = self.spread(m) ** 2
        half = m**2 / (4 * s2)
        mean = np.sqrt(np.pi * s2 / 2) * ((1 + 2 * half) * i0e(half) + 2 * half * i1e(half))
        return np.asarray((self.value - mean) / np.sqrt(np.maximum(2 * s2 + m**2 - mean**2, 0.0)))

    def draw(self, m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return simulated magnitudes (..., N) of noiseless signals."""
        s = self.spread(m)
        return np.hypot(m + s * rng.standard_normal(m.shape), s * rng.standard_normal(m.shape))
