"""Pack the concentrations of one compound for the animated section: one file that the browser plays without asking again.

Concentrations are sent as 16-bit numbers on a logarithmic scale between the limits of the colour bar: 0 stands for the lower
limit or less. Seven decades in 65,535 steps are 0.025 % a step.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.plots.bands import Band, heading, layer_bands, strip
from krogh.plots.scales import concentration_unit
from krogh.plots.section import colour_range

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["colour_table", "pack_section"]

_MOST_ROWS = 48
_CELLS = (("neuron", "neurons"), ("astrocyte", "astrocytes"))
_TOP = 65535


def pack_section(one: xr.Dataset) -> dict[str, Any]:
    """Return bands, times and packed values [time, slice, row, column] of one compound.

    Slab: one slice, one row. Cylinder: rows along the capillary. Block: rows along y, slices along z, times of its whole fields.
    """
    times, values, rows, slices = _space(one)
    low, high = colour_range(one)
    unit = concentration_unit(high)
    layers = layer_bands(one, start=1.0)
    end = float(layers[-1].edges[-1])
    lumen = next((b for b in layers if b.name == "lumen"), None)  # a block has its own blood in front of the wall
    wall_m = 0.0 if lumen is None else lumen.end_m
    sides = [(strip("lumen" if lumen is None else "artery", "free plasma", 0.0, 1.0), "plasma_free")]
    sides += [(strip(text, "mean", end + 0.25 + 1.1 * i, 1.1), v) for i, (v, text) in enumerate(_CELLS)]
    columns = [_beside(one, times, sides[0][1], values.shape), values]
    columns += [_beside(one, times, variable, values.shape) for _, variable in sides[1:]]
    bands = [sides[0][0], *layers, *(b for b, _ in sides[1:])]
    whole = np.concatenate(columns, axis=-1)
    return {
        "title": heading(one),
        "unit": unit.name,
        "low": low / unit.si,
        "high": high / unit.si,
        "times": [float(t) for t in times],
        "rows": rows,
        "slices": slices,
        "shape": list(whole.shape),
        "bands": [_band(b, wall_m) for b in bands],
        "values": base64.b64encode(_packed(whole, low, high).tobytes()).decode("ascii"),
        "colours": colour_table(),
    }


def _band(band: Band, wall_m: float) -> dict[str, Any]:
    depth = None if np.isnan(band.end_m) else [(band.start_m - wall_m) * 1e6, (band.end_m - wall_m) * 1e6]
    return {"name": str(band.name), "size": band.size, "edges": [float(e) for e in band.edges], "depth_um": depth}


def _packed(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(np.maximum(values, low) / low) / np.log(high / low)
    return (np.clip(np.nan_to_num(share), 0.0, 1.0) * _TOP).round().astype("<u2")


def _thin(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return at most 48 planes along `axis`, evenly taken."""
    count = values.shape[axis]
    return (
        values if count <= _MOST_ROWS else np.take(values, np.linspace(0, count - 1, _MOST_ROWS).round().astype(int), axis=axis)
    )


def _space(one: xr.Dataset) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any], dict[str, Any]]:
    """Return times, values [time, slice, row, cell], and what rows and slices are."""
    if "field" in one and {"frame", "x", "y", "z"} <= set(one["field"].dims):
        values = one["field"].transpose("frame", "z", "y", "x").values
        y, z = (_thin(one[n].values, 0) * 1e6 for n in ("y", "z"))
        shown = _thin(_thin(values, 1), 2)
        return one["frame"].values, shown, _axis("along the barrier, y", y), _axis("z", z)
    profile = one["profile"]
    if "z" in profile.dims:
        values = _thin(profile.transpose("time", "z", "x").values, 1)[:, None]
        z = _thin(one["z"].values, 0) * 1e6
        return one["time"].values, values, _axis("along the capillary", z), _axis("", np.zeros(1))
    return (
        one["time"].values,
        profile.transpose("time", "x").values[:, None, None],
        _axis("", np.zeros(1)),
        _axis("", np.zeros(1)),
    )


def _axis(name: str, places_um: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "places_um": [float(p) for p in places_um]}


def _beside(one: xr.Dataset, times: NDArray[Any], variable: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a band without depth: a curve at the times of the section, the same in every row (blood flows: its own rows)."""
    if variable == "plasma_free" and "blood" in one and "z" in one["blood"].dims and "field" not in one:
        return _thin(one["blood"].transpose("time", "z").values, 1)[:, None, :, None]
    curve = np.interp(times, one["time"].values, np.nan_to_num(one[variable].values))
    return np.broadcast_to(curve[:, None, None, None], (*shape[:3], 1))


def colour_table() -> str:
    """Return the map of the pictures as 256 x RGB."""
    import matplotlib as mpl

    table = mpl.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]
    return base64.b64encode((table * 255).round().astype(np.uint8).tobytes()).decode("ascii")
