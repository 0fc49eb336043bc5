"""Fit a whole FEXI scan: arrays in, maps and regional values out.

The scan passes in chunks of voxels, so that memory stays at the size of the maps. Files are read and written by ``krogh.io``;
estimators and models come from ``krogh.fexi``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import check_smoothing, get_estimator, get_preparation
from krogh.fexi.interface import Flag, Progress, SignalModel
from krogh.fexi.learned.neighbours import neighbours_of
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.scan_prior import ScanPrior
from krogh.fexi.models import get_model
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_maps import MapStore, ParameterMap, Vessels
from krogh.runs.fexi_posterior import with_posteriors
from krogh.runs.fexi_regions import Region, fit_regions, region_masks
from krogh.runs.fexi_scan import Voxels, check_shapes, gather_voxels

if TYPE_CHECKING:
    from krogh.fexi.learned.checkpoint import Checkpoint

__all__ = ["FexiMaps", "fit_scan"]

_CHUNK = 65536


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
    network : Checkpoint or None
        The network that was trained for this scan; None where none was, or one was given.
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
    network: Checkpoint | None = None


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
    smooth_m: float | None = None,
    voxel_size_m: Sequence[float] | None = None,
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
    smooth_m : float, optional
        Length over which neighbouring voxels resemble each other, for "eb" and "hbayes"; the scan then passes in one piece.
    voxel_size_m : sequence of 3 float, optional
        Edges of a voxel, for `smooth_m`.
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
    UsageError
        If `smooth_m` goes with another estimator, or is shorter than the voxels allow.
    """
    model, vessels = model or get_model("axr"), vessels or Vessels()
    check_shapes(data, protocol, mask, {"mask": mask, "labels": labels})
    scan = gather_voxels(data, protocol, mask, model, noise_sd=noise_sd, tissues=tissues, threads=threads or os.cpu_count() or 1)
    if get_preparation(estimator) is not None:
        scan.require_noise()
    settings = {**({"intervals": True} if intervals and estimator == "nlls" else {}), **(options or {})}
    if smooth_m is not None:
        check_smoothing(estimator)
        settings["smooth"] = neighbours_of(scan.index(mask.shape), smooth_m, voxel_size_m)
    store = MapStore(model, protocol, mask.shape, scan.inside.size)
    settings = _fit_voxels(scan, estimator, store, settings, progress, learning)
    if intervals and not store.low:
        raise InputError("intervals", got=f"estimator {estimator}, model {model.name}", expected="nlls, axr and a known noise SD")
    if not np.isfinite(store.theta).any():
        raise InputError("scan", got="no voxel in the mask that can be fitted", expected="finite, positive signals in the mask")
    masks = region_masks(mask, labels, region_names)
    regions = _regions(scan, estimator, masks, store.theta_flags(scan.inside, mask.size), vessels)
    return FexiMaps(
        maps=store.maps(scan.inside, vessels),
        regions=regions,
        noise_sd=scan.mean_noise,
        noise_source=scan.source,
        snr=scan.snr,
        counts={flag.name: int((store.flag == flag).sum()) for flag in Flag if flag != Flag.MASKED},
        estimator=estimator,
        model=model,
        notes=tuple(dict.fromkeys((*store.notes, *(r.sentence for r in regions if r.sentence)))),
        priors=_priors_of(settings),
        network=None if "weights" in (options or {}) else settings.get("weights"),
        settings={
            "threads": scan.threads, "intervals": intervals, "blood_fraction": vessels.blood_fraction,
            "radius_m": vessels.radius_m,
        },
    )  # fmt: skip


def _fit_voxels(
    scan: Voxels, estimator: str, store: MapStore, settings: dict[str, Any], progress: Progress | None,
    learning: Progress | None,
) -> dict[str, Any]:  # fmt: skip
    """Fill `store` in chunks; return the settings with what was learned before."""
    fit, prepare, n = get_estimator(estimator), get_preparation(estimator), scan.inside.size
    if prepare is not None:
        signals, common = scan.take(scan.sample())
        learned = prepare(scan.model, scan.protocol, signals, progress=learning, **common, **settings)
        settings = {**settings, **learned}
    size = n if "smooth" in settings else _CHUNK if estimator != "nlls27" else 32
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        signals, common = scan.take(scan.inside[part])
        store.put(part, fit(scan.model, scan.protocol, signals, **common, **settings))
        if progress is not None:
            progress(part.stop, n)
    return settings


def _regions(
    scan: Voxels, estimator: str, masks: list[tuple[int, str, NDArray[np.intp]]], flags: NDArray[np.uint8], vessels: Vessels
) -> tuple[Region, ...]:
    """Return the pooled fit of every region, with the posterior of its mean for estimators that learn."""
    known = scan.noise is not None
    regions = fit_regions(
        scan.flat, scan.protocol, scan.model, masks, scan.noise, flags, vessels=vessels,
        likelihood="rician" if estimator == "rician" and known else "gaussian",
    )  # fmt: skip
    if scan.noise is None or get_preparation(estimator) is None:
        return regions
    return with_posteriors(regions, masks, scan.flat, scan.protocol, scan.model, scan.noise, scan.threads)


def _priors_of(settings: dict[str, Any]) -> dict[int, MixturePrior]:
    """Return the priors by tissue label that the settings of a learned estimator hold."""
    weights, prior = settings.get("weights"), settings.get("prior")
    if weights is not None and weights.priors:
        return {label: found.predictive for label, found in weights.priors.items()}
    if not isinstance(prior, dict):
        return {}
    return {label: p.predictive if isinstance(p, ScanPrior) else p for label, p in prior.items()}
