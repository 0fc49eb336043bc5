"""Draw a drug beside the substance that it becomes: why levodopa gets in where dopamine does not."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from krogh.plots.bands import heading, one_compound
from krogh.plots.scales import Unit, concentration_unit, log_range, log_ticks, scientific, time_axis, time_unit
from krogh.plots.style import CURVES, house_style, legend_on_top, legend_rows, new_figure
from krogh.plots.timecourse import curve_keys, visible_end

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["comparison_words", "draw_comparison", "formed_label"]

_SHOWN = tuple(c for c in CURVES if c.variable in ("plasma_free", "interstitium", "neuron"))
_FORMED = (("interstitium", "interstitium", "#56B4E9", (0, (1, 1))), ("neuron", "neurons", "#CC79A7", "-"))
_DECADES = 8.0


def formed_label(ds: xr.Dataset, first: str, second: str) -> str | None:
    """Return the name of `second` formed from `first` in this run, or None."""
    label = f"{second} (from {first})"
    return label if label in [str(n) for n in ds.compound.values] else None


def draw_comparison(ds: xr.Dataset, first: str = "levodopa", second: str = "dopamine") -> Figure:
    """Return two compounds side by side on one scale, with what the first becomes in the brain, and the reason in words.

    Parameters
    ----------
    ds : xarray.Dataset
        A run that has both; see :func:`krogh.runs.dataset.build_dataset`.
    first, second : str, optional
        Names of the two.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels with the same axes, words under each.

    Raises
    ------
    InputError
        If the run lacks one of them.
    """
    a, b = one_compound(ds, first), one_compound(ds, second)
    label = formed_label(ds, first, second)
    formed = None if label is None else one_compound(ds, label)
    with house_style():
        keys = curve_keys(_SHOWN)
        if formed is not None:
            keys += [Line2D([], [], color=c, ls=d, lw=2.2, label=f"{second} from {first}: {n}, free") for _, n, c, d in _FORMED]
        words = [textwrap.fill(w, 74) for w in comparison_words(a, b, formed)]
        room = 0.165 * max(w.count("\n") + 1 for w in words)
        title = f"Why {first} gets in and {second} does not" if _ratio(a) > 10 * _ratio(b) else f"{first} beside {second}"
        caption = _caption(first, second, formed is not None)
        figure = new_figure(11.0, 4.0 + room, title[0].upper() + title[1:], caption, legend_rows=legend_rows(len(keys), 11.0))
        left, right = figure.subplots(1, 2)
        _panels(left, right, a, b, formed)
        for axis, one, text in ((left, a, words[0]), (right, b, words[1])):
            axis.set_title(heading(one), fontweight="bold", pad=8)
            axis.text(0.0, -0.17, text, transform=axis.transAxes, fontsize=8.5, va="top", linespacing=1.3)
        return legend_on_top(figure, keys)


def _caption(first: str, second: str, formed: bool) -> str:
    more = (
        f" Dotted light blue and purple: {second} that was formed from {first} inside the brain, from a dose of {first} alone."
        if formed
        else ""
    )
    return (
        f"Free concentration of {first} (left) and {second} (right) in plasma, interstitium and neurons after the doses "
        f"named, on the same logarithmic axis; time has its own range in each panel.{more} Kp,uu: area under free "
        "interstitium over area under free plasma. Routes: share of what crossed the luminal face from blood."
    )


def _ratio(one: xr.Dataset) -> float:
    value = float(one["kp_uu"])
    return value if np.isfinite(value) else 0.0


def _panels(left: Axes, right: Axes, a: xr.Dataset, b: xr.Dataset, formed: xr.Dataset | None) -> None:
    """Draw both panels on the same axes."""
    lines: list[tuple[Axes, NDArray[np.float64], dict[str, object]]] = []
    for axis, one in ((left, a), (right, b)):
        lines += [(axis, one[c.variable].values, {"color": c.colour, "ls": c.dash, "lw": c.width}) for c in _SHOWN]
    if formed is not None:
        lines += [(left, formed[v].values, {"color": c, "ls": d, "lw": 2.2}) for v, _, c, d in _FORMED]
    curves = [y for _, y, _ in lines]
    low, high = log_range(*curves, decades=_DECADES)
    t, unit_t = a.time.values, time_unit(float(a.time[-1]))
    unit = concentration_unit(1e-2 * high)
    for axis, y, style in lines:
        axis.plot(t / unit_t.si, np.where(y > 1e-3 * low, y, np.nan) / unit.si, **style)  # type: ignore[arg-type]
    for axis in (left, right):
        time_axis(axis, visible_end(t, [y for other, y, _ in lines if other is axis], low), unit_t)
        axis.set_yscale("log")
        axis.set_ylim(low / unit.si, high / unit.si)
        log_ticks(axis.yaxis, low / unit.si, high / unit.si)
        axis.set_xlabel(f"time since the first dose [{unit_t.name}]")
        axis.set_ylabel(f"free concentration [{unit.name}]")


def _peak(one: xr.Dataset, variable: str) -> float:
    values = one[variable].values
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")


def _text(value_mol_m3: float) -> str:
    unit: Unit = concentration_unit(value_mol_m3)
    return f"{scientific(value_mol_m3 / unit.si)} {unit.name}"


def _routes(one: xr.Dataset) -> tuple[str, bool]:
    """Return the routes in as text, and whether a carrier brought most of it."""
    amount = np.nan_to_num(one["route_inward"].values)
    if not amount.sum() > 0:
        return "Nothing came in.", False
    share = 100 * amount / amount.sum()
    names = [str(r) for r in one["route"].values]
    order = [i for i in np.argsort(-share) if share[i] >= 0.5]
    carried = names[order[0]] not in ("passive", "paracellular")
    return "In by " + ", ".join(f"{names[i]} {share[i]:.0f} %" for i in order) + ".", carried


def comparison_words(a: xr.Dataset, b: xr.Dataset, formed: xr.Dataset | None) -> tuple[str, str]:
    """Return what the run says about each of the two, in words with its own numbers."""
    texts = []
    for one in (a, b):
        routes, carried = _routes(one)
        p = float(one["permeability_m_s"]) * 1e9
        how = "a carrier takes it across" if carried else "no carrier takes it, it can only leak through or between the cells"
        texts.append(f"Kp,uu {scientific(_ratio(one))}: {how}. {routes} Uptake permeability {scientific(p)} nm/s.")
    times = _peak(a, "interstitium") / max(_peak(b, "interstitium"), 1e-300)
    first, second = str(a.compound.item()), str(b.compound.item())
    if formed is not None:
        inside, given = _peak(formed, "neuron"), _peak(b, "neuron")
        texts[0] += f" The brain makes {second} of it: neurons reach {_text(inside)}"
        texts[0] += f", {scientific(inside / given)} times what the {second} dose brings." if given > 0 else "."
    if _ratio(b) < 0.1 and not _routes(b)[1] and times > 1:
        texts[1] += " Brain and endothelium remove it faster than it leaks in: it peaks in the interstitium at "
        texts[1] += f"{_text(_peak(b, 'interstitium'))}, {first} at {_text(_peak(a, 'interstitium'))}."
    return texts[0], texts[1]
