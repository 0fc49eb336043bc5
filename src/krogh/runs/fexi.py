"""Fit a whole FEXI scan: arrays in, maps and regional values out.

The scan passes in chunks of voxels, so that memory stays at the size of the maps. Files are read and written by ``krogh.io``;
estimators and models come from ``krogh.fexi``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import get_estimator, get_preparation
from krogh.fexi.interface import Flag, Progress, SignalModel
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.models import get_model
from krogh.fexi.noise import estimate_noise_sd
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_maps import MapStore, ParameterMap, Vessels
from krogh.runs.fexi_posterior import with_posteriors
from krogh.runs.fexi_regions import Region, fit_regions, region_masks
from krogh.runs.fexi_simulate import unfiltered_b0

__all__ = ["FexiMaps", "estimate_noise_sd", "fit_scan"]

_CHUNK = 65536
_NOISE_SAMPLE = 20000


@dataclass(frozen=True)
class FexiMaps:
    """Hold the result of a fit.

    Attributes
    ----------
    maps : dict of str to ParameterMap
        By short name: parameters, ``...Sd``, ``...Low``/``...High``, ``s0`` (x, y, z, series), ``kie``, ``kei``, ``ps``, ``p``,
        ``rmse``, ``flag`` (uint8, see :class:`krogh.fexi.interface.Flag`).
    regions : tuple of Region
        Pooled fits.
    noise_sd : float or None
        Mean noise SD used, in the unit of the data; None where it was not known.
    noise_source : str
        Where it comes from.
    snr : float or None
        Mean unfiltered b = 0 signal in the mask over `noise_sd`.
    counts : dict of str to int
        Voxels by flag name.
    notes : tuple of str
        Sentences for the user.
    priors : dict of int to MixturePrior
        What the posteriors are under, by tissue label; empty for estimators without.
    """

    maps: dict[str, ParameterMap]
    regions: tuple[Region, ...]
    noise_sd: float | None
    noise_source: str
    snr: float | None
    counts: dict[str, int]
    estimator: str
    model: SignalModel
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    priors: dict[int, MixturePrior] = field(default_factory=dict)


def fit_scan(
    data: NDArray[Any],
    protocol: Protocol,
    mask: NDArray[np.bool_],
    *,
    estimator: str = "nlls",
    model: SignalModel | None = None,
    noise_sd: float | NDArray[Any] | None = None,
    labels: NDArray[np.int32] | None = None,
    region_names: dict[int, str] | None = None,
    vessels: Vessels | None = None,
    intervals: bool = False,
    options: dict[str, Any] | None = None,
    tissues: NDArray[np.int32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    learning: Progress | None = None,
) -> FexiMaps:
    """Fit every voxel of `mask`, and the voxels of each region together.

    Parameters
    ----------
    data : ndarray, shape (x, y, z, volume)
        Magnitude signals as acquired, any unit.
    protocol : Protocol
        One entry per volume.
    mask : ndarray, shape (x, y, z), bool
        Voxels to fit.
    estimator : str, optional
        A name of :data:`krogh.fexi.estimators.ESTIMATORS`; regions are always pooled fits.
    model : SignalModel, optional
        Default: the AXR model.
    noise_sd : float or ndarray (x, y, z), optional
        Noise SD in the unit of `data`; default: estimated from the residuals of the mask.
    labels : ndarray, shape (x, y, z), int32, optional
        Regions to pool; without it the whole mask is the one region.
    region_names : dict of int to str, optional
        Names of the labels.
    vessels : Vessels, optional
        For the maps of PS and P.
    intervals : bool, optional
        Also profile-likelihood intervals per voxel (slower).
    options : dict, optional
        Settings of the estimator.
    tissues : ndarray, shape (x, y, z), int32, optional
        Tissue labels, for estimators that learn a prior for each.
    threads : int, optional
        0: what the machine has.
    progress : callable, optional
        Called with voxels done and voxels in all.
    learning : callable, optional
        The same for the steps of estimators that first learn from the scan.

    Returns
    -------
    FexiMaps

    Raises
    ------
    InputError
        If shapes do not match, or no voxel can be fitted.
    """
    model = model or get_model("axr")
    threads = threads or os.cpu_count() or 1
    _check_shapes(data, protocol, mask, {"mask": mask, "labels": labels, "tissue labels": tissues})
    vessels = vessels or Vessels()
    flat = data.reshape((-1, data.shape[3]), order="F")
    inside = np.flatnonzero(mask.ravel(order="F"))
    noise, source = _noise(flat, inside, protocol, model, noise_sd, threads)
    store = MapStore(model, protocol, mask.shape, inside.size)
    settings: dict[str, Any] = {"intervals": True} if intervals and estimator == "nlls" else {}
    settings |= options or {}
    if learns := get_preparation(estimator) is not None:
        noise = _needed(noise, source)
    scan = _Voxels(model, protocol, flat, inside, noise, None if tissues is None else tissues.ravel(order="F"), threads)
    settings = _fit_voxels(scan, estimator, store, settings, progress, learning)
    maps = store.maps(inside, vessels)
    if intervals and not store.low:
        raise InputError("intervals", got=f"estimator {estimator}, model {model.name}", expected="nlls, axr and a known noise SD")
    if not np.isfinite(store.theta).any():
        raise InputError("scan", got="no voxel in the mask that can be fitted", expected="finite, positive signals in the mask")
    regions = fit_regions(
        flat, protocol, model, region_masks(mask, labels, region_names), noise, store.theta_flags(inside, mask.size),
        vessels=vessels, likelihood="rician" if estimator == "rician" and noise is not None else "gaussian",
    )  # fmt: skip
    if learns and noise is not None:
        regions = with_posteriors(regions, region_masks(mask, labels, region_names), flat, protocol, model, noise, threads)
    return FexiMaps(
        maps=maps,
        regions=regions,
        noise_sd=None if noise is None else float(np.mean(noise[inside] if isinstance(noise, np.ndarray) else noise)),
        noise_source=source,
        snr=_snr(flat, inside, protocol, noise),
        counts={flag.name: int((store.flag == flag).sum()) for flag in Flag if flag != Flag.MASKED},
        estimator=estimator,
        model=model,
        notes=tuple(dict.fromkeys((*store.notes, *(r.sentence for r in regions if r.sentence)))),
        priors=_priors_of(settings),
        settings={
            "threads": threads,
            "intervals": intervals,
            "blood_fraction": vessels.blood_fraction,
            "radius_m": vessels.radius_m,
        },
    )


def _needed(noise: Any, source: str) -> Any:
    if noise is None:
        raise InputError(
            "noise SD",
            got=source,
            expected="a value, for an estimator that states posteriors",
            hint="give --noise-sd or --noise-map",
        )
    return noise


@dataclass(frozen=True)
class _Voxels:
    """The scan as its voxels: signals of the whole grid, and the places in it that are fitted."""

    model: SignalModel
    protocol: Protocol
    flat: NDArray[Any]
    inside: NDArray[np.intp]
    noise: Any
    tissue: NDArray[np.int32] | None
    threads: int

    def take(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the signals of `rows` and what an estimator is told beside them."""
        common: dict[str, Any] = {"noise_sd": self.noise[rows] if isinstance(self.noise, np.ndarray) else self.noise}
        if self.tissue is not None:
            common["labels"] = self.tissue[rows]
        return self.flat[rows].astype(np.float64), {**common, "threads": self.threads}

    def sample(self) -> NDArray[np.intp]:
        """Return at most 20,000 voxels (of each tissue, where there are labels), evenly over the scan."""
        groups = [self.inside]
        if self.tissue is not None:
            label = self.tissue[self.inside]
            groups = [self.inside[label == v] for v in np.unique(label)]
        return np.concatenate([g[np.linspace(0, g.size - 1, min(g.size, _NOISE_SAMPLE)).astype(np.intp)] for g in groups])


def _fit_voxels(
    scan: _Voxels, estimator: str, store: MapStore, settings: dict[str, Any], progress: Progress | None,
    learning: Progress | None,
) -> dict[str, Any]:  # fmt: skip
    """Fill `store` in chunks; return the settings with what was learned before."""
    fit, prepare, n = get_estimator(estimator), get_preparation(estimator), scan.inside.size
    if prepare is not None:
        signals, common = scan.take(scan.sample())
        learned = prepare(scan.model, scan.protocol, signals, progress=learning, **common, **settings)
        settings = {**settings, **learned}
    for part in _chunks(n, _CHUNK if estimator != "nlls27" else 32):
        signals, common = scan.take(scan.inside[part])
        store.put(part, fit(scan.model, scan.protocol, signals, **common, **settings))
        if progress is not None:
            progress(min(part.stop, n), n)
    return settings


def _priors_of(settings: dict[str, Any]) -> dict[int, MixturePrior]:
    """Return the priors by tissue label that the settings of a learned estimator hold."""
    weights, prior = settings.get("weights"), settings.get("prior")
    if weights is not None and weights.priors:
        return {label: found.predictive for label, found in weights.priors.items()}
    return dict(prior) if isinstance(prior, dict) else {}


def _check_shapes(data: NDArray[Any], protocol: Protocol, mask: NDArray[Any], others: dict[str, NDArray[Any] | None]) -> None:
    if data.ndim != 4:
        raise InputError("scan", got=f"{data.ndim} dimensions", expected="4: x, y, z, volume")
    if data.shape[3] != protocol.n_volumes:
        raise InputError(
            "scan",
            got=f"{data.shape[3]} volumes",
            expected=f"{protocol.n_volumes} as the protocol has rows",
            hint="is it the right protocol?",
        )
    for what, array in others.items():
        if array is not None and array.shape != data.shape[:3]:
            raise InputError(what, got=f"shape {array.shape}", expected=str(data.shape[:3]))
    if not mask.any():
        raise InputError("mask", got="no voxel inside", expected="at least one")


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _noise(
    flat: NDArray[Any], inside: NDArray[np.intp], protocol: Protocol, model: SignalModel, given: Any, threads: int
) -> tuple[float | NDArray[np.float64] | None, str]:
    if given is not None:
        if np.ndim(given) == 0:
            if not (np.isfinite(given) and given > 0):
                raise InputError("noise SD", got=given, expected="a number > 0 in the unit of the scan")
            return float(given), "given"
        values = np.asarray(given, np.float64).ravel(order="F")
        if values.size != flat.shape[0] or not (np.isfinite(values[inside]).all() and (values[inside] > 0).all()):
            raise InputError(
                "noise map", got="another shape, or values that are not > 0 in the mask", expected="the grid of the scan"
            )
        return values, "given map"
    sample = inside[:: max(1, inside.size // _NOISE_SAMPLE)]
    signals = flat[sample].astype(np.float64)
    scale = float(np.nanmax(np.where(np.isfinite(signals), signals, np.nan), initial=0.0))
    found = estimate_noise_sd(get_estimator("nlls")(model, protocol, signals, threads=threads), model, protocol)
    if found is None or found < 1e-7 * scale:  # a noise-free scan leaves only rounding
        return None, "not known: too few volumes, or no noise, to estimate it"
    return found, "estimated from the residuals in the mask"


def _snr(flat: NDArray[Any], inside: NDArray[np.intp], protocol: Protocol, noise: Any) -> float | None:
    if noise is None:
        return None
    signal = flat[inside][:, unfiltered_b0(protocol)].mean(axis=1, dtype=np.float64)
    sd = noise[inside] if isinstance(noise, np.ndarray) else noise
    ratio = (signal / sd)[np.isfinite(signal)]
    return float(ratio.mean()) if ratio.size else None
