"""Read ADC' of every series off a signal: the slope of its logarithm over b."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.protocol import Protocol

__all__ = ["series_slopes"]

FloatArray = NDArray[np.float64]


def series_slopes(signal: FloatArray, protocol: Protocol, noise_sd: float = np.nan) -> tuple[FloatArray, FloatArray]:
    """Return ADC' of each series by least squares of -ln S over b, and its SD, [um2/ms] both.

    Parameters
    ----------
    signal : ndarray, shape (volume,)
        Positive.
    noise_sd : float
        Of the signal; without it the SD is NaN.
    """
    values, errors = [], []
    for s in range(protocol.n_series):
        here = protocol.series_index == s
        b = protocol.b_s_m2[here] * 1e-9
        centred = b - b.mean()
        norm = (centred**2).sum()
        values.append(-(centred * np.log(signal[here])).sum() / norm)
        errors.append(np.sqrt(((centred / signal[here]) ** 2).sum()) * noise_sd / norm)
    return np.array(values), np.array(errors)
