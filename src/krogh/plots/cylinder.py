"""Draw the Krogh cylinder: (z, r) sections at a few times, and the course along the capillary under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from krogh.plots.bands import Band, colour_range, heading, layer_bands, snapshots, strip
from krogh.plots.scales import Unit, concentration_unit, fixed_ticks, format_duration, log_range, log_ticks
from krogh.plots.style import CURVES, MAP, legend_on_top, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_cylinder"]

_ALONG = ("plasma_free", "endothelium", "interstitium")


def draw_cylinder(one: xr.Dataset) -> Figure:
    """Return sections of one compound at four times over distance from the arterial end and layer, with the blood channel."""
    low, high = colour_range(one)
    unit = concentration_unit(high)
    chosen = snapshots(one, 4, 2.5 * low)
    title = f"Section along the capillary: {heading(one)}"
    figure = new_figure(11.0, 6.3, title, _caption(), legend_rows=1)
    grid = figure.add_gridspec(2, len(chosen) + 1, height_ratios=[1.5, 1.0], width_ratios=[1.0] * len(chosen) + [0.07])
    norm = LogNorm(low / unit.si, high / unit.si)
    blood = strip("capillary blood", "", 0.0, 1.2)
    bands = (blood, *layer_bands(one, start=1.2))
    for k, i in enumerate(chosen):
        top, bottom = figure.add_subplot(grid[0, k]), figure.add_subplot(grid[1, k])
        mesh = _image(top, one.isel(time=i), bands, unit, norm)
        top.set_title(f"after {format_duration(float(one.time[i]))}")
        _layer_ticks(top, bands, names=k == 0)
        _along(bottom, one.isel(time=i), unit)
        bottom.set_xlabel("distance from arterial end [mm]")
        bottom.set_ylabel(f"free concentration [{unit.name}]")
    bar = figure.colorbar(mesh, cax=figure.add_subplot(grid[0, -1]), extend="min")
    bar.set_label(f"free concentration [{unit.name}]")
    log_ticks(bar.ax.yaxis, low / unit.si, high / unit.si)
    return _legend(figure)


def _caption() -> str:
    return (
        "Free concentration around one capillary at single times. Top: colour over distance from the arterial end and "
        "layer, blood at the bottom. Each layer is drawn in its own band, with its true thickness at the left; within a "
        "band the scale is linear. Bottom: blood and the mean over two layers along the capillary, on a logarithmic axis "
        "where they lie far apart. During uptake, blood that falls along the way means that flow limits; blood that stays"
        " level, that the barrier does. Neurons and astrocytes follow the interstitium around them and are not shown."
    )


def _image(axis: Axes, now: xr.Dataset, bands: tuple[Band, ...], unit: Unit, norm: LogNorm) -> Any:
    edges = _edges_mm(now)
    profile, blood = now["profile"].transpose("x", "z").values / unit.si, now["blood"].values / unit.si
    axis.set_facecolor(mpl.colormaps[MAP](0.0))
    axis.grid(False)
    for band in bands:
        part = profile[band.cells] if band.cells.size else blood[None]
        clipped = np.ma.masked_invalid(np.clip(part, norm.vmin, None))
        mesh = axis.pcolormesh(edges, band.edges, clipped, norm=norm, cmap=MAP, rasterized=True, shading="flat")
        axis.axhline(band.edges[-1], color="white", lw=1.0)
    axis.set_ylim(0, bands[-1].edges[-1])
    _z_ticks(axis, edges)
    axis.set_xlabel("distance from arterial end [mm]")
    return mesh


def _edges_mm(now: xr.Dataset) -> Any:
    z = now.z.values * 1e3
    return np.linspace(0.0, z[-1] + z[0], z.size + 1)


def _z_ticks(axis: Axes, edges: Any) -> None:
    axis.set_xlim(edges[0], edges[-1])
    axis.xaxis.set_major_locator(MaxNLocator(4))


def _layer_ticks(axis: Axes, bands: tuple[Band, ...], *, names: bool) -> None:
    texts = ["\n".join([*b.name.split(), *([b.size] if b.size else [])]) for b in bands]
    fixed_ticks(axis.yaxis, [b.middle for b in bands], texts if names else [""] * len(bands))
    axis.tick_params(axis="y", length=0)
    if names:
        axis.set_ylabel("layer, stretched [thickness in nm, µm]")


def _along(axis: Axes, now: xr.Dataset, unit: Unit) -> None:
    """Draw blood and the mean of two layers along the capillary at one time: from zero, or logarithmic if they lie far apart."""
    z, layer, width = now.z.values * 1e3, now["layer"].values.astype(str), now["cell_width"].values
    profile = now["profile"].transpose("x", "z").values / unit.si
    drawn = []
    for curve in _curves():
        if curve.variable == "plasma_free":
            y = now["blood"].values / unit.si
        else:
            y = np.average(profile[layer == curve.variable], axis=0, weights=width[layer == curve.variable])
        axis.plot(
            z, y, color=curve.colour, ls=curve.dash, lw=curve.width, marker="o" if z.size == 1 else None, ms=4 * curve.width
        )
        drawn.append(np.nan_to_num(y))
    low, high = log_range(*drawn, decades=6.0, below=0.3)
    if high / low > 1500:
        # a linear axis would show the highest curve alone
        axis.set_yscale("log")
        axis.set_ylim(low, 2 * high)
        log_ticks(axis.yaxis, low, 2 * high)
    else:
        axis.set_ylim(0, 0.56 * high)
    _z_ticks(axis, _edges_mm(now))


def _curves() -> list[Any]:
    return [c for c in CURVES if c.variable in _ALONG]


def _legend(figure: Figure) -> Figure:
    """Put the names of the lower panels' curves under the title."""
    words = {"plasma_free": "blood in the capillary, free in plasma"}
    handles = [Line2D([], [], color=c.colour, ls=c.dash, lw=c.width, label=words.get(c.variable, c.label)) for c in _curves()]
    return legend_on_top(figure, handles)
