"""Draw an inference from FEXI signals: ADC' over the mixing time with its band, and the residual of every signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from krogh.plots.inference import misfit_text
from krogh.plots.scales import shown_unit
from krogh.plots.style import GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.runs.infer_fexi import FexiInference
    from krogh.runs.infer_fexi_curves import Curve

__all__ = ["draw_fexi_fit"]

_LINE, _BAND, _REST, _REST_BAND = "#0072B2", "#56B4E9", "#D55E00", "#F0A830"
_COLUMNS, _WIDTH, _ADC = 3, 10.0, 1e-9


def draw_fexi_fit(result: FexiInference) -> Figure:
    """Return ADC' over the mixing time (top) and the standardised residuals of all signals (below), one column a curve."""
    columns = 2 if len(result.curves) == 4 else min(len(result.curves), _COLUMNS)
    lines = -(-len(result.curves) // columns)
    keys = [
        Line2D([], [], color=_LINE, label="after the filter"), Patch(color=_BAND, alpha=0.55, label="95 % of curves"),
        Patch(color=_BAND, alpha=0.22, label="95 % of new series"),
        Line2D([], [], color=_REST, ls=(0, (4, 2)), label="without filter"),
        Patch(color=_REST_BAND, alpha=0.4, label="95 % without filter"),
        Line2D([], [], ls="", marker="o", ms=4.5, color="black", label="measured series, SD"),
    ]  # fmt: skip
    width = max(7.0, _WIDTH * columns / _COLUMNS)
    caption = (
        f"Apparent diffusion coefficient ADC' of the detection block over the mixing time, model {result.name}: lower after "
        "the filter, it comes back at the exchange rate. Points: slope of -log S over b of each series. Bands: curves that the "
        "parameters allow, and (light) points of new series. Lower panels: (measured - fit) / SD of every signal; 95 % should "
        f"lie between the dotted lines. {misfit_text(result)}"
    )
    with house_style():
        title = f"Fit of {result.name} to FEXI signals"
        figure = new_figure(width, 4.3 * lines, title, caption, legend_rows=legend_rows(len(keys), width))
        grid = figure.add_gridspec(2 * lines, columns, height_ratios=[3, 1] * lines)
        for k, curve in enumerate(result.curves):
            top = figure.add_subplot(grid[2 * (k // columns), k % columns])
            low = figure.add_subplot(grid[2 * (k // columns) + 1, k % columns])
            _curve(top, curve)
            _residuals(low, result, curve.dataset)
        return legend_on_top(figure, keys)


def _curve(axis: Any, c: Curve) -> None:
    t = 1e3 * c.mixing_time_s
    axis.fill_between(t, c.value_low / _ADC, c.value_high / _ADC, color=_BAND, alpha=0.22, lw=0)
    axis.fill_between(t, c.low / _ADC, c.high / _ADC, color=_BAND, alpha=0.55, lw=0)
    axis.axhspan(c.rest_low / _ADC, c.rest_high / _ADC, color=_REST_BAND, alpha=0.4, lw=0)
    axis.plot(t, c.fit / _ADC, color=_LINE)
    axis.axhline(c.rest / _ADC, color=_REST, ls=(0, (4, 2)), lw=1.3)
    for filtered, colour in ((True, _LINE), (False, _REST)):
        here = c.filtered == filtered
        if here.any():
            axis.errorbar(1e3 * c.point_time_s[here], c.point[here] / _ADC, c.point_sd[here] / _ADC, fmt="o", ms=4.5,
                          color="black", mfc=colour, ecolor=GREY, elinewidth=0.8)  # fmt: skip
    axis.set_xlim(0, t[-1])
    axis.set_xlabel("mixing time [ms]")
    axis.set_ylabel(f"ADC' [{shown_unit('um2/ms')}]")
    axis.set_title(c.dataset, fontsize=8.5)


def _residuals(axis: Any, result: FexiInference, dataset: str) -> None:
    scan = result.scans[dataset]
    mine = np.array([d == dataset for d in result.data.dataset])
    r = result.fit.residual[mine]
    axis.axhline(0, color=GREY, lw=0.8)
    for z in (-1.96, 1.96):
        axis.axhline(z, color=GREY, lw=0.8, ls=":")
    axis.plot(scan.volume + 1, r, "o", ms=3.5, color="black")
    reach = max(3.0, 1.1 * float(np.abs(r).max()))
    axis.set_ylim(-reach, reach)
    axis.set_xlabel("volume of the protocol")
    axis.set_ylabel("residual\n[SD]")
