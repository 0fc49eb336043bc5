"""Fit FEXI signals: the one public call, for arrays of any shape.

It names things, hides masked voxels from the estimator and puts the answer back on the grid. Files are the business of
``krogh.io``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from krogh.errors import InputError
from krogh.fexi.estimators import check_smoothing, get_estimator
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.neighbours import neighbours_of
from krogh.fexi.models import get_model
from krogh.fexi.protocol import Protocol

__all__ = ["fit"]

_EXTRA = ("quantiles", "log_evidence", "odd", "rank", "effective", "outside", "probabilities")
_PER_VOXEL = ("s0", "rmse", "cost", "flag", "noise_sd")


def fit(
    signals: ArrayLike,
    protocol: Protocol,
    mask: ArrayLike | None = None,
    *,
    model: str | SignalModel = "axr",
    estimator: str = "nlls",
    noise_sd: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    smooth: float | None = None,
    voxel_size: ArrayLike | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    **settings: Any,
) -> Estimate:
    """Fit `signals` and return the estimate on their grid.

    Parameters
    ----------
    signals : array [..., volume]
        Magnitude signals as acquired, any unit; NaN allowed (flagged).
    protocol : Protocol
        One entry per volume.
    mask : array [...], optional
        Voxels to fit (non-zero).
    model : str or SignalModel
        "axr", "2cm", "2cmr", or a model with inputs of its own.
    estimator : str
        A name of :data:`krogh.fexi.estimators.ESTIMATORS`.
    noise_sd : float or array [...], optional
        SD of the noise in the unit of the signals.
    labels : array of int [...], optional
        Regions, for "pooled" (0: left out).
    smooth : float, optional
        Length [m] over which neighbouring voxels resemble each other, for "eb" and "hbayes" and signals [x, y, z, volume]: the
        correlation between them is one half at half of it, a quarter at all of it.
    voxel_size : array [3], optional
        Edges of a voxel [m], for `smooth`.
    threads : int, optional
        Threads of the compiled estimators.
    **settings
        Of the estimator.

    Returns
    -------
    Estimate
        Per voxel, flattened, with ``grid`` set (NaN and ``Flag.MASKED`` outside the mask); per region for "pooled".

    Raises
    ------
    InputError
        If shapes do not fit or the mask is empty.
    UsageError
        If a name is unknown, or `smooth` goes with another estimator.
    """
    chosen = get_model(model) if isinstance(model, str) else model
    run = get_estimator(estimator)
    data = np.asarray(signals)
    if data.ndim == 0 or data.shape[-1] != protocol.n_volumes:
        raise InputError("signals", got=f"shape {data.shape}", expected=f"last axis of {protocol.n_volumes} volumes")
    grid = data.shape[:-1]
    keep = np.ones(grid, bool) if mask is None else np.asarray(mask) != 0
    if keep.shape != grid:
        raise InputError("mask", got=f"shape {keep.shape}", expected=f"{grid} as the signals")
    if not keep.any():
        raise InputError("mask", got="no voxel", expected="at least one")
    extra: dict[str, Any] = dict(settings)
    for name, value in (("noise_sd", noise_sd), ("labels", labels), ("s0", settings.get("s0"))):
        if value is None or isinstance(value, str):
            continue
        array = np.asarray(value)
        extra[name] = array[keep] if array.shape[: len(grid)] == grid and array.ndim else value
    if smooth is not None:
        check_smoothing(estimator)
        extra["smooth"] = neighbours_of(np.argwhere(keep), smooth, voxel_size)
    estimate = run(chosen, protocol, data[keep], progress=progress, threads=threads, **extra)
    if estimator == "pooled":
        return estimate
    return estimate_on_grid(estimate, keep.reshape(-1), grid)


def estimate_on_grid(estimate: Estimate, keep: ArrayLike, grid: tuple[int, ...]) -> Estimate:
    """Return the estimate of the voxels `keep` [voxel of the grid] spread over the whole grid."""
    inside = np.asarray(keep, bool)
    if inside.all():
        return dataclasses.replace(estimate, grid=grid)

    def spread(values: Any, fill: Any) -> Any:
        if values is None:
            return None
        full = np.full((inside.size, *values.shape[1:]), fill, values.dtype)
        full[inside] = values
        return full

    return dataclasses.replace(
        estimate,
        parameters={k: spread(v, np.nan) for k, v in estimate.parameters.items()},
        sd={k: spread(v, np.nan) for k, v in estimate.sd.items()},
        interval={k: (spread(a, np.nan), spread(b, np.nan)) for k, (a, b) in estimate.interval.items()},
        grid=grid,
        extra={
            k: spread(v, False if v.dtype == bool else np.nan) if k in _EXTRA and v is not None else v
            for k, v in estimate.extra.items()
        },
        **{k: spread(getattr(estimate, k), Flag.MASKED if k == "flag" else np.nan) for k in _PER_VOXEL},
    )
