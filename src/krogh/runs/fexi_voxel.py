"""Look at one voxel of a fitted scan: its ADC' against mixing time, the fit, and how far the fit may be trusted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import get_estimator
from krogh.fexi.interface import Estimate, Flag, SignalModel
from krogh.fexi.models import get_model
from krogh.fexi.precision import fisher
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_slopes import series_slopes

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
        The model at the best fit, after the filter.
    low, high : array, shape (time,) or None
        The fit plus and minus 1.96 SD by the delta method; None where the noise is unknown or a parameter lies on a bound.
    equilibrium : float
        The model without the filter.
    rate_name : str
        Which parameter is the exchange rate.
    rate_per_s, rate_interval : float, (float, float)
        Its value with a 95 % interval: of the profile likelihood for AXR, 1.96 SD for the others; infinite or NaN where open.
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
    rate_name: str
    rate_per_s: float
    rate_interval: tuple[float, float]
    flag: Flag


def voxel_curve(signal: FloatArray, protocol: Protocol, noise_sd: float | None, model: SignalModel | None = None) -> VoxelCurve:
    """Fit a model to one voxel by least squares and return its curve.

    ``ADC'(t_m)`` is the slope of ``-log S`` over the b of the protocol; for the AXR model, ``ADC (1 - sigma exp(-AXR t_m))``. The
    band is ``1.96 sqrt(g C g)`` with the gradient g of ADC' and the Cramer-Rao covariance C of the parameters.

    Parameters
    ----------
    signal : ndarray, shape (volume,)
        Magnitude signals.
    noise_sd : float or None
        Noise SD in the unit of the signal.
    model : SignalModel, optional
        AXR by default.

    Raises
    ------
    InputError
        If the voxel has no finite, positive signals.
    """
    signal = np.asarray(signal, np.float64)
    if signal.shape != (protocol.n_volumes,) or not (np.isfinite(signal).all() and (signal > 0).all()):
        raise InputError("voxel", got="signals that are missing or not positive", expected="a voxel of the mask")
    model = get_model("axr") if model is None else model
    profile = bool(noise_sd) and model.name == "axr"
    more: dict[str, Any] = {"intervals": True} if profile else {}
    estimate = get_estimator("nlls")(model, protocol, signal[None], noise_sd=noise_sd, **more)
    theta, flag = estimate.theta(), Flag(int(estimate.flag[0]))
    measured, error = series_slopes(signal, protocol, noise_sd or np.nan)
    first = [int(np.flatnonzero(protocol.series_index == s)[0]) for s in range(protocol.n_series)]
    dense = _dense(protocol)
    values, gradient = _predicted(model, theta, dense)
    half = None
    if noise_sd and flag == Flag.OK:
        half = 1.96 * np.sqrt(np.einsum("ti,ij,tj->t", gradient, _covariance(model, estimate, protocol, noise_sd), gradient))[:-1]
    name = next(n for n in model.parameter_names if n in ("axr_per_s", "k_per_s"))
    fit = values[:-1]
    return VoxelCurve(
        mixing_time_s=protocol.mixing_time_s[first], filtered=protocol.filter_b_s_m2[first] > 0, measured=measured, error=error,
        fit_time_s=_times(protocol), fit=fit, low=None if half is None else fit - half, high=None if half is None else fit + half,
        equilibrium=float(values[-1]), rate_name="AXR" if name == "axr_per_s" else "k",
        rate_per_s=float(estimate.parameters[name][0]), rate_interval=_interval(estimate, name), flag=flag,
    )  # fmt: skip


def _interval(estimate: Estimate, name: str) -> tuple[float, float]:
    if name in estimate.interval:
        low, high = estimate.interval[name]
        return float(low[0]), float(high[0])
    sd = estimate.sd.get(name, np.array([np.nan]))
    value = float(estimate.parameters[name][0])
    return value - 1.96 * float(sd[0]), value + 1.96 * float(sd[0])


def _times(protocol: Protocol) -> FloatArray:
    return np.linspace(0.0, float(protocol.mixing_time_s.max()) * 1.05, _TIMES)


def _dense(protocol: Protocol) -> Protocol:
    """Return the protocol with many mixing times after its filter, and one series without it at the last of them."""
    filtered = protocol.filter_b_s_m2 > 0
    b = np.unique(protocol.b_s_m2[filtered])
    times = np.append(_times(protocol), _times(protocol)[-1])
    blocks = np.append(np.full(_TIMES, float(protocol.filter_b_s_m2[filtered].max())), 0.0)
    crusher = protocol.crusher_q_rad_m
    if isinstance(crusher, np.ndarray):
        crusher = float(crusher[filtered].mean())
    return dataclasses.replace(
        protocol, filter_b_s_m2=np.repeat(blocks, b.size), b_s_m2=np.tile(b, times.size), mixing_time_s=np.repeat(times, b.size),
        series=np.repeat(np.arange(times.size), b.size), average=np.ones(times.size * b.size, np.int64), directions=None,
        filter_directions=None, crusher_q_rad_m=crusher, require_b0=False,
    )  # fmt: skip


def _predicted(model: SignalModel, theta: FloatArray, dense: Protocol) -> tuple[FloatArray, FloatArray]:
    """Return ADC' of each series [um2/ms] and its gradient [series, param]."""
    count = dense.n_series
    b = dense.b_s_m2.reshape(count, -1) * 1e-9
    centred = b - b.mean(axis=1, keepdims=True)
    weight = centred / (centred**2).sum(axis=1, keepdims=True)
    shape = model.shape(theta, dense)[0].reshape(count, -1)
    slope = model.shape_jacobian(theta, dense)[0].reshape(count, b.shape[1], -1)
    return -(weight * np.log(shape)).sum(axis=1), -np.einsum("sb,sbp->sp", weight / shape, slope)


def _covariance(model: SignalModel, estimate: Estimate, protocol: Protocol, noise_sd: float) -> FloatArray:
    """Return the Cramer-Rao covariance of the parameters; they differ by nine powers of ten, so it is scaled by their bounds."""
    scale = np.ptp(model.bounds, axis=1)
    weights = np.full(protocol.n_volumes, noise_sd**-2)
    information = fisher(model, protocol, estimate.theta(), np.asarray(estimate.s0[:1], np.float64), weights)[0]
    return np.asarray(np.linalg.pinv(information * np.outer(scale, scale)) * np.outer(scale, scale))
