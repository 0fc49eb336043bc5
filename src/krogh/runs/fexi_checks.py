"""Hold a scan against its protocol before anything is fitted: what a wrong order, a wrong table or a dead volume would show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_slopes import series_slopes

__all__ = ["Check", "check_scan", "typical_signals"]

FloatArray = NDArray[np.float64]
_BRIGHT = 0.2
#: Free water at body temperature, 3 um2/ms, is about the fastest ADC; noise and perfusion may add to it.
_FASTEST_ADC = 6.0


@dataclass(frozen=True)
class Check:
    """Hold one question, whether the answer is as it should be, and the numbers behind it."""

    question: str
    passed: bool
    found: str


def typical_signals(data: NDArray[np.float32]) -> FloatArray:
    """Return the median signal of each volume in bright voxels: those above a fifth of the brightest percent in the mean image.

    Parameters
    ----------
    data : ndarray, shape (x, y, z, volume)
        Magnitude signals; voxels that are not finite are left out.
    """
    flat = data.reshape(-1, data.shape[-1])
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(np.isfinite(flat).all(axis=1), flat.astype(np.float64).mean(axis=1), 0.0)
    top = np.percentile(mean[mean > 0], 99) if (mean > 0).any() else 0.0
    inside = mean > _BRIGHT * top
    if not inside.any():
        return np.full(flat.shape[1], np.nan)
    return np.asarray(np.median(flat[inside], axis=0), np.float64)


def check_scan(data: NDArray[np.float32], protocol: Protocol) -> list[Check]:
    """Return the checks of a scan [x, y, z, volume] that has as many volumes as the protocol has rows."""
    signal = typical_signals(data)
    finite = np.isfinite(data).all(axis=(0, 1, 2))
    dead = [int(k) + 1 for k in np.flatnonzero(~(signal > 0))]
    checks = [
        Check("every voxel of every volume holds a number", bool(finite.all()),
              "yes" if finite.all() else f"not in {int((~finite).sum())} volumes"),
        Check("every volume has signal", not dead, "yes" if not dead else f"none in volume {_some(dead)}"),
    ]  # fmt: skip
    if dead:
        return checks
    return [*checks, _falls_with_b(signal, protocol), _adc(signal, protocol), _filter(signal, protocol)]


def _falls_with_b(signal: FloatArray, protocol: Protocol) -> Check:
    wrong = []
    for s in range(protocol.n_series):
        rows = np.flatnonzero(protocol.series_index == s)
        order = rows[np.argsort(protocol.b_s_m2[rows], kind="stable")]
        rises = (np.diff(signal[order]) >= 0) & (np.diff(protocol.b_s_m2[order]) > 0)
        wrong += [int(k) + 1 for k in order[1:][rises]]
    found = "yes" if not wrong else f"not at volume {_some(sorted(wrong))}: is the order of the rows that of the volumes?"
    return Check("the signal falls with b in every series", not wrong, found)


def _adc(signal: FloatArray, protocol: Protocol) -> Check:
    values, _ = series_slopes(signal, protocol)
    good = bool(((values > 0) & (values < _FASTEST_ADC)).all())
    return Check("ADC' is that of tissue or water", good, f"{values.min():.2g} to {values.max():.2g} µm²/ms")


def _filter(signal: FloatArray, protocol: Protocol) -> Check:
    values, _ = series_slopes(signal, protocol)
    filtered = np.array([(protocol.filter_b_s_m2[protocol.series_index == s] > 0).any() for s in range(protocol.n_series)])
    if filtered.all() or not filtered.any():
        return Check("the filter lowers ADC'", False, "no filtered series" if not filtered.any() else "no unfiltered series")
    first = np.flatnonzero(filtered)[np.argmin(_mixing(protocol)[filtered])]
    before, after = float(values[~filtered].mean()), float(values[first])
    return Check("the filter lowers ADC'", after < before, f"{before:.2g} without it, {after:.2g} µm²/ms at the shortest t_m")


def _mixing(protocol: Protocol) -> FloatArray:
    return np.array([protocol.mixing_time_s[protocol.series_index == s][0] for s in range(protocol.n_series)])


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return shown + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
