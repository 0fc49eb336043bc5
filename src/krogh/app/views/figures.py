"""Describe the interactive figures of the page as plain dictionaries (Plotly's form), in the colours of the printed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.plots.scales import Unit, amount_unit, concentration_unit, log_range, time_unit
from krogh.plots.style import CURVES

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CYCLE", "MEDIA", "flow_figure", "layout", "side_by_side", "timecourse_figure"]

#: Okabe-Ito, for compounds side by side.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#B8A800")
MEDIA = {c.variable: c.label for c in CURVES}
_DASH = {"-": "solid"}
_POINTS = 400


def layout(dark: bool, **more: Any) -> dict[str, Any]:
    """Return the layout that every figure shares, readable on a light or a dark page."""
    ink, grid = ("#e8eaed", "#3a4048") if dark else ("#1a1d21", "#dfe3e7")
    axis = {"gridcolor": grid, "zerolinecolor": grid, "linecolor": grid, "automargin": True}
    axes = {name: {**axis, **more.pop(name, {})} for name in ("xaxis", "yaxis")}
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": ink, "size": 13, "family": "system-ui, sans-serif"},
        "margin": {"l": 60, "r": 15, "t": 30, "b": 50},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "#22262b" if dark else "#ffffff", "font": {"color": ink}},
        **axes,
        **more,
    }


def _figure(data: list[dict[str, Any]], shape: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "layout": shape, "config": {"displaylogo": False, "responsive": True, "displayModeBar": False}}


def _numbers(values: Any) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in np.asarray(values, float)]


def _unit(curves: Sequence[Any]) -> Unit:
    peaks = [float(np.nanmax(c)) for c in curves if np.isfinite(c).any() and np.nanmax(c) > 0]
    return concentration_unit(max(peaks) if peaks else 1e-3)


def _axes(curves: Sequence[Any], unit: Unit, end_s: float, log: bool) -> tuple[Unit, dict[str, Any], dict[str, Any]]:
    t = time_unit(end_s)
    y: dict[str, Any] = {"title": {"text": f"concentration [{unit.name}]"}, "rangemode": "tozero"}
    if log:
        low, high = log_range(*(np.nan_to_num(c) / unit.si for c in curves))
        y = {**y, "type": "log", "range": [float(np.log10(low)), float(np.log10(high))], "exponentformat": "power"}
    return t, {"title": {"text": f"time since the first dose [{t.name}]"}, "range": [0, end_s / t.si]}, y


def timecourse_figure(one: xr.Dataset, *, dark: bool = False, log: bool = True) -> dict[str, Any]:
    """Return plasma, endothelium, interstitium and neurons of one compound against time."""
    curves = [np.asarray(one[c.variable].values, float) for c in CURVES]
    unit = _unit(curves)
    t, x, y = _axes(curves, unit, float(one.time[-1]), log)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": c.label,
            "x": _numbers(one.time.values / t.si),
            "y": _numbers(np.where(values > 0, values, np.nan) / unit.si if log else values / unit.si),
            "line": {
                "color": "#9a9a9a" if c.variable == "plasma_total" else c.colour,
                "dash": _DASH.get(c.dash, "dash"),
                "width": c.width + 0.4,
            },
            "hovertemplate": "%{y:.3g} " + unit.name,
        }
        for c, values in zip(CURVES, curves, strict=True)
    ]
    return _figure(data, layout(dark, xaxis=x, yaxis=y, height=380))


def side_by_side(data: xr.Dataset, medium: str, *, dark: bool = False, log: bool = True) -> dict[str, Any]:
    """Return one medium of every compound on the same axes."""
    names = [str(n) for n in data["compound"].values]
    curves = [np.asarray(data[medium].sel(compound=n).values, float) for n in names]
    unit = _unit(curves)
    t, x, y = _axes(curves, unit, float(data.time[-1]), log)
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": _numbers(data.time.values / t.si),
            "y": _numbers(np.where(values > 0, values, np.nan) / unit.si if log else values / unit.si),
            "line": {"color": CYCLE[i % len(CYCLE)], "width": 2.4, "dash": ("solid", "dash", "dot")[i // len(CYCLE) % 3]},
            "hovertemplate": "%{y:.3g} " + unit.name,
        }
        for i, (name, values) in enumerate(zip(names, curves, strict=True))
    ]
    return _figure(lines, layout(dark, xaxis=x, yaxis=y, height=380))


def flow_figure(one: xr.Dataset, *, dark: bool = False) -> dict[str, Any] | None:
    """Return how much of one compound came in and went out by each route as a flow diagram; None where nothing crossed."""
    inward, outward = (np.nan_to_num(one[f"route_{way}"].values) for way in ("inward", "outward"))
    if inward.sum() <= 0:
        return None
    unit = amount_unit(float(inward.sum()))
    area = "/m²" if "m-2" in str(one["route_inward"].attrs.get("units", "")) else ""
    names = [str(r) for r in one["route"].values]
    labels: list[str] = ["blood", "inside"]
    links: list[tuple[int, int, float, int]] = []
    for i, name in enumerate(names):
        for amount, word in ((inward[i], "in"), (outward[i], "out")):
            if amount > 1e-6 * inward.sum():
                labels.append(f"{name} {word}: {amount / unit.si:.3g} {unit.name}{area}")
                way = len(labels) - 1
                links += [(0, way, amount, i), (way, 1, amount, i)] if word == "in" else [(1, way, amount, i)]
    stays = float(inward.sum() - outward.sum())
    if stays > 1e-6 * inward.sum():
        labels.append(f"stayed or changed: {stays / unit.si:.3g} {unit.name}{area}")
        links.append((1, len(labels) - 1, stays, -1))
    colours = ["#8C8C8C" if i < 0 else CYCLE[i % len(CYCLE)] for *_, i in links]
    sankey = {
        "type": "sankey",
        "arrangement": "snap",
        "node": {
            "label": labels,
            "pad": 22,
            "thickness": 14,
            "color": "#7a828b",
            "line": {"width": 0},
            "hovertemplate": "%{label}<extra></extra>",
        },
        "link": {
            "source": [s for s, *_ in links],
            "target": [t for _, t, *_ in links],
            "value": [float(v / unit.si) for _, _, v, _ in links],
            "color": [c + "99" for c in colours],
            "hovertemplate": "%{value:.3g} " + unit.name + area + "<extra></extra>",
        },
    }
    return _figure([sankey], layout(dark, height=340, hovermode="closest", margin={"l": 15, "r": 15, "t": 15, "b": 15}))
