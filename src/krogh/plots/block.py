"""Draw a block: sections through the layers at a few times, the maps on its membranes, and profiles along the barrier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.plots.bands import Band, heading, layer_bands, one_compound
from krogh.plots.scales import concentration_unit, fixed_ticks, format_duration, log_ticks
from krogh.plots.style import GREY, MAP, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Scale", "block_of", "chosen_frames", "colour_norm", "draw_block", "draw_frame", "edges_um", "plane_index"]

Scale = Literal["log", "linear"]


def block_of(ds: xr.Dataset, compound: str | None) -> xr.Dataset:
    """Return one compound of a run that has whole fields.

    Raises
    ------
    InputError
        If the run has none.
    """
    one = one_compound(ds, compound)
    if "field" not in one:
        hint = "use --view section, volume, movie or vtk" if "segment_blood" in one else "use --view section, or all"
        raise InputError("this view", got="a run with another geometry", expected="a run with --geometry block", hint=hint)
    return one


def chosen_frames(one: xr.Dataset, count: int = 4) -> list[int]:
    """Return the indices of frames that show a course: rise to the interstitium's peak, and the end."""
    t, frames = one.time.values, one.frame.values
    curve = np.nan_to_num(one["interstitium"].values)
    peak = max(float(t[int(curve.argmax())]), float(frames[0]))
    wanted = np.geomspace(max(peak / 60.0, frames[0]), peak, count - 1) if frames[0] < peak else np.array([peak])
    picked = [int(np.abs(np.log(frames / w)).argmin()) for w in (*wanted, frames[-1])]
    return sorted(set(picked))


def plane_index(one: xr.Dataset, axis: str, at_m: float | None) -> int:
    """Return the index of the plane at a position along `axis`; by default through whatever a map marks most, else the middle.

    Raises
    ------
    InputError
        If the position lies outside the block.
    """
    centers = one[axis].values
    if at_m is not None:
        half = 0.5 * (centers[1] - centers[0]) if centers.size > 1 else centers[0]
        if not centers[0] - half <= at_m <= centers[-1] + half:
            raise InputError(f"plane at {axis}", got=f"{at_m * 1e6:g} um", expected=f"0 to {(centers[-1] + half) * 1e6:g} um")
        return int(np.abs(centers - at_m).argmin())
    odd = _oddness(one)
    if odd is None or not odd.max() > 0:
        return centers.size // 2
    total = np.cumsum(odd.sum(axis=0 if axis == "z" else 1))
    return int(np.searchsorted(total, 0.5 * total[-1]))


def _oddness(one: xr.Dataset) -> NDArray[np.float64] | None:
    """Return how far the maps are from the uniform barrier (ny, nz); None without maps."""
    maps = [one[name].values for name in one.data_vars if str(name).startswith("density_")]
    return np.sum([np.abs(np.log((m + 1e-3) / (1 + 1e-3))) for m in maps], axis=0) if maps else None


def colour_norm(values: NDArray[Any], scale: Scale) -> Normalize:
    """Return a colour scale for concentrations: three and a half decades below the peak, or linear from zero.

    Raises
    ------
    InputError
        If the scale is unknown.
    """
    if scale not in ("log", "linear"):
        raise InputError("colour scale", got=repr(scale), expected="log or linear")
    top = float(np.nanmax(values))
    top = top if top > 0 else 1.0
    return LogNorm(top / 3e3, top) if scale == "log" else Normalize(0.0, top)


def draw_block(ds: xr.Dataset, compound: str | None = None, *, scale: Scale = "log", at_m: float | None = None) -> Figure:
    """Return sections (layers across, y upwards) at a few times, the maps of the routes, and profiles along y.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"``.
    compound : str, optional
        Its name in the run; the first by default.
    scale : {"log", "linear"}
        Colours.
    at_m : float, optional
        Position z of the plane [m]; by default through the middle of what a map marks, else the middle of the block.

    Raises
    ------
    InputError
        If the run has no such compound or no fields, or the plane lies outside.
    """
    one = block_of(ds, compound)
    with house_style():
        return _draw(one, scale, plane_index(one, "z", at_m))


def _draw(one: xr.Dataset, scale: Scale, k: int) -> Figure:
    frames = chosen_frames(one)
    field = one["field"].isel(z=k).transpose("frame", "x", "y").values[frames]
    unit = concentration_unit(float(np.nanmax(field)))
    norm = colour_norm(field / unit.si, scale)
    z_um = float(one.z[k]) * 1e6
    figure = new_figure(11.5, 6.6, f"Section through the block: {heading(one)}", _caption(z_um, scale))
    grid = figure.add_gridspec(2, len(frames) + 1, height_ratios=[1.5, 1.0], width_ratios=[1.0] * len(frames) + [0.05])
    bands = layer_bands(one)
    for column, (i, plane) in enumerate(zip(frames, field, strict=True)):
        axis = figure.add_subplot(grid[0, column])
        mesh = draw_frame(axis, one, plane / unit.si, bands, norm)
        axis.set_title(f"after {format_duration(float(one.frame[i]))}")
        if column:
            axis.set_ylabel("")
            axis.tick_params(axis="y", labelleft=False)
    bar = figure.colorbar(mesh, cax=figure.add_subplot(grid[0, -1]), extend="min" if scale == "log" else "neither")
    bar.set_label(f"free concentration [{unit.name}]")
    if scale == "log":
        log_ticks(bar.ax.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))
    _lower(figure, grid, one, frames, k)
    return figure


def draw_frame(
    axis: Axes, one: xr.Dataset, plane: NDArray[Any], bands: tuple[Band, ...], norm: Normalize, *, along: str = "y"
) -> Any:
    """Draw one plane (x, `along`), every layer in its own band, faces as lines; return the image."""
    edges = edges_um(one, along)
    axis.set_facecolor(mpl.colormaps[MAP](0.0))
    axis.grid(False)
    floor = norm.vmin if isinstance(norm, LogNorm) else None
    for band in bands:
        part = np.clip(plane[band.cells], floor, None).T
        mesh = axis.pcolormesh(band.edges, edges, part, norm=norm, cmap=MAP, rasterized=True, shading="flat")
        axis.axvline(band.edges[-1], color="white", lw=1.0)
    axis.set_xlim(bands[0].edges[0], bands[-1].edges[-1])
    fixed_ticks(axis.xaxis, [b.middle for b in bands], [f"{b.name}, {b.size}" for b in bands])
    axis.tick_params(axis="x", length=0, labelsize=7, rotation=40)
    for label in axis.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axis.set_xlabel("layer, stretched [thickness in nm, µm]", fontsize=8)
    axis.set_ylabel(f"{along}, along the barrier [µm]")
    return mesh


def edges_um(one: xr.Dataset, axis: str) -> NDArray[np.float64]:
    """Return the faces of the cells along y or z [um]."""
    centers = one[axis].values
    width = float(one.attrs.get(f"width_{axis}", 2 * centers[0]))
    inner = 0.5 * (centers[1:] + centers[:-1])
    end = 2 * centers[-1] - inner[-1] if inner.size else width
    return np.concatenate([[0.0], inner, [end]]) * 1e6


def _lower(figure: Figure, grid: Any, one: xr.Dataset, frames: list[int], k: int) -> None:
    """Draw the maps of the routes, then the deviation from the mean along y in each layer at the frames."""
    names = [str(n) for n in one.data_vars if str(n).startswith("density_")] + _tissue_maps(one, k)
    names = names[:1]
    first = len(names)
    for column, name in enumerate(names):
        axis = figure.add_subplot(grid[1, column])
        if name.startswith("tissue_"):
            _tissue(figure, axis, one, name, k)
            continue
        density = one[name].values
        mesh = axis.pcolormesh(
            edges_um(one, "z"), edges_um(one, "y"), density, cmap="cividis", rasterized=True, norm=_map_norm(density)
        )
        axis.axvline(float(one.z[k]) * 1e6, color="#D55E00", lw=1.0, ls=(0, (4, 2)))
        axis.set_aspect("equal")
        axis.grid(False)
        axis.set_title(f"map of {name.removeprefix('density_')}")
        axis.set_xlabel("z [µm]")
        axis.set_ylabel("y [µm]")
        figure.colorbar(mesh, ax=axis, shrink=0.9).set_label("density / uniform [1]")
    for column, i in enumerate(frames[first:] if first < len(frames) else frames[-1:], start=first):
        _along(figure.add_subplot(grid[1, column]), one, i, k, legend=column == first)


def _neutral(name: str) -> float:
    return 0.0 if name == "tissue_uptake" else 1.0


def _tissue_maps(one: xr.Dataset, k: int) -> list[str]:
    """Return the maps of the tissue that change something in the plane, the one that changes most of it first."""
    names = [str(n) for n in one.data_vars if str(n).startswith("tissue_")]
    changed = {n: int((one[n].isel(z=k).values != _neutral(n)).sum()) for n in names}
    return sorted((n for n in names if changed[n]), key=lambda n: -changed[n])


def _tissue(figure: Figure, axis: Axes, one: xr.Dataset, name: str, k: int) -> None:
    """Draw a map of the tissue in the plane, to scale, from the first depth that it changes to the last."""
    values = one[name].isel(z=k).transpose("x", "y").values
    width = one["cell_width"].values
    faces = np.concatenate([[0.0], np.cumsum(width)]) * 1e6
    faces += 1e6 * (float(one.x[0]) - 0.5 * float(width[0]))
    odd = np.flatnonzero(np.any(values != _neutral(name), axis=1))
    low, high = int(odd[0]), int(odd[-1]) + 1
    part = values[low:high].T
    norm = Normalize(0.0, float(part.max())) if name == "tissue_uptake" else _map_norm(part)
    mesh = axis.pcolormesh(faces[low : high + 1], edges_um(one, "y"), part, cmap="cividis", rasterized=True, norm=norm)
    axis.grid(False)
    quantity = name.removeprefix("tissue_")
    axis.set_title(f"map of {quantity}")
    axis.set_xlabel("depth from the wall [µm]")
    axis.set_ylabel("y [µm]")
    unit = "[1/s]" if quantity == "uptake" else "/ layer [1]"
    figure.colorbar(mesh, ax=axis, shrink=0.9).set_label(f"{quantity} {unit}")


def _map_norm(density: NDArray[np.float64]) -> Normalize:
    low, high = float(density.min()), float(density.max())
    if low > 0 and (high > 30 or high > 30 * low):  # a leak; a hole is linear
        return LogNorm(low, high)
    return Normalize(0.0, max(1.0, high))


_LINES = (
    ("endothelium", "#F0A830", "-"),
    ("basement membrane", "#CC79A7", (0, (1, 1.2))),
    ("interstitium", "#0072B2", (0, (4, 1.2))),
)


def _along(axis: Axes, one: xr.Dataset, i: int, k: int, *, legend: bool) -> None:
    """Draw how far each layer is from its own mean over the plane, along y."""
    layer, width = one["layer"].values.astype(str), one["cell_width"].values
    field = one["field"].isel(frame=i).transpose("x", "y", "z").values.astype(float)
    y = one.y.values * 1e6
    for name, colour, dash in _LINES:
        own = layer == name
        if not own.any():
            continue
        mean = np.average(field[own], axis=0, weights=width[own])
        level = mean.mean()
        if level > 0:
            marker = "o" if y.size == 1 else None
            axis.plot(y, 100 * (mean[:, k] / level - 1), color=colour, ls=dash, label=name, marker=marker)
    axis.set_title(f"after {format_duration(float(one.frame[i]))}")
    axis.set_xlabel("y, along the barrier [µm]")
    axis.set_ylabel("off the layer's mean [%]")
    low, high = axis.get_ylim()
    if high - low < 2.0:
        axis.set_ylim(min(low, -1.0), max(high, 1.0))
    axis.axhline(0.0, color=GREY, lw=0.6)
    if legend and len(axis.lines) > 1:
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.55 * (high - low))
        axis.legend(loc="upper left", handlelength=2.4)


def _caption(z_um: float, scale: Scale) -> str:
    colours = "logarithmic colours; darkest: at or below the lower end" if scale == "log" else "linear colours from zero"
    return (
        f"Free concentration in the plane z = {z_um:.3g} µm at single times ({colours}). Blood is on the left; each layer is "
        "drawn in its own band with its true thickness below it, white lines are the faces, and within a band the scale is "
        "linear. Bottom: what was drawn on the barrier (density of a route; dashed: the plane above) or on the tissue (in that "
        "plane), and how far each layer is from its own mean along y. A hole or a leak shows in the endothelium or the basement "
        "membrane at once; tissue evens it out by diffusion."
    )
