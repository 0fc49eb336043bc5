"""Everything but the exchange rate in closed form: ADC, sigma and S0 of the AXR model for given rates (variable projection).

With k fixed, ``ln S = ln S0 - b (ADC - c E)``, ``c = ADC sigma``, ``E = exp(-k t_m)`` after a filter, is linear in ln S0, ADC
and c. Weighted by the squared signal (the inverse variance of ln S), with S0 known or taken out within its series, each rate on a
grid has a quadratic misfit in them, which is integrated over ADC and sigma within their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from krogh.errors import UsageError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned._projection import conditional
from krogh.fexi.learned.sampling import Signals

__all__ = ["FLAT", "Conditional", "Tissue", "normal_quantiles", "project", "rate_grid"]

FloatArray = NDArray[np.float64]
_SCALE = 1e9  # m2/s -> um2/ms
_NODES = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class Conditional:
    """Hold, for each voxel and rate [voxel, rate]: ln evidence, mean and SD of ADC [m2/s] and sigma."""

    log_evidence: FloatArray
    adc: FloatArray
    adc_sd: FloatArray
    sigma: FloatArray
    sigma_sd: FloatArray


@dataclass(frozen=True)
class Tissue:
    """Hold Gaussians of ADC [m2/s] and sigma, cut at the bounds: mean and 1 / SD of each (0: uniform)."""

    adc: tuple[float, float] = (0.0, 0.0)
    sigma: tuple[float, float] = (0.0, 0.0)


#: Uniform within the bounds.
FLAT = Tissue()


def rate_grid(model: SignalModel, n: int) -> tuple[FloatArray, FloatArray]:
    """Return `n` rates k [1/s] and the edges of their cells [n + 1], finer at small rates, within the bounds of AXR.

    Raises
    ------
    UsageError
        If the model is not the AXR model: only there do the other parameters follow in closed form.
    """
    if model.name != "axr":
        raise UsageError(
            "estimator physics", got=f"model {model.name}", expected="axr",
            hint="only there ADC, sigma and S0 follow in closed form from the rate; use npe, supervised or selfsup",
        )  # fmt: skip
    low, high = model.bounds[2]
    edges = low + (high - low) * np.linspace(0, 1, n + 1) ** 1.5
    return 0.5 * (edges[1:] + edges[:-1]), edges


def project(signals: Signals, rates: FloatArray, tissue: Tissue = FLAT) -> Conditional:
    """Return evidence and conditional moments of `signals` at `rates` [rate], with `tissue` within the bounds."""
    a11, a12, a22, b1, b2, rest = _normal_equations(signals, rates)
    mean, inverse = tissue.adc[0] * _SCALE, tissue.adc[1] / _SCALE
    a11, b1, rest = a11 + inverse**2, b1 + mean * inverse**2, rest + (mean * inverse) ** 2
    evidence, moment = np.empty(a12.shape), np.empty((4, *a12.shape))
    bounds = signals.model.bounds[:2] * np.array([[_SCALE], [1.0]])
    conditional(a11, a12, a22, b1, b2, rest, bounds, np.array(tissue.sigma), *_NODES, evidence, moment)
    return Conditional(evidence, moment[0] / _SCALE, np.sqrt(moment[1]) / _SCALE, moment[2], np.sqrt(moment[3]))


def _normal_equations(signals: Signals, rates: FloatArray) -> tuple[FloatArray, ...]:
    """Return the weighted sums [voxel] or [voxel, rate] of the linear problem, S0 known or taken out within each series."""
    protocol, order = signals.protocol, signals.order
    b = protocol.b_s_m2[order] / _SCALE
    filtered = protocol.filter_b_s_m2[order] > 0
    first = signals.pointer[:-1]
    slopes = (filtered * np.exp(-rates[:, None] * protocol.mixing_time_s[order])).T[first]  # [series, rate]: same within a series
    w = signals.z**2
    z = np.maximum(signals.z, 3.0)
    y = np.log(z) - 2.0 / z**2  # weights z^2 lean towards high noise by 3/2, the Rician mean by 1/2
    if signals.known:
        y = y - np.repeat(np.log(signals.level), np.diff(signals.pointer), axis=1)

    def each(values: FloatArray) -> FloatArray:
        return np.asarray(np.add.reduceat(values, first, axis=1))

    bb, by, yy = each(w * b * b), each(w * b * y), each(w * y * y)
    if not signals.known:
        total, wb, wy = each(w), each(w * b), each(w * y)
        bb, by, yy = bb - wb * wb / total, by - wb * wy / total, yy - wy * wy / total
    return (
        bb.sum(axis=1), -bb @ slopes, bb @ slopes**2, -by.sum(axis=1), by @ slopes, yy.sum(axis=1),
    )  # fmt: skip


def normal_quantiles(mean: FloatArray, sd: FloatArray, levels: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return the quantiles [voxel, level] of Gaussians cut at `bounds`."""
    left, right = (ndtr((edge - mean) / sd)[:, None] for edge in bounds)
    inner = np.clip(left + levels * (right - left), 1e-12, 1 - 1e-12)
    return np.clip(mean[:, None] + sd[:, None] * ndtri(inner), bounds[0], bounds[1])
