"""Draw line profiles through the layers of a block: where a map is oddest, where it is most usual, and the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from krogh.plots.bands import heading, layer_bands
from krogh.plots.block import block_of, chosen_frames, plane_index
from krogh.plots.scales import concentration_unit, fixed_ticks, format_duration, log_ticks
from krogh.plots.style import house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_profile"]


def draw_profile(
    ds: xr.Dataset, compound: str | None = None, *, y_m: float | None = None, z_m: float | None = None, log: bool = True
) -> Figure:
    """Return profiles from blood to tissue at one place of a block and over its whole plane, at a few times.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"``.
    compound : str, optional
        Its name in the run.
    y_m, z_m : float, optional
        The place [m]; by default in the middle of what a map marks, else the middle of the block.
    log : bool
        Logarithmic concentrations.

    Raises
    ------
    InputError
        If the run has no such compound or no fields, or the place lies outside.
    """
    one = block_of(ds, compound)
    j, k = plane_index(one, "y", y_m), plane_index(one, "z", z_m)
    frames = chosen_frames(one)
    with house_style():
        figure = new_figure(8.6, 4.6, f"Through the layers: {heading(one)}", _caption(one, j, k))
        axis = figure.add_subplot()
        bands = layer_bands(one)
        field = one["field"].transpose("frame", "x", "y", "z").values.astype(float)[frames]
        unit = concentration_unit(float(np.nanmax(field)))
        for n, i in enumerate(frames):
            colour: Any = _COLOURS[n % len(_COLOURS)]
            label = f"after {format_duration(float(one.frame[i]))}"
            for band in bands:
                here, mean = (v[band.cells] / unit.si for v in (field[n, :, j, k], field[n].mean(axis=(1, 2))))
                first = band is bands[0]
                axis.plot(band.centers, _to_faces(band.centers, here), color=colour, label=label if first else None)
                axis.plot(band.centers, _to_faces(band.centers, mean), color=colour, ls=(0, (2, 2)), lw=1.1)
        top = float(field.max()) / unit.si
        if log:
            axis.set_yscale("log")
            axis.set_ylim(top / 3e3, 2 * top)
            log_ticks(axis.yaxis, top / 3e3, 2 * top)
        else:
            axis.set_ylim(0, 1.08 * top)
        faces = [float(bands[0].edges[0]), *(float(b.edges[-1]) for b in bands)]
        for face in faces[1:-1]:
            axis.axvline(face, color="#BBBBBB", lw=0.8)
        axis.grid(False, axis="x")
        axis.set_xlim(faces[0], faces[-1])
        fixed_ticks(axis.xaxis, [b.middle for b in bands], [f"{b.name}\n{b.size}" for b in bands])
        axis.tick_params(axis="x", length=0)
        axis.set_xlabel("layer, each stretched to its own band [thickness in nm, µm]")
        axis.set_ylabel(f"free concentration [{unit.name}]")
        axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(frames))
        return figure


_COLOURS = ("#0D0887", "#9C179E", "#ED7953", "#C49000", "#555555")


def _to_faces(places: Any, values: Any) -> Any:
    """Return values at the faces too, in line with the two cells next to each: flat ends would look like membranes."""
    if len(values) == 1:
        return np.repeat(values, 3)
    first = values[0] + (values[1] - values[0]) * (places[0] - places[1]) / (places[2] - places[1])
    last = values[-1] + (values[-1] - values[-2]) * (places[-1] - places[-2]) / (places[-2] - places[-3])
    return np.concatenate([[max(first, 0.0)], values, [max(last, 0.0)]])


def _caption(one: xr.Dataset, j: int, k: int) -> str:
    return (
        f"Free concentration from the blood to the far side of the tissue along the line y = {float(one.y[j]) * 1e6:.3g} µm, "
        f"z = {float(one.z[k]) * 1e6:.3g} µm (solid), and the mean over the whole plane (dashed), at single times. Each "
        "layer is drawn in its own band with its true thickness below it. A jump between two bands lies at a membrane, a slope "
        "inside a band is diffusion."
    )
