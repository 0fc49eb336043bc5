"""Draw the regional exchange rates of a cohort: every scan with its interval, the mean over subjects with its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from krogh.plots.style import GREY, house_style, legend_on_top, new_figure

__all__ = ["draw_cohort"]

_SCAN, _MEAN, _LEFT_OUT = "#0072B2", "#D55E00", "#999999"
_MOST_REGIONS, _MOST_SCANS = 6, 60


def draw_cohort(rows: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a forest plot of the exchange rate, one panel a region (the first six)."""
    regions = list(dict.fromkeys(r["region"] for r in rows))[:_MOST_REGIONS]
    name = "axr" if any("axr" in r for r in rows) else "k"
    scans = list(dict.fromkeys(r["scan"] for r in rows))[:_MOST_SCANS]
    caption = (
        f"{'AXR' if name == 'axr' else 'k'} of each scan by a pooled fit of the region, bars: 95 % profile interval (none where "
        "open or not computed); grey: left out of the mean, since the fit has a flag. Band: 95 % interval of the mean over "
        f"subjects, where there are two or more. {len(scans)} scans, {len(regions)} regions shown."
    )
    keys: list[Line2D | Patch] = [
        Line2D([], [], ls="", marker="o", ms=4, color=_SCAN, label="scan"),
        Patch(color=_MEAN, alpha=0.25, label="mean over subjects, 95 %"),
    ]
    with house_style():
        width = 2.2 + 2.4 * len(regions)
        figure = new_figure(max(width, 6.5), 1.2 + 0.19 * len(scans), "Exchange across a cohort", caption, legend_rows=1)
        axes = figure.subplots(1, len(regions), sharey=True, squeeze=False).ravel()
        for axis, region in zip(axes, regions, strict=True):
            mean = next((s for s in summary if s["region"] == region and s["quantity"] == name), None)
            _panel(axis, [r for r in rows if r["region"] == region], scans, mean, name)
            axis.set_title(region[:24])
            axis.set_xlabel("AXR [1/s]" if name == "axr" else "k [1/s]")
        axes[0].set_yticks(range(len(scans)), [_short(s) for s in scans], fontsize=7)
        axes[0].invert_yaxis()
        return legend_on_top(figure, keys)


def _short(scan: str) -> str:
    name = scan.rpartition("/")[2].partition("_dwi")[0]
    return name if len(name) <= 28 else name[:27] + "…"


def _panel(
    axis: Axes, rows: Sequence[Mapping[str, Any]], scans: Sequence[str], mean: Mapping[str, Any] | None, name: str
) -> None:
    if mean is not None and np.isfinite(mean["low"]):
        axis.axvspan(mean["low"], mean["high"], color=_MEAN, alpha=0.25, lw=0)
        axis.axvline(mean["mean"], color=_MEAN, lw=1.2)
    for r in rows:
        if r["scan"] not in scans or r.get(name) is None:
            continue
        y, colour = scans.index(r["scan"]), _SCAN if r["flag"] == 0 else _LEFT_OUT
        ends = [float(r[k]) for k in (f"{name}_low", f"{name}_high") if r.get(k) is not None]
        if len(ends) == 2:
            axis.plot(ends, [y, y], color=colour if r["flag"] else GREY, lw=1)
        axis.plot(r[name], y, "o", ms=4, color=colour)
    axis.grid(visible=False, axis="y")
