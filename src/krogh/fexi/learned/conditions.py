"""What a network is trained for, and voxels simulated under it: tissues, SNR range, S0 of the series.

A network knows one protocol, one model with its bounds, one prior and one range of noise. Here these are one object, which can
simulate any number of voxels, each batch from its own seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.precision import check_identifiable
from krogh.fexi.protocol import Protocol

__all__ = ["Conditions", "snr_range", "unfiltered_level"]

FloatArray = NDArray[np.float64]
#: S0 of a filtered series over that of the unfiltered ones: filter loss, T1 decay and crushers (assumed range).
S0_RATIO = (0.25, 1.2)
_MAX_SNR = 1e4


@dataclass(frozen=True)
class Conditions:
    """Hold what a network is trained for.

    Attributes
    ----------
    model, protocol : SignalModel, Protocol
        One of each.
    prior : MixturePrior
        Distribution of the tissues.
    snr : (float, float)
        Lowest and highest unfiltered S0 over noise SD, drawn evenly on a logarithmic scale.
    s0 : {"per-series", "known"}
        S0 of each series free (drawn within 0.25 to 1.2 of the unfiltered one), or known and the same in all.
    """

    model: SignalModel
    protocol: Protocol
    prior: MixturePrior
    snr: tuple[float, float] = (20.0, 200.0)
    s0: str = "per-series"

    def __post_init__(self) -> None:
        low, high = self.snr
        if not 3 <= low <= high <= _MAX_SNR:
            raise InputError("SNR range", got=f"{low:g} to {high:g}", expected="low <= high, both 3 to 10000")
        if self.s0 not in ("per-series", "known"):
            raise InputError("s0", got=repr(self.s0), expected="per-series or known, for a network")
        if not np.array_equal(self.prior.bounds, self.model.bounds):
            raise InputError("prior", got="a prior with other bounds", expected="the bounds of the model")
        check_identifiable(self.model, self.protocol, s0_free=self.s0 == "per-series")

    @property
    def known(self) -> bool:
        """Whether S0 is known."""
        return self.s0 == "known"

    def simulate(self, n: int, seed: Any) -> tuple[Signals, FloatArray]:
        """Return `n` noisy voxels in units of their noise, and their tissues theta [voxel, param]; `seed` may be a list."""
        rng = np.random.default_rng(seed)
        theta = self.prior.draw(n, rng)
        low, high = np.log(self.snr)
        level = np.repeat(np.exp(rng.uniform(low, high, (n, 1))), self.protocol.n_series, axis=1)
        if not self.known:
            low, high = np.log(S0_RATIO)
            ratio = np.exp(rng.uniform(low, high, level.shape))
            ratio[:, unfiltered_series(self.protocol)] = 1.0
            level = level * ratio
        clean = level[:, self.protocol.series_index] * self.model.shape(theta, self.protocol)
        noise = rng.standard_normal((2, *clean.shape))
        signals = np.hypot(clean + noise[0], noise[1])
        return Signals.of(self.model, self.protocol, signals, np.ones(n), level if self.known else None), theta


def unfiltered_series(protocol: Protocol) -> NDArray[np.intp]:
    """Return the places of the series without filter."""
    return np.unique(protocol.series_index[protocol.filter_b_s_m2 == 0])


def unfiltered_level(signals: Signals) -> FloatArray:
    """Return the SNR of each voxel: unfiltered S0 over noise SD where known, else the largest unfiltered signal [voxel]."""
    series = unfiltered_series(signals.protocol)
    if signals.known:
        return np.asarray(signals.level[:, series].mean(axis=1))
    tops = [signals.z[:, signals.pointer[s] : signals.pointer[s + 1]].max(axis=1) for s in series]
    return np.asarray(np.mean(tops, axis=0))


def snr_range(signals: Signals) -> tuple[float, float]:
    """Return a range of SNR somewhat wider than that of 98 % of the voxels, to train for a scan."""
    low, high = np.quantile(unfiltered_level(signals), [0.01, 0.99])
    return float(np.clip(0.8 * low, 3, 8e3)), float(np.clip(1.25 * high, 3.1, _MAX_SNR))
