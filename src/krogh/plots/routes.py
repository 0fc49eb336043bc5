"""Draw the route budget: how much came in and went out across the luminal face by each route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from krogh.plots.bands import heading
from krogh.plots.scales import Unit, amount_unit
from krogh.plots.style import GREY, house_style, legend_on_top, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_routes"]

_IN, _OUT = "#0072B2", "#D55E00"
_MOST = 24


def draw_routes(ds: xr.Dataset) -> Figure:
    """Return how much of each compound came in and went out by each route during the run.

    Parameters
    ----------
    ds : xarray.Dataset
        A run; see :func:`krogh.runs.dataset.build_dataset`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per compound, at most 24, with its own axis: amounts differ by many powers of ten.
    """
    count = ds.sizes["compound"]
    shown = min(count, _MOST)
    columns = min(shown, 2)
    rows = -(-shown // columns)
    area = "m-2" in str(ds["route_inward"].attrs.get("units", "mol m-2"))
    used = [_used(ds.isel(compound=i)) for i in range(shown)]
    per_row = [max(max(used[i].size, 1) for i in range(r * columns, min(shown, (r + 1) * columns))) for r in range(rows)]
    with house_style():
        width = {1: 7.4, 2: 11.0}[columns]
        figure = new_figure(
            width, sum(1.15 + 0.34 * n for n in per_row), "Route budget", _caption(area, shown, count), legend_rows=1
        )
        grid = figure.add_gridspec(rows, columns, height_ratios=[1.15 + 0.34 * n for n in per_row])
        for i in range(shown):
            _panel(figure.add_subplot(grid[i // columns, i % columns]), ds.isel(compound=i), used[i], area)
        keys = [Patch(color=_OUT, label="out: endothelium to blood"), Patch(color=_IN, label="in: blood to endothelium")]
        return legend_on_top(figure, keys)


def _caption(area: bool, shown: int, count: int) -> str:
    basis = "per square metre of capillary wall" if area else "over one capillary"
    more = f" The first {shown} of {count} compounds are shown." if count > shown else ""
    return (
        f"Amount that crossed the luminal face by each route from the start to the end of the run, {basis}; to the right "
        "into the barrier, to the left back to blood. Percent: share of all that went that way. Two long bars of like "
        "length mean that the route is fast and near balance; what is left in the end is the net amount. Each panel has "
        "its "
        f"own scale and unit.{more}"
    )


def _used(one: xr.Dataset) -> np.ndarray:
    """Return the routes that moved anything, the largest first."""
    moved = np.nan_to_num(one["route_inward"].values) + np.nan_to_num(one["route_outward"].values)
    order = np.argsort(-moved, kind="stable")
    return order[moved[order] > 0]


def _panel(axis: Axes, one: xr.Dataset, used: np.ndarray, area: bool) -> None:
    inward, outward = (np.nan_to_num(one[f"route_{way}"].values)[used] for way in ("inward", "outward"))
    largest = max(inward.max(initial=0.0), outward.max(initial=0.0))
    unit = amount_unit(largest)
    name = f"{unit.name}/m²" if area else unit.name
    place = np.arange(used.size)
    axis.set_title(heading(one), fontweight="bold", fontsize=9.5, pad=17)
    axis.set_xlabel(f"out        amount [{name}]        in")
    axis.set_ylabel("route")
    if not used.size:
        axis.text(0.5, 0.5, "nothing crossed", transform=axis.transAxes, ha="center", va="center", color=GREY)
        axis.set_yticks([])
        return
    for values, sign, colour in ((inward, 1.0, _IN), (outward, -1.0, _OUT)):
        axis.barh(place, sign * values / unit.si, color=colour, height=0.62)
        for y, value in zip(place, values, strict=True):
            _label(axis, sign, value, values.sum(), float(y), unit)
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(place, [str(r) for r in one["route"].values[used]])
    axis.set_ylim(used.size - 0.5, -0.5)
    axis.set_xlim(-2.25 * largest / unit.si, 2.25 * largest / unit.si)
    axis.xaxis.set_major_locator(MaxNLocator(7, symmetric=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{abs(v):g}"))
    axis.grid(False, axis="y")
    net = _net(float(inward.sum() - outward.sum()), area)
    axis.annotate(net, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY)


def _label(axis: Axes, sign: float, value: float, total: float, y: float, unit: Unit) -> None:
    """Write amount and percent beyond the end of one bar."""
    text = "none"
    if value > 0:
        own = amount_unit(value)
        share = 100 * value / total
        percent = "<0.1" if share < 0.1 else f"{share:.0f}" if share >= 9.95 else f"{share:.1f}"
        text = f"{value / own.si:.3g} {own.name} ({percent} %)"
    axis.annotate(
        text, (sign * value / unit.si, y), (4 * sign, 0), textcoords="offset points", fontsize=7.5, va="center",
        ha="left" if sign > 0 else "right", color=GREY if value == 0 else "black",
    )  # fmt: skip


def _net(net: float, area: bool) -> str:
    unit = amount_unit(abs(net))
    return f"net {abs(net) / unit.si:.3g} {unit.name}{'/m²' if area else ''} {'in' if net >= 0 else 'out'}"
