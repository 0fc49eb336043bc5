"""Draw what ``krogh validate`` found: predicted against measured, fold errors by row, time courses with their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from krogh.plots.scales import concentration_unit, log_ticks, time_axis, time_unit
from krogh.plots.style import GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.validation.study import Study

__all__ = ["draw_study"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#5F5F5F")
_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (1, 1)))


def draw_study(study: Study) -> dict[str, Figure]:
    """Return the pictures of a study by name; none where its table says it all."""
    if study.fits:
        from krogh.plots.inference import draw_fit

        return {f"{study.name}-{name}": draw_fit(result) for name, result in study.fits.items()}
    with house_style():
        if study.curves:
            return {study.name: _curves(study)}
        if study.scatter:
            return {study.name: _scatter(study)}
        if len(study.rows) >= 3:
            return {study.name: _folds(study)}
    return {}


def _scatter(study: Study) -> Figure:
    keys = [Line2D([], [], ls="", marker="o", ms=5, color=c, label=n) for c, n in zip(_COLOURS, study.scatter, strict=False)]
    caption = (
        "Each point is one compound that the model had not seen. Solid line: agreement; dashed: a factor of 3 either way. "
        "PS of the neutral species."
    )
    figure = new_figure(9.5, 4.0, study.title, caption, legend_rows=legend_rows(len(keys), 9.5))
    axes = figure.subplots(1, len(study.scatter), sharex=True, sharey=True)
    both = np.concatenate([np.concatenate(pair) for pair in study.scatter.values()])
    ends = np.array([np.floor(both.min()), np.ceil(both.max())])
    for axis, colour, (seen, predicted) in zip(np.atleast_1d(axes), _COLOURS, study.scatter.values(), strict=False):
        axis.plot(ends, ends, color=GREY, lw=1)
        for shift in (-np.log10(3), np.log10(3)):
            axis.plot(ends, ends + shift, color=GREY, lw=0.8, ls=(0, (4, 3)))
        axis.plot(seen, predicted, "o", ms=4.5, color=colour, mec="white", mew=0.5)
        axis.set_xlabel("measured log10 PS [mL/s/g]")
        axis.set_xlim(*ends)
        axis.set_ylim(*ends)
        axis.set_aspect("equal")
    np.atleast_1d(axes)[0].set_ylabel("predicted log10 PS [mL/s/g]")
    return legend_on_top(figure, keys)


def _folds(study: Study) -> Figure:
    rows = [r for r in study.rows if r.fold > 0]
    looks = {
        True: Line2D([], [], ls="", marker="o", ms=6, color=_COLOURS[0], label="predicted"),
        False: Line2D(
            [], [], ls="", marker="o", ms=6, mfc="white", color=_COLOURS[1], label="shown, not scored (fitted, or no test)"
        ),
    }
    keys = [line for scored, line in looks.items() if any(r.scored == scored for r in rows)]
    caption = (
        "Model over reference value of each row, on a logarithmic axis; 1 is agreement. The band is a factor of 2 either way. "
        "Bars: published SD. "
        "What was measured: " + "; ".join(dict.fromkeys(r.matrix for r in rows)) + "."
    )
    figure = new_figure(9.0, 0.6 + 0.27 * len(rows), study.title, caption, legend_rows=1)
    axis = figure.subplots()
    axis.axvspan(0.5, 2.0, color="#EEF3F7", zorder=0)
    axis.axvline(1.0, color=GREY, lw=1)
    for i, r in enumerate(rows):
        if r.sd == r.sd and r.sd < r.observed:
            ends = [r.predicted / (r.observed + r.sd), r.predicted / (r.observed - r.sd)]
            axis.plot(ends, [i, i], color=GREY, lw=1.2)
        axis.plot(r.fold, i, "o", ms=6, color=_COLOURS[0 if r.scored else 1], mfc=_COLOURS[0] if r.scored else "white")
    axis.set_yticks(range(len(rows)), [r.what for r in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xscale("log")
    upper = [r.predicted / (r.observed - r.sd) if r.sd == r.sd and r.sd < r.observed else r.fold for r in rows]
    low, high = min(0.4, 0.7 * min(r.fold for r in rows)), max(2.5, 1.5 * max(r.fold for r in rows), 1.1 * max(upper))
    axis.set_xlim(low, high)
    log_ticks(axis.xaxis, low, high)
    axis.set_xlabel("model / reference")
    return legend_on_top(figure, keys)


def _curves(study: Study) -> Figure:
    names = list(dict.fromkeys(n for c in study.curves for n in c.models))
    styles = {n: {"color": c, "ls": d} for n, c, d in zip(names, _COLOURS, _DASHES, strict=False)}
    keys = [Line2D([], [], lw=1.8, label=n, **styles[n]) for n in names]  # type: ignore[arg-type]
    keys.append(Line2D([], [], ls="", marker="o", ms=5, color="black", label="measured (mean, SD where given)"))
    columns = 3
    lines = -(-len(study.curves) // columns)
    caption = (
        "Total concentration at the site named above each panel, logarithmic axis. Lines: the model with the permeability of the "
        "barrier from the source named; nothing was fitted to these points. Lumbar CSF comes from a chain of cranial and spinal "
        "CSF."
    )
    figure = new_figure(11.0, 2.35 * lines, study.title, caption, legend_rows=legend_rows(len(keys), 11.0))
    axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    for axis, curve in zip(axes, study.curves, strict=False):
        peak = max(float(curve.observed.max()), *(float(np.max(m)) for m in curve.models.values()))
        unit, clock = concentration_unit(0.1 * peak), time_unit(float(curve.model_t_s[-1]))
        for name, values in curve.models.items():
            shown = np.where(values > 0, values, np.nan) / unit.si
            axis.plot(curve.model_t_s / clock.si, shown, lw=1.6, **styles[name])
        low = np.minimum(np.nan_to_num(curve.sd), 0.95 * curve.observed)
        bars = np.array([low, np.nan_to_num(curve.sd)]) / unit.si
        axis.errorbar(
            curve.t_s / clock.si, curve.observed / unit.si, bars, fmt="o", ms=3.5, color="black", ecolor=GREY, elinewidth=0.8
        )
        axis.set_yscale("log")
        bottom = 0.3 * float(curve.observed.min()) / unit.si
        axis.set_ylim(bottom, 2.0 * peak / unit.si)
        log_ticks(axis.yaxis, bottom, 2.0 * peak / unit.si)
        time_axis(axis, float(curve.model_t_s[-1]), clock)
        axis.set_title(f"{curve.title}\n{curve.matrix}", fontsize=8.5)
        axis.set_xlabel(f"time [{clock.name}]")
        axis.set_ylabel(f"concentration [{unit.name}]")
    for axis in axes[len(study.curves) :]:
        axis.set_visible(False)
    return legend_on_top(figure, keys)
