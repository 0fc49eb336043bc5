"""Draw an inference: data with the fit and its bands, residuals, profiles of the likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.interpolate import PchipInterpolator

from krogh.plots.scales import concentration_unit, log_ticks, shown_unit, time_axis, time_unit
from krogh.plots.style import GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.inference.bands import Band
    from krogh.runs.infer import Inference
    from krogh.runs.judged import Judged

__all__ = ["draw_fit", "draw_profiles", "misfit_text", "parameter_axis"]

_LINE, _BAND, _BELOW = "#0072B2", "#56B4E9", "#D55E00"
_COLUMNS, _WIDTH = 3, 10.0
#: Share of fits that chance alone would make this bad, below which a fit is called one.
_MISFIT = 0.01


def draw_fit(result: Inference) -> Figure:
    """Return the data with the fitted curve and its bands (top) and the standardised residuals (below), one column a series."""
    bands = result.bands
    columns = 2 if len(bands) == 4 else min(len(bands), _COLUMNS)
    lines = -(-len(bands) // columns)
    below = bool(result.data.censored.any())
    keys = [
        Line2D([], [], color=_LINE, label="fit"), Patch(color=_BAND, alpha=0.55, label="95 % of curves"),
        Patch(color=_BAND, alpha=0.22, label="95 % of new values"),
        Line2D([], [], ls="", marker="o", ms=4.5, color="black", label="measured, SD"),
    ]  # fmt: skip
    if below:
        keys.append(Line2D([], [], ls="", marker="v", ms=5.5, color=_BELOW, label="below the limit"))
    width = max(7.0, _WIDTH * columns / _COLUMNS)
    caption = (
        f"{result.compound}: measured values with the model's best curve. Dark band: curves that the parameters allow; light "
        f"band: where new values fall. Lower panels: (measured - fit) / SD; 95 % should lie between the dotted lines. "
        f"{misfit_text(result)}"
    )
    with house_style():
        figure = new_figure(width, 4.3 * lines, f"Fit of {result.compound}", caption, legend_rows=legend_rows(len(keys), width))
        grid = figure.add_gridspec(2 * lines, columns, height_ratios=[3, 1] * lines)
        for k, band in enumerate(bands):
            top = figure.add_subplot(grid[2 * (k // columns), k % columns])
            low = figure.add_subplot(grid[2 * (k // columns) + 1, k % columns], sharex=top)
            _series(top, low, result, band)
        return legend_on_top(figure, keys)


def misfit_text(result: Judged) -> str:
    """Return in words how well model and data agree."""
    f = result.fit
    if f.dof <= 0:
        return "No more values than parameters: nothing is left to test the model with."
    misses = ": the model misses them or their errors are too small; the bands are too narrow" if f.p_value < _MISFIT else ""
    return f"chi2 {f.chi2:.1f} for {f.dof} degrees of freedom, p {f.p_value:.2g}{misses}."


def _series(top, low, result: Inference, band: Band) -> None:  # type: ignore[no-untyped-def]
    data = result.data
    mine = np.array([(d, m) == (band.dataset, band.matrix) for d, m in zip(data.dataset, data.matrix, strict=True)])
    below = data.censored & mine
    seen = mine & ~below
    peak = max(float(band.fit.max()), float(data.value[seen].max()) if seen.any() else 0.0)
    area = band.matrix.endswith("auc")
    unit, clock = concentration_unit(0.3 * peak), time_unit(float(band.t_s[-1]))
    t = band.t_s / clock.si
    top.fill_between(t, np.maximum(band.value_low, 0) / unit.si, band.value_high / unit.si, color=_BAND, alpha=0.22, lw=0)
    top.fill_between(t, band.low / unit.si, band.high / unit.si, color=_BAND, alpha=0.55, lw=0)
    top.plot(t, band.fit / unit.si, color=_LINE)
    sd = data.spread(result.fit.predicted)
    top.errorbar(data.t_s[seen] / clock.si, data.value[seen] / unit.si, sd[seen] / unit.si, fmt="o", ms=4, color="black",
                 ecolor=GREY, elinewidth=0.8, clip_on=False)  # fmt: skip
    if below.any():  # the last value lies on the frame: do not cut its mark; an uncut line of no point would spoil the layout
        top.plot(data.t_s[below] / clock.si, data.lloq[below] / unit.si, "v", ms=5, color=_BELOW, clip_on=False)
    top.set_ylim(bottom=0)
    top.set_ylabel(f"{'area' if area else 'concentration'} [{unit.name}{' s' if area else ''}]")
    top.set_title(f"{band.dataset}\n{band.matrix.replace('csf', 'CSF').replace('auc', 'AUC')}", fontsize=8.5)
    top.tick_params(labelbottom=False)
    low.axhline(0, color=GREY, lw=0.8)
    for z in (-1.96, 1.96):
        low.axhline(z, color=GREY, lw=0.8, ls=":")
    low.plot(data.t_s[seen] / clock.si, result.fit.residual[seen], "o", ms=3.5, color="black", clip_on=False)
    reach = max(3.0, 1.1 * float(np.abs(result.fit.residual[seen]).max()) if seen.any() else 3.0)
    low.set_ylim(-reach, reach)
    low.set_ylabel("residual\n[SD]")
    low.set_xlabel(f"time [{clock.name}]")
    time_axis(low, float(band.t_s[-1]), clock)


def draw_profiles(result: Judged) -> Figure:
    """Return the profile likelihood of every parameter, with its interval; an open curve is what the data do not hold."""
    from krogh.runs.infer_tables import scale

    count = len(result.parameters)
    width = max(5.0, 3.2 * count)
    caption = (
        "Rise of the deviance, -2 log likelihood, as one parameter is moved and the others follow. Dotted: the rise of the "
        f"{100 * result.level:.0f} % interval, which is shaded, to the frame where it is open. "
        "Dashed: the normal approximation. A curve that stays below the "
        "dotted line is a parameter that the data do not bound on that side; so is an end that only the limit of the search of "
        "another parameter makes."
    )
    with house_style():
        figure = new_figure(width, 2.7, f"Profile likelihood: {result.name}", caption)
        axes = np.atleast_1d(figure.subplots(1, count, sharey=True))
        limit = _limit(result.level)
        for axis, p, line, k in zip(axes, result.parameters, result.profiles, range(count), strict=True):
            unit = scale(p)
            axis.plot(np.exp(line.x) / unit, line.root**2, "o", ms=3.5, color=_LINE)
            fine = np.linspace(line.x[0], line.x[-1], 201)
            axis.plot(np.exp(fine) / unit, PchipInterpolator(line.x, line.root)(fine) ** 2, color=_LINE)
            axis.plot(np.exp(fine) / unit, ((fine - result.fit.x[k]) / result.fit.sd[k]) ** 2, color=GREY, ls=(0, (4, 2)), lw=1)
            axis.axhline(limit, color=GREY, ls=":", lw=0.9)
            shown = np.exp(line.x[[0, -1]]) / unit
            edges = shown * (shown[1] / shown[0]) ** np.array([-0.05, 0.05])
            axis.axvspan(max(np.exp(line.low) / unit, edges[0]), min(np.exp(line.high) / unit, edges[1]), color=_BAND, alpha=0.25,
                         lw=0)  # fmt: skip
            parameter_axis(axis.xaxis, *shown)
            axis.set_xlim(*edges)
            axis.set_ylim(0, 1.6 * limit)
            axis.set_xlabel(f"{p.name} [{shown_unit(p.unit)}]")
        axes[0].set_ylabel("rise of deviance [1]")
        return figure


def parameter_axis(axis: Any, low: float, high: float) -> None:
    """Scale the axis of a parameter: logarithmic from a factor of three on, with few plain ticks."""
    if high > 3 * low:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
        log_ticks(axis, low, high)
    else:
        axis.set_major_locator(MaxNLocator(4))


def _limit(level: float) -> float:
    from scipy.stats import chi2

    return float(chi2.ppf(level, 1))
