"""Pack a block or a network for the volume of the page: reduced fields at its stored times, with layers or vessels.

Concentrations are sent as 8-bit numbers on the logarithmic scale of the colour bar, 0 for its lower limit or less: what a colour
can show. The numbers themselves are in the files of the run.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from krogh.app.views.section import colour_table
from krogh.errors import InputError
from krogh.plots.bands import heading, layer_bands
from krogh.plots.scales import concentration_unit
from krogh.plots.section import colour_range

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["MOST_CELLS", "has_volume", "pack_volume"]

#: Cells along an axis that are shown; a finer field is thinned.
MOST_CELLS = 64
_MOST_BYTES = 8_000_000
_TOP = 255


def has_volume(data: xr.Dataset) -> bool:
    """Return whether a run holds fields in three dimensions."""
    return "segment_blood" in data or ("field" in data and {"frame", "x", "y", "z"} <= set(data["field"].dims))


def pack_volume(one: xr.Dataset) -> dict[str, Any]:
    """Return times, packed values [time, x, y, z], edges of the box, and its layers or vessels, of one compound.

    Raises
    ------
    InputError
        If the run holds no fields in three dimensions.
    """
    if not has_volume(one):
        raise InputError("volume", got="a run without fields", expected="a run with geometry block or network")
    network = "segment_blood" in one
    low, high = colour_range(one)
    unit = concentration_unit(high)
    values, edges_um, planes = _network(one) if network else _block(one)
    times = np.asarray(one["frame"].values, float)
    kept = _evenly(times.size, max(2, _MOST_BYTES // max(1, values[0].size)))
    packed = _packed(values[kept], low, high)
    return {
        "title": heading(one),
        "unit": unit.name,
        "low": low / unit.si,
        "high": high / unit.si,
        "times": [float(t) for t in times[kept]],
        "stored": int(times.size),
        "shape": list(packed.shape),
        "edges_um": edges_um,
        "stretched": not network,
        "planes": planes,
        "vessels": _vessels(one, kept, low, high) if network else None,
        "values": _text(packed),
        "colours": colour_table(),
    }


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _packed(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(np.maximum(values, low) / low) / np.log(high / low)
    return (np.clip(np.nan_to_num(share), 0.0, 1.0) * _TOP).round().astype(np.uint8)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _thin(values: NDArray[Any]) -> NDArray[Any]:
    for axis in (1, 2, 3):
        values = np.take(values, _evenly(values.shape[axis], MOST_CELLS), axis=axis)
    return values


def _length_um(places_m: NDArray[Any]) -> float:
    """Return the length of an axis of equal cells from their centres."""
    count = places_m.size
    return float((places_m[-1] - places_m[0]) * (count / (count - 1) if count > 1 else 0.0) * 1e6) or 1.0


def _block(one: xr.Dataset) -> tuple[NDArray[Any], list[float], list[dict[str, Any]]]:
    """Return the field on a grid that is even in the stretched depth, so that thin layers can be seen."""
    values = one["field"].transpose("frame", "x", "y", "z").values
    bands = layer_bands(one, start=0.0)
    edges = np.concatenate([bands[0].edges, *(b.edges[1:] for b in bands[1:])])
    span = float(edges[-1] - edges[0])
    count = min(MOST_CELLS, max(values.shape[1], 32))
    centres = edges[0] + (np.arange(count) + 0.5) * span / count
    cells = np.clip(np.searchsorted(edges, centres, side="right") - 1, 0, values.shape[1] - 1)
    y, z = (_length_um(one[n].values) for n in ("y", "z"))
    planes = [{"name": str(b.name), "size": b.size, "at": float((b.edges[0] - edges[0]) / span)} for b in bands]
    return _thin(values[:, cells]), [1.15 * max(y, z), y, z], planes


def _network(one: xr.Dataset) -> tuple[NDArray[Any], list[float], list[dict[str, Any]]]:
    values = one["tissue"].transpose("frame", "box_x", "box_y", "box_z").values
    return _thin(values), [_length_um(one[n].values) for n in ("box_x", "box_y", "box_z")], []


def _vessels(one: xr.Dataset, kept: NDArray[np.int64], low: float, high: float) -> dict[str, Any]:
    """Return both ends [x, y, z] of each segment in um from the corner of the box, its radius, and its blood [time, segment]."""
    step = float(one["box_x"][1] - one["box_x"][0]) if one.sizes["box_x"] > 1 else 0.0
    corner = np.array([float(one[n][0]) - 0.5 * step for n in ("box_x", "box_y", "box_z")])
    ends = np.concatenate([one["segment_start"].values - corner, one["segment_end"].values - corner], axis=1) * 1e6
    return {
        "ends_um": [[round(float(v), 3) for v in row] for row in ends],
        "radius_um": [float(r) * 1e6 for r in one["segment_radius"].values],
        "values": _text(_packed(one["segment_blood"].transpose("frame", "segment").values[kept], low, high)),
    }
