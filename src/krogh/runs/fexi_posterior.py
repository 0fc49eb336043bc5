"""Add to each region the posterior of its mean, for estimators that learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.regions import region_posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_parameters import shown
from krogh.runs.fexi_regions import Region

__all__ = ["with_posteriors"]

#: Voxels that enter the posterior of one region; more would take minutes and sharpen it little.
MAX_VOXELS = 10_000
_FEW = 2


def with_posteriors(
    regions: tuple[Region, ...],
    masks: Iterable[tuple[int, str, NDArray[np.intp]]],
    flat: NDArray[Any],
    protocol: Protocol,
    model: SignalModel,
    noise: float | NDArray[np.float64],
    threads: int,
) -> tuple[Region, ...]:
    """Return `regions` with ``posterior`` filled where at least two voxels can be used.

    Parameters
    ----------
    masks : iterable of (label, name, voxel numbers)
        The voxels of each region, in the order of `regions`.
    flat : ndarray, shape (voxel, volume)
        Signals of the whole grid.
    noise : float or ndarray (voxel,)
        Noise SD.
    """
    out = []
    for region, (_, _, rows) in zip(regions, masks, strict=True):
        some = rows[np.linspace(0, rows.size - 1, min(rows.size, MAX_VOXELS)).astype(np.intp)]
        sd = noise[some] if isinstance(noise, np.ndarray) else noise
        try:
            scan = prepare_scan(model, protocol, flat[some].astype(np.float64), sd, "per-series")
        except InputError:  # no usable voxel: the region keeps its flag
            out.append(region)
            continue
        use = scan.rows
        if use.size < _FEW:
            out.append(region)
            continue
        found = region_posterior(model, protocol, scan.problem(scan.dictionary(), use), scan.signals[use], threads=threads)
        low, high = found.interval()
        values = {}
        for j, field in enumerate(model.parameter_names):
            p = shown(field)
            mean, sd, first, last = (float(a[j] / p.si_per_unit) for a in (found.mean, found.sd, low, high))
            values[p.name] = (mean, sd, first, last)
        out.append(dataclasses.replace(region, posterior=values))
    return tuple(out)
