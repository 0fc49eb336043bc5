"""Fit the voxels of a region together: the FEXI numbers that can be published.

Each region gets one ADC, sigma and AXR by the joint likelihood of its voxels with profile intervals, the exchange rates and
permeability that follow, and what a single voxel of it could tell at best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.derived import exchange_maps
from krogh.fexi.estimators import get_estimator
from krogh.fexi.interface import Estimate, Flag, SignalModel
from krogh.fexi.precision import fisher, sd_from_fisher
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_maps import PS_ML_MIN_100ML, Vessels
from krogh.runs.fexi_parameters import shown
from krogh.runs.fexi_simulate import unfiltered_b0
from krogh.runs.fexi_slopes import series_slopes

__all__ = ["Curve", "Region", "fit_regions", "iter_rows", "region_masks"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Hold ADC' against mixing time of a region: measured on its mean signal, and fitted; um2/ms and s."""

    mixing_time_s: FloatArray
    filtered: NDArray[np.bool_]
    measured: FloatArray
    error: FloatArray
    fit_time_s: FloatArray
    fit: FloatArray
    equilibrium: float


@dataclass(frozen=True)
class Region:
    """Hold the pooled fit of one region.

    Attributes
    ----------
    values : dict of str to float
        Short name to value in the unit shown to users; NaN where the fit failed. With ``kie``, ``kei``, ``ps``, ``p``.
    sd : dict of str to float
        Standard deviations from the Fisher matrix.
    low, high : dict of str to float
        Ends of the 95 % profile intervals; infinite where open.
    voxel_sd : float
        Smallest possible SD of the exchange rate in one voxel of the region (Cramer-Rao bound) [1/s]; NaN if unknown.
    on_bound : float
        Share of its voxels whose own fit ended on a bound.
    posterior : dict of str to tuple
        Mean over the voxels of the region: posterior mean, SD, 2.5 and 97.5 % ends (learned estimators only).
    signal : array (volume,) or None
        Mean over its voxels, as ``krogh fexi infer`` takes it.
    """

    label: int
    name: str
    n_voxels: int
    values: dict[str, float]
    sd: dict[str, float] = field(default_factory=dict)
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)
    snr: float = np.nan
    noise_sd: float = np.nan
    rmse: float = np.nan
    voxel_sd: float = np.nan
    on_bound: float = np.nan
    flag: Flag = Flag.OK
    curve: Curve | None = None
    posterior: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    signal: FloatArray | None = None

    @property
    def rate(self) -> float:
        """Return the exchange rate AXR or k [1/s]."""
        return self.values.get("axr", self.values.get("k", np.nan))

    @property
    def sentence(self) -> str:
        """Say in words where the voxels of the region cannot hold the exchange rate, else nothing."""
        if not np.isfinite(self.rate) or self.rate <= 0 or not np.isfinite(self.voxel_sd) or self.voxel_sd <= 0.5 * self.rate:
            return ""
        return (
            f"Voxel-wise AXR cannot be estimated at this SNR ({self.snr:.0f}) in {self.name}: its SD in one voxel is at least "
            f"{self.voxel_sd:.1f} 1/s for a value of {self.rate:.1f} 1/s, and {100 * self.on_bound:.0f} % of the voxels end on a "
            "bound. Use the regional value."
        )


def region_masks(
    mask: NDArray[np.bool_], labels: NDArray[np.int32] | None, names: Mapping[int, str] | None = None
) -> list[tuple[int, str, NDArray[np.intp]]]:
    """Return label, name and voxel numbers (x fastest) of each region inside `mask`.

    Raises
    ------
    InputError
        If no labelled voxel lies inside the mask, or there are more than 1,000 labels.
    """
    inside = mask.ravel(order="F")
    if labels is None:
        return [(0, "mask", np.flatnonzero(inside))]
    flat = labels.ravel(order="F")
    values = np.unique(flat[inside & (flat > 0)])
    if not values.size:
        raise InputError("labels", got="no labelled voxel inside the mask", expected="at least one")
    if values.size > 1000:
        raise InputError("labels", got=f"{values.size} regions", expected="at most 1,000", hint="is it a label image?")
    return [(int(v), (names or {}).get(int(v), f"label {v}"), np.flatnonzero(inside & (flat == v))) for v in values]


def fit_regions(
    flat: NDArray[Any],
    protocol: Protocol,
    model: SignalModel,
    regions: list[tuple[int, str, NDArray[np.intp]]],
    noise: float | FloatArray | None,
    flags: NDArray[np.uint8],
    *,
    vessels: Vessels,
    likelihood: str = "gaussian",
) -> tuple[Region, ...]:
    """Return the pooled fit of each region; one without usable voxels has NaN values and its flag.

    Parameters
    ----------
    flat : ndarray, shape (voxel, volume)
        Signals of the whole grid.
    noise : float or ndarray (voxel,) or None
        Noise SD; None: estimated per region.
    flags : ndarray, shape (voxel,), uint8
        Flags of the voxel-wise fit.
    vessels : Vessels
        For k_ie, PS and P.
    likelihood : {"gaussian", "rician"}, optional
        Of the pooled fit (AXR model).
    """
    return tuple(_fit_region(flat, protocol, model, *region, noise, flags, vessels, likelihood) for region in regions)


def _fit_region(
    flat: NDArray[Any],
    protocol: Protocol,
    model: SignalModel,
    label: int,
    name: str,
    rows: NDArray[np.intp],
    noise: float | FloatArray | None,
    flags: NDArray[np.uint8],
    vessels: Vessels,
    likelihood: str,
) -> Region:
    good = rows[(flags[rows] != Flag.NON_FINITE) & (flags[rows] != Flag.MASKED)]
    if not good.size:
        return Region(label, name, 0, {shown(n).name: np.nan for n in model.parameter_names}, flag=Flag.NON_FINITE)
    signals = flat[good].astype(np.float64)
    sd = noise[good] if isinstance(noise, np.ndarray) else noise
    estimate = _pooled(signals, protocol, model, sd, likelihood)
    theta = estimate.theta()[0]
    values, deviations, low, high = {}, {}, {}, {}
    for j, field_name in enumerate(model.parameter_names):
        p = shown(field_name)
        values[p.name] = float(theta[j] / p.si_per_unit)
        if field_name in estimate.sd:
            deviations[p.name] = float(estimate.sd[field_name][0] / p.si_per_unit)
        if field_name in estimate.interval:
            ends = estimate.interval[field_name]
            low[p.name], high[p.name] = (float(end[0] / p.si_per_unit) for end in ends)
    rate = values.get("axr", values.get("k", np.nan))
    values |= _exchange(rate, values.get("fi", vessels.blood_fraction), vessels)
    spread = _mean_sd(sd, estimate)
    s0 = np.asarray(estimate.s0[:1], np.float64)
    at_rest = signals[:, unfiltered_b0(protocol)].mean()
    return Region(
        label=label,
        name=name,
        n_voxels=int(good.size),
        values=values,
        sd=deviations,
        low=low,
        high=high,
        snr=float(at_rest / spread),
        noise_sd=spread,
        rmse=float(estimate.rmse[0]),
        voxel_sd=_voxel_sd(model, protocol, theta, s0, spread),
        on_bound=float((flags[good] == Flag.ON_BOUND).mean()),
        flag=Flag(int(estimate.flag[0])),
        curve=_curve(signals.mean(axis=0), protocol, model, theta, spread / np.sqrt(good.size)),
        signal=signals.mean(axis=0),
    )


def _pooled(
    signals: FloatArray, protocol: Protocol, model: SignalModel, sd: float | FloatArray | None, likelihood: str
) -> Estimate:
    if model.name == "axr":
        return get_estimator("pooled")(model, protocol, signals, noise_sd=sd, likelihood=likelihood)
    mean_sd = None if sd is None else float(np.mean(sd)) / np.sqrt(signals.shape[0])
    return get_estimator("nlls")(model, protocol, signals.mean(axis=0, keepdims=True), noise_sd=mean_sd)


def _mean_sd(sd: float | FloatArray | None, estimate: Estimate) -> float:
    if sd is not None:
        return float(np.mean(sd))
    if estimate.noise_sd is not None:
        return float(np.mean(estimate.noise_sd))
    return float("nan")


def _exchange(rate: float, f_i: float, vessels: Vessels) -> dict[str, float]:
    made = exchange_maps(rate, blood_fraction=float(np.clip(f_i, 1e-9, 0.999)), capillary_radius_m=vessels.radius_m)
    values = (made.k_ie_per_s, made.k_ei_per_s, PS_ML_MIN_100ML * made.ps_per_s, 1e6 * made.p_m_s)
    return dict(zip(("kie", "kei", "ps", "p"), map(float, values), strict=True))


def _voxel_sd(model: SignalModel, protocol: Protocol, theta: FloatArray, s0: FloatArray, sd: float) -> float:
    name = next((n for n in ("axr_per_s", "k_per_s") if n in model.parameter_names), None)
    if name is None or not np.isfinite(sd) or sd <= 0 or not np.isfinite(theta).all():
        return float("nan")
    information = fisher(model, protocol, theta[None], s0, np.full(protocol.n_volumes, 1 / sd**2))
    return float(sd_from_fisher(information, np.ptp(model.bounds, axis=1))[0][0, model.parameter_names.index(name)])


def _curve(mean: FloatArray, protocol: Protocol, model: SignalModel, theta: FloatArray, sd: float) -> Curve | None:
    """Return ADC' of each series from the log of the mean signal over b, with its error, and the fitted curve."""
    if not (mean > 0).all() or not np.isfinite(theta).all():
        return None

    first = [int(np.flatnonzero(protocol.series_index == s)[0]) for s in range(protocol.n_series)]
    filtered = protocol.filter_b_s_m2[first] > 0
    times = protocol.mixing_time_s[first]
    measured, error = series_slopes(mean, protocol, sd)
    grid = np.linspace(0.0, times.max() * 1.05, 60)
    fit, equilibrium = _model_curve(model, theta, protocol, grid, filtered)
    return Curve(times, filtered, measured, error, grid, fit, equilibrium)


def _model_curve(
    model: SignalModel, theta: FloatArray, protocol: Protocol, grid: FloatArray, filtered: NDArray[np.bool_]
) -> tuple[FloatArray, float]:
    if model.name == "axr":
        adc, sigma, axr = theta
        return 1e9 * adc * (1 - sigma * np.exp(-axr * grid)), float(1e9 * adc)
    predicted = series_slopes(model.predict(theta[None], np.ones((1, protocol.n_series)), protocol)[0], protocol)[0]
    first = [int(np.flatnonzero(protocol.series_index == s)[0]) for s in range(protocol.n_series)]
    order = np.argsort(protocol.mixing_time_s[first])
    order = order[filtered[order]]
    at_rest = float(predicted[~filtered].mean()) if (~filtered).any() else float("nan")
    return np.interp(grid, protocol.mixing_time_s[first][order], predicted[order], left=np.nan, right=np.nan), at_rest


def iter_rows(regions: tuple[Region, ...]) -> Iterator[dict[str, Any]]:
    """Yield one flat row per region for the table."""
    for r in regions:
        row: dict[str, Any] = {"label": r.label, "region": r.name, "voxels": r.n_voxels}
        for name, value in r.values.items():
            row[name] = value
            if name in r.sd:
                row[f"{name}_sd"] = r.sd[name]
            if name in r.low:
                row[f"{name}_low"], row[f"{name}_high"] = r.low[name], r.high[name]
        for name, numbers in r.posterior.items():
            row |= {f"{name}_post{end}": value for end, value in zip(("", "_sd", "_low", "_high"), numbers, strict=True)}
        row |= {
            "snr": r.snr,
            "noise_sd": r.noise_sd,
            "rmse": r.rmse,
            "axr_sd_one_voxel": r.voxel_sd,
            "share_on_bound": r.on_bound,
        }
        yield {**row, "flag": int(r.flag)}
