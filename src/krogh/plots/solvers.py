"""Draw networks beside finite volumes: both answers over time, and their relative difference everywhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from krogh.plots.scales import concentration_unit, format_duration, log_range, log_ticks
from krogh.plots.style import CURVES, GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.runs.compare import Comparison

__all__ = ["draw_solvers"]

_COLOURS = {c.variable: c.colour for c in CURVES} | {
    "basement membrane": "#56B4E9",
    "end-feet": "#CC79A7",
    "astrocyte": "#882255",
}
_WIDTH = 9.0


def draw_solvers(comparison: Comparison, species: int = 0) -> Figure:
    """Return both answers (left) and how far apart they are (right), over logarithmic time.

    Parameters
    ----------
    comparison : Comparison
        See :func:`krogh.runs.compare.compare_solvers`.
    species : int
        Which compound of the problem.
    """
    c = comparison
    shown = [m for m in c.media if m != "membranes" and np.any(c.volumes[m][:, species] > 0)]
    verdict = "" if c.converged else ": FAILED, no answer"
    with house_style():
        figure = new_figure(
            _WIDTH, 3.4, f"Networks ({c.method}) beside finite volumes: {c.labels[species]}{verdict}", _caption(c),
            legend_rows=legend_rows(len(shown) + 2, _WIDTH),
        )  # fmt: skip
        left, right = figure.subplots(1, 2)
        peak = max(float(c.volumes[m][:, species].max()) for m in shown)
        unit = concentration_unit(peak)
        handles = []
        for medium in shown:
            colour = _COLOURS.get(medium, GREY)
            a, b = c.networks[medium][:, species], c.volumes[medium][:, species]
            left.loglog(c.t_s, np.maximum(b, 1e-300) / unit.si, color=colour, lw=2.6, alpha=0.45)
            if c.converged:
                left.loglog(c.t_s, np.maximum(a, 1e-300) / unit.si, color=colour, ls=(0, (2, 2)), lw=1.3)
            right.loglog(c.t_s, np.abs(a - b) / b.max() + 1e-16, color=colour)
            handles.append(Line2D([], [], color=colour, lw=2.2, label=medium))
        handles += [Line2D([], [], color=GREY, lw=2.6, alpha=0.45, label="finite volumes")]
        if c.converged:
            handles += [Line2D([], [], color=GREY, ls=(0, (2, 2)), lw=1.3, label="networks")]
        low, high = log_range(*(c.volumes[m][:, species] / unit.si for m in shown), decades=6.0, below=1e-4)
        left.set_ylim(low, high)
        log_ticks(left.yaxis, low, high)
        left.set_ylabel(f"mean free concentration [{unit.name}]")
        right.axhline(c.tol, color=GREY, lw=0.9, ls=":")
        right.set_ylim(1e-10, 1.0)
        right.set_ylabel("difference over the medium's peak [1]")
        for axis in (left, right):
            axis.set_xlabel("time since the first dose [s]")
        return legend_on_top(figure, handles)


def _caption(c: Comparison) -> str:
    state = f"was reached ({c.certificate:.1e})" if c.converged else f"was not reached ({c.certificate:.1e})"
    if not math.isfinite(c.certificate):
        state = "was not reached (the equations were not solved: Newton's method did not come to rest)"
    drawn = " and physics-informed networks (dashed)" if c.converged else "; the networks' curves are left out"
    return (
        f"Left: mean free concentration of each medium, finite volumes (broad){drawn}. Right: "
        f"the difference of the two over the peak of that medium; dotted: the tolerance {c.tol:.0e} of the certificate, which "
        f"{state}. The certificate is the residual of the equations on points that the networks never saw. "
        f"All axes are logarithmic and cut off small values; the run lasts {format_duration(float(c.t_s[-1]))}."
    )
