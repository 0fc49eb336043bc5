"""Turn the frames of a block into a moving picture (GIF)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from krogh.plots.bands import heading, layer_bands
from krogh.plots.block import Scale, block_of, colour_norm, draw_frame, plane_index
from krogh.plots.scales import concentration_unit, format_duration, log_ticks
from krogh.plots.style import house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["write_movie"]


def write_movie(
    ds: xr.Dataset,
    path: Path,
    compound: str | None = None,
    *,
    scale: Scale = "log",
    at_m: float | None = None,
    frame_s: float = 0.4,
) -> Path:
    """Write the section of every frame as one GIF and return its path; the last frame stays for two seconds.

    Raises
    ------
    InputError
        If the run has no such compound or no fields, or the plane lies outside.
    """
    from PIL import Image

    one = block_of(ds, compound)
    k = plane_index(one, "z", at_m)
    values = one["field"].isel(z=k).transpose("frame", "x", "y").values
    pictures = []
    with house_style():
        for i in range(values.shape[0]):
            target = io.BytesIO()
            _frame(one, values, i, k, scale).savefig(target, format="png", dpi=90)
            pictures.append(Image.open(target).convert("RGB").quantize(128))
    times = [int(1000 * frame_s)] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, comment=_words(one).encode())
    return path


def _words(one: xr.Dataset) -> str:
    return f"Section through the block: {heading(one)}. Research software: not for diagnosis or dosing."


def _frame(one: xr.Dataset, values: np.ndarray, i: int, k: int, scale: Scale) -> Figure:
    unit = concentration_unit(float(np.nanmax(values)))
    norm = colour_norm(values / unit.si, scale)
    figure = new_figure(6.4, 4.8, f"{heading(one)}: after {format_duration(float(one.frame[i]))}", (
        f"Free concentration in the plane z = {float(one.z[k]) * 1e6:.3g} µm, blood on the left; each layer is drawn in its "
        "own band with its true thickness below it. Frames are closer after the first dose."
    ))  # fmt: skip
    axis = figure.add_subplot()
    mesh = draw_frame(axis, one, values[i] / unit.si, layer_bands(one), norm)
    bar = figure.colorbar(mesh, ax=axis, extend="min" if scale == "log" else "neither")
    bar.set_label(f"free concentration [{unit.name}]")
    if scale == "log":
        log_ticks(bar.ax.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))
    return figure
