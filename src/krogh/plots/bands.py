"""Stretch the layers of a section: each layer gets its own band, wide enough to be seen, with its true thickness beside it.

Inside a band the scale is linear; between bands it jumps. A 50 nm basement membrane and 100 µm of tissue are both visible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from krogh.plots.scales import log_range
from krogh.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Band", "colour_range", "heading", "layer_bands", "one_compound", "snapshots", "strip"]

#: Width of a band on paper, in shares; a layer that is not named gets 1.
_SHARES = {"endothelium": 1.5, "basement membrane": 1.05, "end-feet": 1.2, "interstitium": 2.3}


@dataclass(frozen=True)
class Band:
    """Hold one layer's place on the stretched axis.

    Attributes
    ----------
    name, size : str
        Layer, and its true thickness as text (empty for a compartment without one).
    cells : numpy.ndarray
        Indices of its cells along ``x``; empty for a compartment.
    edges : numpy.ndarray
        Edges of its cells on the stretched axis.
    start_m, end_m : float
        True depth of its two faces [m]; NaN for a compartment.
    """

    name: str
    size: str
    cells: NDArray[np.intp]
    edges: NDArray[np.float64]
    start_m: float = float("nan")
    end_m: float = float("nan")

    @property
    def middle(self) -> float:
        """Return the middle of the band on the stretched axis."""
        return float(0.5 * (self.edges[0] + self.edges[-1]))

    @property
    def centers(self) -> NDArray[np.float64]:
        """Return both faces and the middles of the cells, on the stretched axis."""
        return np.concatenate([self.edges[:1], 0.5 * (self.edges[1:] + self.edges[:-1]), self.edges[-1:]])


def layer_bands(ds: xr.Dataset, start: float = 0.0) -> tuple[Band, ...]:
    """Return the bands of all layers from blood to tissue, the first at `start` on the stretched axis."""
    names, width = ds["layer"].values.astype(str), ds["cell_width"].values
    edge_m = np.concatenate([[0.0], np.cumsum(width)])
    bands, place = [], start
    for name in dict.fromkeys(names):
        cells = np.flatnonzero(names == name)
        first, last = edge_m[cells[0]], edge_m[cells[-1] + 1]
        share = _SHARES.get(name, 1.0)
        edges = place + share * (edge_m[cells[0] : cells[-1] + 2] - first) / (last - first)
        bands.append(Band(name, format_quantity(last - first, "length").replace("um", "µm"), cells, edges, first, last))
        place += share
    return tuple(bands)


def strip(name: str, size: str, start: float, width: float) -> Band:
    """Return a band without depth: blood, or cells inside the tissue."""
    return Band(name, size, np.empty(0, np.intp), np.array([start, start + width]))


def one_compound(ds: xr.Dataset, compound: str | None) -> xr.Dataset:
    """Return one compound of a run, the first by default.

    Raises
    ------
    InputError
        If the run has no compound of that name.
    """
    from krogh.errors import InputError, nearest

    names = [str(n) for n in ds.compound.values]
    if compound is None:
        return ds.isel(compound=0)
    lower = [n.lower() for n in names]
    if compound.lower() not in lower:
        raise InputError("compound of the picture", got=repr(compound), hint=nearest(compound, names))
    return ds.isel(compound=lower.index(compound.lower()))


def snapshots(one: xr.Dataset, count: int, low: float) -> list[int]:
    """Return indices of times that show a course: rise to the interstitium's peak, peak, decline, the last above `low`."""
    t, curve = one.time.values, np.nan_to_num(one["interstitium"].values)
    peak, last = float(t[-1]), float(t[-1])
    if np.any(curve > low):
        # a plateau peaks anywhere along it: take its beginning
        peak = float(t[np.argmax(curve >= 0.99 * curve.max())])
        last = max(float(t[np.flatnonzero(curve > low)[-1]]), peak)
    peak = max(peak, float(t[1]))
    rise = {4: (0.05, 0.3, 1.0), 6: (0.05, 0.15, 0.4, 1.0)}[count]
    late = {4: (1.0,), 6: (0.6, 1.0)}[count]
    wanted = [r * peak for r in rise] + [peak ** (1 - w) * last**w for w in late]
    chosen: list[int] = []
    for i in (max(1, int(np.abs(t - w).argmin())) for w in wanted):
        if not chosen or t[i] > 1.15 * t[chosen[-1]]:
            chosen.append(i)
    return chosen


def heading(one: xr.Dataset) -> str:
    """Return name and dose of one compound as a title, and its solver if that is not finite volumes."""
    name, dose = str(one.compound.item()), str(one["dose"].item())
    dose = re.sub(r"\bu(?=[gMLm])", "µ", dose).replace(" x ", " × ")
    solver = str(one["solver"].item()) if "solver" in one else "finite volumes"
    by = "" if solver == "finite volumes" else f" (by {solver})"
    return (name if dose == "formed inside" else f"{name}, {dose}") + by


def colour_range(one: xr.Dataset) -> tuple[float, float]:
    """Return the limits of the logarithmic colour scale [mol/m3]: they show the peak of every compartment."""
    curves = [one[v].values for v in ("plasma_free", "endothelium", "interstitium", "neuron", "astrocyte")]
    low, high = log_range(*curves, decades=7.0, below=3e-2)
    return low, 0.5 * high
