"""Draw a network: the tissue in a plane at a few times with the vessels that run near it, coloured by their blood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from krogh.errors import InputError
from krogh.plots.bands import heading, one_compound
from krogh.plots.block import Scale, chosen_frames, colour_norm
from krogh.plots.scales import concentration_unit, format_duration, log_ticks
from krogh.plots.style import MAP, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_network", "frames_of_network", "network_of"]


def network_of(ds: xr.Dataset, compound: str | None) -> xr.Dataset:
    """Return one compound of a run with a network.

    Raises
    ------
    InputError
        If the run has none.
    """
    one = one_compound(ds, compound)
    if "segment_blood" not in one:
        raise InputError("picture", got="a run without vessels", expected="a run with --geometry network")
    return one


def draw_network(
    ds: xr.Dataset, compound: str | None = None, *, scale: Scale = "linear", at_m: float | None = None, across: str = "z"
) -> Figure:
    """Return a plane of the tissue at a few times, tissue and blood each with their own colours.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "network"``.
    compound : str, optional
        Its name in the run; the first by default.
    scale : {"log", "linear"}
        Colours.
    at_m : float, optional
        Position of the plane [m]; the middle by default.
    across : {"x", "y", "z"}
        Axis that the plane is perpendicular to.

    Raises
    ------
    InputError
        If the run has no such compound or no network, or the plane lies outside.
    """
    one = network_of(ds, compound)
    k, at_um = _index(one, across, at_m)
    frames = chosen_frames(one)
    with house_style():
        title = f"Plane through the network: {heading(one)}"
        figure = new_figure(11.5, 4.4, title, f"{_caption(across, at_um, scale)} {_OWN_RANGES}")
        grid = figure.add_gridspec(1, len(frames))
        for column, i in enumerate(frames):
            axis = figure.add_subplot(grid[0, column])
            _panel(figure, axis, one, i, (across, k), scale)
            axis.set_title(f"after {format_duration(float(one.frame[i]))}")
        return figure


def frames_of_network(
    ds: xr.Dataset, compound: str | None = None, *, scale: Scale = "log", at_m: float | None = None
) -> Iterator[Figure]:
    """Yield the plane across z of every frame with the same colours throughout, for a movie.

    Raises
    ------
    InputError
        As :func:`draw_network`.
    """
    one = network_of(ds, compound)
    k, at_um = _index(one, "z", at_m)
    cut = one["tissue"].isel({"box_z": k}).values
    with house_style():
        for i in range(one.sizes["frame"]):
            title = f"{heading(one)}: after {format_duration(float(one.frame[i]))}"
            figure = new_figure(6.4, 6.0, title, f"{_caption('z', at_um, scale)} Frames are closer after the first dose.")
            _panel(figure, figure.add_subplot(), one, i, ("z", k), scale, (cut, one["segment_blood"].values))
            yield figure


def _index(one: xr.Dataset, across: str, at_m: float | None) -> tuple[int, float]:
    """Return the number of the cells in a plane and its place [um]."""
    z = one[f"box_{across}"].values
    half = 0.5 * float(z[1] - z[0]) if z.size > 1 else float("inf")
    if at_m is not None and not z[0] - half <= at_m <= z[-1] + half:
        limits = f"{(z[0] - half) * 1e6:g} to {(z[-1] + half) * 1e6:g} um"
        raise InputError(f"plane at {across}", got=f"{at_m * 1e6:g} um", expected=limits)
    k = z.size // 2 if at_m is None else int(np.abs(z - at_m).argmin())
    return k, float(z[k]) * 1e6


def _panel(
    figure: Figure, axis: Axes, one: xr.Dataset, i: int, where: tuple[str, int], scale: Scale,
    ranges: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Draw one frame; `ranges` holds the values of tissue and blood that the colours are for, those of the frame by default."""
    across, k = where
    right, up = (n for n in "xyz" if n != across)
    cut = one["tissue"].isel({"frame": i, f"box_{across}": k})
    plane = cut.transpose(f"box_{right}", f"box_{up}").values.astype(float)
    blood = one["segment_blood"].isel(frame=i).values.astype(float)
    of_tissue, of_blood = ranges if ranges is not None else (plane, blood)
    unit = concentration_unit(float(np.nanmax(of_tissue)))
    norm = _norm(of_tissue / unit.si, scale)
    x, y = (_edges(one[f"box_{n}"].values) for n in (right, up))
    axis.grid(False)
    mesh = axis.pcolormesh(x, y, plane.T / unit.si, norm=norm, cmap=MAP, rasterized=True)
    blood_unit = concentration_unit(float(np.nanmax(of_blood)))
    lines, near = _vessels(one, across, k)
    lines.set_array(blood[near] / blood_unit.si)
    lines.set_norm(_norm(of_blood / blood_unit.si, scale))
    outline = LineCollection(
        lines.get_segments(), colors="black", linewidths=np.asarray(lines.get_linewidth()) + 1.2, capstyle="round"
    )
    axis.add_collection(outline)
    axis.add_collection(lines)
    axis.set_xlim(x[0], x[-1])
    axis.set_ylim(y[0], y[-1])
    axis.set_aspect("equal")
    axis.set_xlabel(f"{right} [µm]")
    axis.set_ylabel(f"{up} [µm]")
    for shown, name, text in ((mesh, unit.name, "tissue, free"), (lines, blood_unit.name, "blood, free")):
        bar = figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.9, aspect=28)
        bar.set_label(f"{text} [{name}]")
        bar.ax.tick_params(labelsize=7)
        if scale == "log":
            low, high = shown.get_clim()
            log_ticks(bar.ax.xaxis, float(low or 0), float(high or 1))


def _norm(values: np.ndarray, scale: Scale) -> Normalize:
    """Return the colours of one panel: its own range, at least 5 % wide."""
    kind = type(colour_norm(values, scale))
    high = float(np.nanmax(values)) or 1.0
    floor = high / 3e3 if scale == "log" else 0.0
    return kind(min(max(floor, float(np.nanmin(values))), 0.95 * high), high)


def _vessels(one: xr.Dataset, across: str, k: int) -> tuple[LineCollection, np.ndarray]:
    """Return the segments within 20 µm of the plane as lines, and their numbers."""
    start, end = one["segment_start"].values, one["segment_end"].values
    axis = "xyz".index(across)
    plane = [n for n in range(3) if n != axis]
    near = np.flatnonzero(np.abs(0.5 * (start + end)[:, axis] - float(one[f"box_{across}"][k])) <= 20e-6)
    lines: Any = np.stack([start[near][:, plane], end[near][:, plane]], axis=1) * 1e6
    width = 0.7 * one["segment_radius"].values[near] * 1e6
    return LineCollection(lines, cmap="plasma", linewidths=width, capstyle="round"), near


def _edges(centers: np.ndarray) -> np.ndarray:
    half = 0.5 * (centers[1] - centers[0]) if centers.size > 1 else 0.5e-6
    return np.concatenate([centers - half, [centers[-1] + half]]) * 1e6


_OWN_RANGES = "Every panel has its own range, since differences in space are small beside the change over time."


def _caption(across: str, at_um: float, scale: Scale) -> str:
    return (
        f"Free concentration in the tissue in the plane {across} = {at_um:.3g} µm at single times, with the vessels within 20 µm "
        f"of it coloured by the free concentration in their plasma. Colours are {'logarithmic' if scale == 'log' else 'linear'}; "
        "tissue and blood have their own scales."
    )
