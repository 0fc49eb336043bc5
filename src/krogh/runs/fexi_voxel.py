"""Look at one voxel of a fitted scan: its ADC' against mixing time, the fit, and how far the fit may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import get_estimator
from krogh.fexi.interface import Flag
from krogh.fexi.models import get_model
from krogh.fexi.precision import fisher
from krogh.fexi.protocol import Protocol

__all__ = ["VoxelCurve", "voxel_curve"]

FloatArray = NDArray[np.float64]
_TIMES = 60


@dataclass(frozen=True)
class VoxelCurve:
    """Hold ADC' of one voxel; um2/ms and s.

    Attributes
    ----------
    mixing_time_s, filtered, measured, error : array, shape (series,)
        ADC' of each series with one SD; the error is NaN without a noise SD.
    fit_time_s, fit : array, shape (time,)
        The AXR model at the best fit.
    low, high : array, shape (time,) or None
        The fit plus and minus 1.96 SD by the delta method; None where the noise is unknown or a parameter lies on a bound.
    axr_per_s, axr_interval : float, (float, float)
        Exchange rate with its 95 % profile interval; infinite or NaN where it is open.
    flag : Flag
        How the fit ended.
    """

    mixing_time_s: FloatArray
    filtered: NDArray[np.bool_]
    measured: FloatArray
    error: FloatArray
    fit_time_s: FloatArray
    fit: FloatArray
    low: FloatArray | None
    high: FloatArray | None
    equilibrium: float
    axr_per_s: float
    axr_interval: tuple[float, float]
    flag: Flag


def voxel_curve(signal: FloatArray, protocol: Protocol, noise_sd: float | None) -> VoxelCurve:
    """Fit the AXR model to one voxel by least squares and return its curve.

    ``ADC'(t_m) = ADC (1 - sigma exp(-AXR t_m))``; the band is ``1.96 sqrt(g C g)`` with the gradient g of ADC' and the
    Cramer-Rao covariance C of (ADC, sigma, AXR).

    Parameters
    ----------
    signal : ndarray, shape (volume,)
        Magnitude signals.
    noise_sd : float or None
        Noise SD in the unit of the signal.

    Raises
    ------
    InputError
        If the voxel has no finite, positive signals.
    """
    signal = np.asarray(signal, np.float64)
    if signal.shape != (protocol.n_volumes,) or not (np.isfinite(signal).all() and (signal > 0).all()):
        raise InputError("voxel", got="signals that are missing or not positive", expected="a voxel of the mask")
    model = get_model("axr")
    more: dict[str, Any] = {"intervals": True} if noise_sd else {}
    estimate = get_estimator("nlls")(model, protocol, signal[None], noise_sd=noise_sd, **more)
    theta = estimate.theta()[0]
    flag = Flag(int(estimate.flag[0]))
    measured, error = _slopes(signal, protocol, noise_sd)
    first = [int(np.flatnonzero(protocol.series_index == s)[0]) for s in range(protocol.n_series)]
    times = np.linspace(0.0, float(protocol.mixing_time_s.max()) * 1.05, _TIMES)
    adc, sigma, axr = theta
    decay = np.exp(-axr * times)
    fit = 1e9 * adc * (1 - sigma * decay)
    half = None
    if noise_sd and flag == Flag.OK:
        scale = np.ptp(model.bounds, axis=1)  # parameters differ by nine powers of ten
        weights = np.full(protocol.n_volumes, noise_sd**-2)
        information = fisher(model, protocol, theta[None], np.asarray(estimate.s0[:1], np.float64), weights)[0]
        covariance = np.linalg.pinv(information * np.outer(scale, scale)) * np.outer(scale, scale)
        gradient = np.stack([1 - sigma * decay, -adc * decay, adc * sigma * times * decay])
        half = 1.96e9 * np.sqrt(np.einsum("it,ij,jt->t", gradient, covariance, gradient))
    ends = estimate.interval.get("axr_per_s", (np.array([np.nan]), np.array([np.nan])))
    return VoxelCurve(
        mixing_time_s=protocol.mixing_time_s[first], filtered=protocol.filter_b_s_m2[first] > 0, measured=measured, error=error,
        fit_time_s=times, fit=fit, low=None if half is None else fit - half, high=None if half is None else fit + half,
        equilibrium=float(1e9 * adc), axr_per_s=float(axr), axr_interval=(float(ends[0][0]), float(ends[1][0])), flag=flag,
    )  # fmt: skip


def _slopes(signal: FloatArray, protocol: Protocol, noise_sd: float | None) -> tuple[FloatArray, FloatArray]:
    """Return ADC' of each series, the slope of -log signal over b, and its SD [um2/ms]."""
    values, errors = [], []
    for s in range(protocol.n_series):
        here = protocol.series_index == s
        b = protocol.b_s_m2[here] * 1e-9
        centred = b - b.mean()
        norm = (centred**2).sum()
        values.append(-(centred * np.log(signal[here])).sum() / norm)
        errors.append(np.sqrt(((centred / signal[here]) ** 2).sum()) * (noise_sd or np.nan) / norm)
    return np.array(values), np.array(errors)
