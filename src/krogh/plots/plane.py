"""Draw a block in any plane: through the layers, or along the barrier at one depth; and a strip of depth against time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from krogh.errors import InputError
from krogh.plots.bands import heading, layer_bands
from krogh.plots.block import Scale, block_of, chosen_frames, colour_norm, draw_block, draw_frame, edges_um, plane_index
from krogh.plots.network import draw_network
from krogh.plots.scales import Unit, concentration_unit, fixed_ticks, format_duration, log_ticks
from krogh.plots.style import MAP, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Plane", "draw_plane", "draw_strip"]


@dataclass(frozen=True)
class Plane:
    """Say where a block is cut: perpendicular to `axis` at a position [m], or in the middle of a layer (axis x)."""

    axis: str = "z"
    at_m: float | None = None
    layer: str | None = None

    @property
    def place(self) -> str:
        """Return the position as a part of a file name."""
        if self.layer is not None:
            return self.layer.replace(" ", "-")
        return "middle" if self.at_m is None else f"{self.at_m * 1e6:g}um"


def draw_plane(ds: xr.Dataset, compound: str | None = None, *, plane: Plane, scale: Scale = "log") -> Figure:
    """Return a plane of a block or a network at a few times.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"`` or ``"network"``.
    compound : str, optional
        Its name in the run; the first by default.
    plane : Plane
        ``z`` and ``y``: layers across; ``x``: along the barrier, at a depth from the blood or in a layer.
    scale : {"log", "linear"}
        Colours.

    Raises
    ------
    InputError
        If the run has no such compound or no fields, or the plane lies outside.
    """
    if "segment_blood" in ds:
        if plane.layer is not None:
            raise InputError("plane", got=f"x={plane.layer}", expected="a position: a network has no layers along x")
        return draw_network(ds, compound, scale=scale, at_m=plane.at_m, across=plane.axis)
    if plane.axis == "z":
        return draw_block(ds, compound, scale=scale, at_m=plane.at_m)
    one = block_of(ds, compound)
    with house_style():
        return _across(one, plane, scale) if plane.axis == "y" else _at_depth(one, plane, scale)


def _across(one: xr.Dataset, plane: Plane, scale: Scale) -> Figure:
    """Return sections (layers across, z upwards)."""
    j = plane_index(one, "y", plane.at_m)
    frames = chosen_frames(one)
    field = one["field"].isel(y=j).transpose("frame", "x", "z").values.astype(float)[frames]
    unit = concentration_unit(float(np.nanmax(field)))
    norm = colour_norm(field / unit.si, scale)
    caption = (
        f"Free concentration in the plane y = {float(one.y[j]) * 1e6:.3g} µm at single times ({_colours(scale)}). Blood is on "
        "the left; each layer is drawn in its own band with its true thickness below it, white lines are the faces."
    )
    figure = new_figure(11.5, 4.6, f"Section through the block: {heading(one)}", caption)
    grid = figure.add_gridspec(1, len(frames) + 1, width_ratios=[1.0] * len(frames) + [0.05])
    for column, (i, values) in enumerate(zip(frames, field, strict=True)):
        axis = figure.add_subplot(grid[0, column])
        mesh = draw_frame(axis, one, values / unit.si, layer_bands(one), norm, along="z")
        axis.set_title(f"after {format_duration(float(one.frame[i]))}")
        if column:
            axis.set_ylabel("")
            axis.tick_params(axis="y", labelleft=False)
    _bar(figure, grid[0, -1], mesh, norm, unit, scale)
    return figure


def _at_depth(one: xr.Dataset, plane: Plane, scale: Scale) -> Figure:
    """Return maps along the barrier at one depth, each time with its own range: differences there are small beside the course."""
    i_x = _depth_index(one, plane)
    frames = chosen_frames(one)
    name = str(one["layer"].values[i_x])
    caption = (
        f"Free concentration along the barrier in the cell at depth {float(one.x[i_x]) * 1e6:.3g} µm ({name}), at single times. "
        f"Colours are {'logarithmic' if scale == 'log' else 'linear'}; every panel has its own range, at least 5 % wide, since "
        "differences along the barrier are small beside the change over time."
    )
    figure = new_figure(11.5, 3.9, f"Along the barrier, in the {name}: {heading(one)}", caption)
    grid = figure.add_gridspec(1, len(frames))
    for column, i in enumerate(frames):
        axis = figure.add_subplot(grid[0, column])
        values = one["field"].isel(frame=i, x=i_x).transpose("y", "z").values.astype(float)
        unit = concentration_unit(float(np.nanmax(values)))
        norm = _own_range(values / unit.si, scale)
        axis.grid(False)
        mesh = axis.pcolormesh(edges_um(one, "z"), edges_um(one, "y"), values / unit.si, norm=norm, cmap=MAP, rasterized=True)
        _outlines(axis, one)
        axis.set_aspect("equal")
        axis.set_title(f"after {format_duration(float(one.frame[i]))}")
        axis.set_xlabel("z [µm]")
        axis.set_ylabel("y [µm]")
        bar = figure.colorbar(mesh, ax=axis, orientation="horizontal", shrink=0.9, aspect=24)
        bar.set_label(f"free [{unit.name}]")
        bar.ax.tick_params(labelsize=7)
        low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
        places = np.geomspace(low, high, 3) if scale == "log" else np.linspace(low, high, 3)
        bar.ax.minorticks_off()
        fixed_ticks(bar.ax.xaxis, [float(p) for p in places], [f"{p:.3g}" for p in places])
    return figure


def _outlines(axis: Axes, one: xr.Dataset) -> None:
    """Outline what the maps of the routes mark."""
    for name in (str(n) for n in one.data_vars if str(n).startswith("density_")):
        density = one[name].values
        low, high = float(density.min()), float(density.max())
        if high > low and min(density.shape) > 1:
            axis.contour(one.z.values * 1e6, one.y.values * 1e6, density, [0.5 * (low + high)], colors="#D55E00", linewidths=1.2)


def _depth_index(one: xr.Dataset, plane: Plane) -> int:
    layers = one["layer"].values.astype(str)
    if plane.layer is not None:
        own = np.flatnonzero(layers == plane.layer)
        if not own.size:
            names = ", ".join(dict.fromkeys(layers))
            raise InputError("plane at x", got=f"'{plane.layer}'", expected=f"a length or a layer: {names}")
        return int(own[own.size // 2])
    x, width = one.x.values, one["cell_width"].values
    low, high = float(x[0] - width[0] / 2), float(x[-1] + width[-1] / 2)
    at = 0.5 * (low + high) if plane.at_m is None else plane.at_m
    if not low <= at <= high:
        raise InputError("plane at x", got=f"{at * 1e6:g} um", expected=f"{low * 1e6:g} to {high * 1e6:g} um, or a layer")
    return int(np.abs(x - at).argmin())


def _own_range(values: np.ndarray, scale: Scale) -> Normalize:
    high = float(np.nanmax(values)) or 1.0
    low = min(float(np.nanmin(values)), 0.95 * high)
    return LogNorm(max(low, high / 3e3), high) if scale == "log" else Normalize(low, high)


def draw_strip(
    ds: xr.Dataset, compound: str | None = None, *, y_m: float | None = None, z_m: float | None = None, scale: Scale = "log"
) -> Figure:
    """Return depth against time at one place of a block, every layer in its own band.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"``; its frames are the columns.
    y_m, z_m : float, optional
        The place [m]; by default in the middle of what a map marks, else the middle of the block.
    scale : {"log", "linear"}
        Colours.

    Raises
    ------
    InputError
        If the run has no such compound, fewer than two frames, or the place lies outside.
    """
    one = block_of(ds, compound)
    if one.frame.size < 2:
        raise InputError("strip", got=f"{one.frame.size} frame", expected="two or more (--set block.frames=24)")
    j, k = plane_index(one, "y", y_m), plane_index(one, "z", z_m)
    field = one["field"].isel(y=j, z=k).transpose("x", "frame").values.astype(float)
    unit = concentration_unit(float(np.nanmax(field)))
    norm = colour_norm(field / unit.si, scale)
    t = one.frame.values
    edges = np.concatenate([[t[0] ** 1.5 / t[1] ** 0.5], np.sqrt(t[1:] * t[:-1]), [t[-1]]])
    with house_style():
        caption = (
            f"Free concentration at y = {float(one.y[j]) * 1e6:.3g} µm, z = {float(one.z[k]) * 1e6:.3g} µm against time, one "
            f"column per stored frame ({_colours(scale)}). Blood is at the bottom; each layer has its own band with its true "
            "thickness beside it, white lines are the faces. Time is logarithmic."
        )
        figure = new_figure(8.6, 4.8, f"Depth against time: {heading(one)}", caption)
        grid = figure.add_gridspec(1, 2, width_ratios=[1.0, 0.03])
        axis = figure.add_subplot(grid[0, 0])
        axis.grid(False)
        bands = layer_bands(one)
        floor = norm.vmin if isinstance(norm, LogNorm) else None
        for band in bands:
            part = np.clip(field[band.cells] / unit.si, floor, None)
            mesh = axis.pcolormesh(edges, band.edges, part, norm=norm, cmap=MAP, rasterized=True, shading="flat")
            axis.axhline(band.edges[-1], color="white", lw=1.0)
        axis.set_xscale("log")
        axis.set_xlim(edges[0], edges[-1])
        shown = np.unique(np.linspace(0, t.size - 1, 6).round().astype(int))
        fixed_ticks(axis.xaxis, list(t[shown]), [format_duration(float(x)) for x in t[shown]])
        fixed_ticks(axis.yaxis, [b.middle for b in bands], [f"{b.name}, {b.size}" for b in bands])
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("time after the start [s, min, h]")
        axis.set_ylabel("layer, stretched [thickness in nm, µm]")
        _bar(figure, grid[0, 1], mesh, norm, unit, scale)
        return figure


def _bar(figure: Figure, place: Any, mesh: Any, norm: Normalize, unit: Unit, scale: Scale) -> None:
    bar = figure.colorbar(mesh, cax=figure.add_subplot(place), extend="min" if scale == "log" else "neither")
    bar.set_label(f"free concentration [{unit.name}]")
    if scale == "log":
        log_ticks(bar.ax.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))


def _colours(scale: Scale) -> str:
    return "logarithmic colours; darkest: at or below the lower end" if scale == "log" else "linear colours from zero"
