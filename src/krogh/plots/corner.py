"""Draw what the data say about every parameter and every pair: the posterior, or its normal approximation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import chi2, norm

from krogh.plots.inference import parameter_axis
from krogh.plots.scales import shown_unit
from krogh.plots.style import GREY, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    from krogh.runs.judged import Judged

__all__ = ["draw_corner"]

_FILL, _LINE, _BEST = "#56B4E9", "#0072B2", "#D55E00"
_VALLEY = "#009E73"
_BINS = 36


def draw_corner(result: Judged) -> Figure:
    """Return a grid: on the diagonal the distribution of each parameter, below it that of each pair."""
    from krogh.runs.infer_tables import scale

    count = len(result.parameters)
    sampled = result.posterior is not None
    log = result.posterior.x if result.posterior is not None else result.draws
    units = np.array([scale(p) for p in result.parameters])
    low, high = _limits(result, log)
    width = max(6.5, 2.3 * count + 0.8)
    what = "Posterior samples" if sampled else "Normal approximation (no posterior was sampled)"
    caption = (
        f"{what} of {result.name}. Diagonal: density of the logarithm of each parameter, with its "
        f"{100 * result.level:.0f} % profile interval dotted. "
        f"Below: each pair; lines hold 68 % and 95 % of the normal approximation. A narrow "
        "oblique shape is a combination that is known better than its parts."
    )
    keys = [Line2D([], [], color=_LINE, label="normal approximation, 68 and 95 %"),
            Line2D([], [], color=_BEST, marker="+", ls="", ms=8, label="best fit"),
            Line2D([], [], color=GREY, ls=":", label="profile interval")]  # fmt: skip
    if result.unheld:
        keys.append(Line2D([], [], color=_VALLEY, lw=2.5, label="what the data allow"))
        caption += " Thick lines: where the others go as a parameter that the data do not hold is moved within what they allow."
    with house_style():
        figure = new_figure(width, 1.9 * count + 0.5, f"What the data say: {result.name}", caption,
                            legend_rows=legend_rows(len(keys), width))  # fmt: skip
        axes = np.atleast_2d(figure.subplots(count, count, squeeze=False))
        for i in range(count):
            for j in range(count):
                axis = axes[i, j]
                if j > i:
                    axis.set_visible(False)
                    continue
                if i == j:
                    _one(axis, result, i, log[:, i], (low[i], high[i]), sampled)
                else:
                    _pair(axis, result, i, j, np.exp(log[:, [j, i]]) / units[[j, i]], units[[j, i]], sampled)
                    parameter_axis(axis.yaxis, *np.exp([low[i], high[i]]) / units[i])
                    axis.set_ylim(*np.exp([low[i], high[i]]) / units[i])
                parameter_axis(axis.xaxis, *np.exp([low[j], high[j]]) / units[j])
                axis.set_xlim(*np.exp([low[j], high[j]]) / units[j])
                axis.tick_params(labelbottom=i == count - 1, labelleft=j == 0 and i > 0)
        for k, p in enumerate(result.parameters):
            axes[-1, k].set_xlabel(f"{p.name} [{shown_unit(p.unit)}]")
            if k:
                axes[k, 0].set_ylabel(f"{p.name} [{shown_unit(p.unit)}]")
        return legend_on_top(figure, keys)


def _limits(result: Judged, log: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the axes (P,), log-parameters: all samples but the outermost, closed intervals, and what is allowed."""
    low, high = np.quantile(log, [0.001, 0.999], axis=0)
    for k, (p, held) in enumerate(zip(result.profiles, result.identifiability.held, strict=True)):
        shown = [low[k], high[k], *(x for x in (p.low, p.high) if np.isfinite(x))]
        shown += [] if result.posterior else [result.fit.x[k] + z * min(result.fit.sd[k], 1.0) for z in (-3, 3)]
        shown += [] if held else list(_allowed(result, k)[:, k])
        room = 0.03 * (max(shown) - min(shown))
        low[k], high[k] = min(shown) - room, max(shown) + room
    return low, high


def _allowed(result: Judged, k: int) -> np.ndarray:
    """Return the points (K, P) of the profile of parameter `k` that the data allow."""
    line = result.profiles[k]
    return line.path[line.root**2 <= 1.02 * chi2.ppf(result.level, 1)]


def _one(axis: Any, result: Judged, k: int, log: np.ndarray, ends: tuple[float, float], sampled: bool) -> None:
    """Draw the density of one log-parameter: a histogram of the samples, or the normal curve."""
    from krogh.runs.infer_tables import scale

    unit = scale(result.parameters[k])
    if not result.identifiability.held[k]:
        axis.text(0.5, 0.5, "not held\nby the data", transform=axis.transAxes, ha="center", va="center", color=GREY,
                  bbox={"facecolor": "white", "edgecolor": "none"}, zorder=3)  # fmt: skip
    elif sampled:
        count, edges = np.histogram(log, bins=np.linspace(*ends, _BINS + 1))
        axis.stairs(count, np.exp(edges) / unit, color=_FILL, alpha=0.6, fill=True)
    else:
        x = np.linspace(*ends, 201)
        axis.fill_between(np.exp(x) / unit, norm.pdf(x, result.fit.x[k], result.fit.sd[k]), color=_FILL, alpha=0.6, lw=0)
    axis.set_ylim(bottom=0)
    axis.set_yticks([])
    for end in (result.low[k], result.high[k]):
        if 0 < end < np.inf:
            axis.axvline(end / unit, color=GREY, ls=":", lw=1)
    axis.axvline(float(result.estimate[k]) / unit, color=_BEST, lw=1)


def _pair(axis: Any, result: Judged, i: int, j: int, values: np.ndarray, units: np.ndarray, sampled: bool) -> None:
    """Draw the samples of parameter j (across) and i (up), and the ellipses of the normal approximation."""
    if sampled:
        axis.plot(*values[:2500].T, ".", ms=1.6, color=_FILL, alpha=0.5, rasterized=True)
    at = np.ix_([j, i], [j, i])
    unheld = [k for k in (j, i) if not result.identifiability.held[k]]
    for k in unheld:
        axis.plot(*(np.exp(_allowed(result, k)[:, [j, i]]) / units).T, color=_VALLEY, lw=2.5)
    if not unheld:
        root = np.linalg.cholesky(result.fit.covariance[at])
        turn = np.linspace(0, 2 * np.pi, 121)
        for share in (0.68, 0.95):
            ring = result.fit.x[[j, i], None] + np.sqrt(chi2.ppf(share, 2)) * root @ np.array([np.cos(turn), np.sin(turn)])
            axis.plot(*(np.exp(ring) / units[:, None]), color=_LINE, lw=1)
    axis.plot(*(result.estimate[[j, i]] / units), "+", color=_BEST, ms=8)
