"""Draw a screened library: how fast each molecule crosses against how long the brain takes to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from krogh.plots.style import GREY, house_style, legend_on_top, new_figure

__all__ = ["draw_screen"]

_LOOKS = {"permeability-limited": ("#D55E00", "o"), "mixed": ("#009E73", "s"), "flow-limited": ("#0072B2", "^")}
_MOST_BARS = 200


def draw_screen(records: Sequence[Mapping[str, Any]], driver: str) -> Figure:
    """Return the scatter plot of finished records; `driver` says what the plasma does."""
    with house_style():
        keys = [Line2D([], [], ls="", marker=m, ms=5, color=c, label=n) for n, (c, m) in _LOOKS.items()]
        bars = len(records) <= _MOST_BARS
        caption = (
            f"Each point is one of {len(records)} molecules. Predicted intrinsic permeability of the barrier (neutral species, "
            f"no pumps or carriers; {'bars: 90 % interval' if bars else 'intervals are in the table'}) against the time in which "
            f"the free interstitial concentration reaches half of its peak. Plasma: {driver}. Colour and shape: what limits "
            "uptake."
        )
        figure = new_figure(9.0, 4.2, "Screened molecules", caption, legend_rows=1)
        axis = figure.subplots()
        for regime, (colour, marker) in _LOOKS.items():
            some = [r for r in records if r["regime"] == regime]
            x, y = (np.array([r[k] for r in some]) for k in ("permeability_intrinsic_m_s", "time_to_half_of_peak_min"))
            if bars:
                for r in some:
                    ends = [r["permeability_low_90_m_s"], r["permeability_high_90_m_s"]]
                    axis.plot(ends, [r["time_to_half_of_peak_min"]] * 2, color=GREY, lw=0.6, zorder=1)
            axis.plot(x, y, marker, ms=4.5, color=colour, mec="white", mew=0.4, zorder=2, rasterized=True)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("predicted intrinsic permeability [m/s]")
        axis.set_ylabel("time to half of the peak [min]")
        return legend_on_top(figure, keys)
