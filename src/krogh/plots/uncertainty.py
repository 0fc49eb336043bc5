"""Draw what ranges of the inputs do: bands over time, a tornado of single effects, indices with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from krogh.plots.scales import concentration_unit, log_range, time_axis, time_unit
from krogh.plots.style import GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.runs.uncertainty.run import Ensemble
    from krogh.runs.uncertainty.summary import Bands, Summary

__all__ = ["OUTPUT_WORDS", "draw_bands", "draw_indices", "draw_tornado", "strongest"]

#: Name of a result -> what an axis says.
OUTPUT_WORDS = {
    "kp_uu": "Kp,uu", "auc_interstitium_uM_min": "AUC, interstitium [µM min]", "cmax_interstitium_uM": "Cmax, interstitium [µM]",
    "tmax_min": "tmax, interstitium [min]", "auc_neuron_uM_min": "AUC, neurons [µM min]",
}  # fmt: skip
_SHOWN = ("kp_uu", "auc_interstitium_uM_min", "cmax_interstitium_uM", "tmax_min")
_CURVES = {"plasma, free": ("#D55E00", 0), "interstitium, free": ("#0072B2", 1), "neurons, free": ("#009E73", 2)}
_LOW, _HIGH, _FIRST, _TOTAL = "#56B4E9", "#D55E00", "#0072B2", "#E69F00"
_MOST = 12


def strongest(ensemble: Ensemble, summary: Summary, output: int) -> np.ndarray:
    """Return the indices of the factors, largest single effect on a result first; ties keep their order."""
    effect = np.nan_to_num(np.abs(np.diff(summary.alone[:, :, output], axis=1))[:, 0])
    return np.argsort(-effect, kind="stable")


def draw_tornado(ensemble: Ensemble, summary: Summary) -> Figure:
    """Return the change of four results when one factor alone goes to its low and to its high end."""
    rows = min(_MOST, len(ensemble.factors))
    caption = (
        f"{ensemble.base.labels[0]}: result when one input alone goes to the low or the high end of its range, all others "
        f"at their values (line). The {rows} strongest of {len(ensemble.factors)} inputs for each result. Ranges are in "
        "tornado.csv."
    )
    keys = [Patch(color=_LOW, label="input at its low end"), Patch(color=_HIGH, label="input at its high end")]
    with house_style():
        figure = new_figure(11.5, 1.5 + 0.42 * rows, "What moves the result", caption, legend_rows=1)
        for axis, name in zip(figure.subplots(2, 2).ravel(), _SHOWN, strict=True):
            _tornado(axis, ensemble, summary, ensemble.outputs.index(name))
            axis.set_xlabel(OUTPUT_WORDS[name])
        return legend_on_top(figure, keys)


def _tornado(axis: Axes, ensemble: Ensemble, summary: Summary, output: int) -> None:
    order = strongest(ensemble, summary, output)[:_MOST][::-1]
    base = summary.nominal[output]
    for place, i in enumerate(order):
        for end, colour in ((0, _LOW), (1, _HIGH)):
            value = summary.alone[i, end, output]
            if np.isfinite(value):
                axis.barh(place, value - base, left=base, color=colour, height=0.7)
    axis.axvline(base, color=GREY, lw=1)
    _names(axis, [ensemble.factors[i].key for i in order])
    axis.margins(x=0.08)


def _names(axis: Axes, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), [n if len(n) <= 44 else n[:43] + "…" for n in names], fontsize=7)
    axis.grid(visible=False, axis="y")
    axis.locator_params(axis="x", nbins=5)


def draw_bands(bands: Sequence[Bands], draws: int) -> Figure:
    """Return the percentiles of the curves of each compound: median, 25 to 75 and 5 to 95 %."""
    keys: list[Line2D | Patch] = [Line2D([], [], color=c, label=n) for n, (c, _) in _CURVES.items()]
    keys += [Patch(color=GREY, alpha=0.45, label="25–75 %"), Patch(color=GREY, alpha=0.2, label="5–95 %")]
    caption = (
        f"Percentiles at each time of {draws} simulations whose inputs were drawn from their ranges: line, median; dark, the "
        "middle half; light, 5 to 95 %. Inputs without a stated range are held: the bands are part of the uncertainty."
    )
    columns = min(len(bands), 4)
    rows, width = -(-len(bands) // columns), 7.5 if len(bands) == 1 else 11.0
    with house_style():
        figure = new_figure(
            width, 0.9 + 3.0 * rows, "From blood to neuron, with ranges", caption, legend_rows=legend_rows(len(keys), width)
        )
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, band in zip(axes, bands, strict=False):
            _bands(axis, band)
        for axis in axes[len(bands) :]:
            axis.remove()
        return legend_on_top(figure, keys)


def _bands(axis: Axes, band: Bands) -> None:
    shown = [(c, i) for c, i in _CURVES.values() if np.any(band.values[i] > 0)]
    unit, clock = concentration_unit(float(band.values[:, 2].max())), time_unit(float(band.t_s[-1]))
    low, high = log_range(*(band.values[i, p] for _, i in shown for p in (2, 4)), decades=4.0)
    for colour, i in shown:
        v = np.where(band.values[i] > 0, band.values[i] / unit.si, np.nan)
        t = band.t_s / clock.si
        axis.fill_between(t, v[0], v[4], color=colour, alpha=0.18, lw=0)
        axis.fill_between(t, v[1], v[3], color=colour, alpha=0.4, lw=0)
        axis.plot(t, v[2], color=colour)
    axis.set_yscale("log")
    axis.set_ylim(low / unit.si, high / unit.si)
    time_axis(axis, float(band.t_s[-1]), clock)
    axis.set_title(band.label)
    axis.set_xlabel(f"time since the first dose [{clock.name}]")
    axis.set_ylabel(f"concentration [{unit.name}]")


def draw_indices(ensemble: Ensemble, summary: Summary) -> Figure:
    """Return the indices of four results for the factors that are largest in each, with 95 % intervals."""
    rows = min(_MOST, len(ensemble.factors))
    words = {
        "lhs": "Partial rank correlation of each input with the result: at 1 or −1 the result follows it, at 0 it does not.",
        "sobol": "Sobol indices: share of the variance that goes with an input alone (first) or in any combination (total).",
        "morris": "Morris: mean absolute elementary effect (mu*) over the whole range of each input, in the unit of the result.",
    }[ensemble.method]
    caption = (
        f"{ensemble.base.labels[0]}: {words} Bars: 95 % intervals. The {rows} largest of {len(ensemble.factors)} inputs each; "
        f"{summary.done} simulations."
    )
    names = {"lhs": ["rank correlation"], "sobol": ["first", "total"], "morris": ["mu*"]}[ensemble.method]
    unit = {
        "lhs": "partial rank correlation [-]",
        "sobol": "share of the variance [-]",
        "morris": "mu*, in the unit of the result",
    }
    keys = [Line2D([], [], ls="", marker="o", color=c, label=n) for n, c in zip(names, (_FIRST, _TOTAL), strict=False)]
    with house_style():
        figure = new_figure(11.5, 1.5 + 0.42 * rows, "Which input the result depends on", caption, legend_rows=1)
        for axis, name in zip(figure.subplots(2, 2).ravel(), _SHOWN, strict=True):
            _indices(axis, ensemble, summary, ensemble.outputs.index(name))
            axis.set_title(OUTPUT_WORDS[name])
            axis.set_xlabel(unit[ensemble.method])
        return legend_on_top(figure, keys)


def _indices(axis: Axes, ensemble: Ensemble, summary: Summary, output: int) -> None:
    index = {k: v[:, output] for k, v in summary.indices.items()}
    main = index[{"lhs": "rank_correlation", "sobol": "total", "morris": "mu_star"}[ensemble.method]]
    order = np.argsort(-np.nan_to_num(np.abs(main)), kind="stable")[:_MOST][::-1]
    y = np.arange(order.size)
    if ensemble.method == "lhs":
        r, low, high = (index[f"rank_correlation{s}"][order] for s in ("", "_low", "_high"))
        axis.errorbar(r, y, xerr=[r - low, high - r], fmt="o", ms=4, color=_FIRST, lw=1)
        axis.set_xlim(-1.05, 1.05)
    elif ensemble.method == "sobol":
        for name, colour, shift in (("first", _FIRST, 0.14), ("total", _TOTAL, -0.14)):
            axis.errorbar(index[name][order], y + shift, xerr=index[f"{name}_conf"][order], fmt="o", ms=4, color=colour, lw=1)
    else:
        axis.errorbar(main[order], y, xerr=index["mu_star_conf"][order], fmt="o", ms=4, color=_FIRST, lw=1)
    axis.axvline(0, color=GREY, lw=0.8)
    _names(axis, [ensemble.factors[i].key for i in order])
