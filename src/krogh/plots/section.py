"""Draw the section through the barrier: free concentration over the layer path and time, or over (z, r) in the Krogh cylinder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from krogh.plots.bands import Band, colour_range, heading, layer_bands, one_compound, snapshots, strip
from krogh.plots.cylinder import draw_cylinder
from krogh.plots.scales import (
    Unit,
    concentration_unit,
    fixed_ticks,
    format_duration,
    log_ticks,
    log_time_ticks,
    time_step,
    time_unit,
)
from krogh.plots.style import GREY, MAP, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_section"]

#: The layers, and the bands beside them with the variable that fills each.
Bands = tuple[tuple[Band, ...], list[tuple[Band, str]]]
_CELLS = (("neuron", "neurons"), ("astrocyte", "astrocytes"))


def draw_section(ds: xr.Dataset, compound: str | None = None, *, log_time: bool | None = None) -> Figure:
    """Return the section from lumen to neuron of one compound.

    Parameters
    ----------
    ds : xarray.Dataset
        A run; see :func:`krogh.runs.dataset.build_dataset`.
    compound : str, optional
        Its name in the run; the first by default.
    log_time : bool, optional
        Time on a logarithmic axis. By default yes, unless plasma peaks more than once. The cylinder shows single times.

    Returns
    -------
    matplotlib.figure.Figure
        Slab: an image of layers against time, and profiles. Cylinder: (z, r) sections at four times, and the course along z.
        Block: planes through it at four times.

    Raises
    ------
    InputError
        If the run has no such compound.
    """
    one = one_compound(ds, compound)
    with house_style():
        if "field" in one:
            from krogh.plots.block import draw_block

            return draw_block(ds, compound)
        if "z" in one["profile"].dims:
            return draw_cylinder(one)
        return _draw_slab(one, _one_peak(one) if log_time is None else log_time)


def _one_peak(one: xr.Dataset) -> bool:
    y = np.nan_to_num(one["plasma_free"].values)
    inner = y[1:-1]
    return int(((inner > y[:-2] * (1 + 1e-6)) & (inner >= y[2:])).sum()) <= 1


def _slab_bands(one: xr.Dataset) -> Bands:
    """Return the bands of the layers, and those of lumen and cells with the variable that fills each."""
    layers = layer_bands(one, start=1.0)
    end = float(layers[-1].edges[-1])
    sides = [(strip("lumen", "free plasma", 0.0, 1.0), "plasma_free")]
    sides += [(strip(name, "mean", end + 0.25 + 1.1 * i, 1.1), v) for i, (v, name) in enumerate(_CELLS)]
    return layers, sides


def _draw_slab(one: xr.Dataset, log_time: bool) -> Figure:
    low, high = colour_range(one)
    unit = concentration_unit(high)
    figure = new_figure(9.2, 6.7, f"Section through the barrier: {heading(one)}", _caption(log_time))
    grid = figure.add_gridspec(2, 2, height_ratios=[1.45, 1.0], width_ratios=[1, 0.022])
    image, profile = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    bands = _slab_bands(one)
    norm = LogNorm(low / unit.si, high / unit.si)
    mesh = _image(image, one, bands, unit, norm, log_time)
    bar = figure.colorbar(mesh, cax=figure.add_subplot(grid[0, 1]), extend="min")
    bar.set_label(f"free concentration [{unit.name}]")
    log_ticks(bar.ax.yaxis, low / unit.si, high / unit.si)
    _profiles(profile, one, bands, unit, snapshots(one, 6, 2.5 * low))
    profile.set_ylim(low / unit.si, 2 * high / unit.si)
    log_ticks(profile.yaxis, *profile.get_ylim())
    _layer_axis(image, bands, names=True)
    _layer_axis(profile, bands, names=False)
    profile.set_xlabel("depth from the luminal face [µm], every layer stretched to its own band")
    return figure


def _caption(log_time: bool) -> str:
    scale = "on a logarithmic axis" if log_time else "on a linear axis"
    return (
        "Free concentration from the blood through every layer to the cells. Top: colour over layer and time "
        f"({scale}); darkest: at or below the scale's lower end. Bottom: profiles at single times. Each layer is drawn in its "
        "own band, with its true thickness above; within a band the scale is linear. A jump between bands lies at a "
        "membrane. Neurons and astrocytes lie within the interstitium; their bands show their mean and have no depth."
    )


def _log_rows(t: NDArray[np.float64], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return evenly spaced times on a logarithmic axis [s], from just before anything is visible."""
    first = t[max(int(np.argmax(visible)), 1)] if visible.any() else t[1]
    return np.geomspace(min(max(0.5 * first, 0.1), 0.01 * t[-1]), t[-1], 360)


def _resample(
    values: NDArray[np.float64], t: NDArray[np.float64], rows: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Return `values` (time, cell) at the times `rows`, straight between samples in log concentration over log time."""
    after = np.clip(np.searchsorted(t, rows), 2, t.size - 1)
    x = np.log(t[1:])
    part = ((np.log(rows) - x[after - 2]) / (x[after - 1] - x[after - 2]))[:, None]
    y = np.log(np.maximum(values, 1e-3 * floor))
    return np.exp((1 - part) * y[after - 1] + part * y[after])


def _image(axis: Axes, one: xr.Dataset, bands: Bands, unit: Unit, norm: LogNorm, log: bool) -> Any:
    t, floor = one.time.values, float(norm.vmin or 0.0)
    parts = [(b, one["profile"].values[:, b.cells] / unit.si) for b in bands[0]]
    parts += [(b, one[v].values[:, None] / unit.si) for b, v in bands[1]]
    rows = t
    if log:
        rows = _log_rows(t, np.any([np.nan_to_num(p).max(axis=1) > floor for _, p in parts], axis=0))
        parts = [(b, _resample(p, t, rows, floor)) for b, p in parts]
    unit_t = Unit("s", 1.0) if log else time_unit(float(t[-1]))
    middle = np.sqrt(rows[1:] * rows[:-1]) if log else 0.5 * (rows[1:] + rows[:-1])
    edges = np.concatenate([rows[:1], middle, rows[-1:]]) / unit_t.si
    axis.set_facecolor(mpl.colormaps[MAP](0.0))
    axis.grid(False)
    for band, part in parts:
        clipped = np.ma.masked_invalid(np.clip(part, floor, None))
        mesh = axis.pcolormesh(band.edges, edges, clipped, norm=norm, cmap=MAP, rasterized=True, shading="flat")
    axis.set_ylabel(f"time since the first dose [{'s, min, h' if log else unit_t.name}]")
    if log:
        axis.set_yscale("log")
        fixed_ticks(axis.yaxis, *log_time_ticks(float(edges[0]), float(edges[-1])))
    else:
        axis.yaxis.set_major_locator(MultipleLocator(time_step(float(edges[-1]), unit_t)))
    axis.set_ylim(edges[0], edges[-1])
    return mesh


def _profiles(axis: Axes, one: xr.Dataset, bands: Bands, unit: Unit, chosen: list[int]) -> None:
    values, t = one["profile"].values / unit.si, one.time.values
    for k, i in enumerate(chosen):
        colour = mpl.colormaps["plasma"](0.05 + 0.83 * k / max(len(chosen) - 1, 1))
        dash = "-" if k % 2 == 0 else (0, (4, 1.2))
        for band in bands[0]:
            y = values[i, band.cells]
            axis.plot(band.centers, np.concatenate([y[:1], y, y[-1:]]), color=colour, ls=dash)
        for j, (band, variable) in enumerate(bands[1]):
            label = format_duration(float(t[i])) if j == 0 else None
            axis.plot(band.edges, np.full(2, float(one[variable].values[i]) / unit.si), color=colour, ls=dash, label=label)
    axis.set_yscale("log")
    axis.set_ylabel(f"free concentration [{unit.name}]")
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(-0.005, 1.0),
        ncols=6,
        handlelength=2.2,
        columnspacing=1.6,
        borderaxespad=0.2,
        borderpad=0.1,
    )


def _layer_axis(axis: Axes, bands: Bands, *, names: bool) -> None:
    """Mark the bands: faces as ticks with their depth, names and true thickness above."""
    layers, sides = bands
    axis.set_xlim(0, sides[-1][0].edges[-1])
    faces = [float(layers[0].edges[0]), *(float(b.edges[-1]) for b in layers)]
    depths = [0.0, *(b.end_m * 1e6 for b in layers)]
    fixed_ticks(axis.xaxis, faces, [""] * len(faces) if names else [f"{d:.3g}" for d in depths])
    axis.grid(False, axis="x")
    axis.axvspan(float(layers[-1].edges[-1]), float(sides[1][0].edges[0]), color="white", zorder=1, lw=0)
    for band in (*layers, *(b for b, _ in sides)):
        axis.axvline(band.edges[-1], color="white" if names else "#BBBBBB", lw=1.0, zorder=1.5)
        if names:
            place: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "ha": "center", "va": "bottom", "linespacing": 1.15}
            axis.text(band.middle, 1.012, band.size, fontsize=7.5, color=GREY, **place)
            axis.text(band.middle, 1.055, band.name.replace(" ", "\n"), fontsize=8, fontweight="bold", **place)
