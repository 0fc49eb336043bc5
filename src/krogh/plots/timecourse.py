"""Draw concentration against time, from blood to neuron, one panel per compound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from krogh.plots.bands import heading
from krogh.plots.scales import Unit, concentration_unit, log_range, log_ticks, scientific, time_axis, time_unit
from krogh.plots.style import CURVES, GREY, Curve, house_style, legend_on_top, legend_rows, new_figure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["curve_keys", "draw_timecourse", "visible_end"]

_MOST = 24


def draw_timecourse(ds: xr.Dataset, *, log: bool = True) -> Figure:
    """Return plasma, endothelium, interstitium and neurons against time.

    Parameters
    ----------
    ds : xarray.Dataset
        A run; see :func:`krogh.runs.dataset.build_dataset`.
    log : bool, optional
        Concentration on a logarithmic axis (default) or on a linear one from zero.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per compound, at most 24.
    """
    count = ds.sizes["compound"]
    shown = min(count, _MOST)
    columns = shown if shown < 4 else (2 if shown == 4 else 3 if shown <= 9 else 4)
    rows = -(-shown // columns)
    width = {1: 7.2, 2: 8.6, 3: 11.0, 4: 13.0}[columns]
    with house_style():
        figure = new_figure(
            width, (3.9 if rows == 1 else 2.85 * rows), "From blood to neuron" + _species(ds), _caption(log, shown, count),
            legend_rows=legend_rows(len(CURVES), width),
        )  # fmt: skip
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[shown:]:
            axis.remove()
        units = _common_unit(ds.isel(compound=slice(shown))), time_unit(float(ds.time[-1]))
        for i in range(shown):
            _panel(axes[i], ds.isel(compound=i), units, log)
            axes[i].set_ylabel(f"concentration [{units[0].name}]")
            axes[i].set_xlabel(f"time since the first dose [{units[1].name}]")
        return legend_on_top(figure, curve_keys(CURVES))


def _species(ds: xr.Dataset) -> str:
    return f" ({ds.attrs['species']})" if ds.attrs.get("species") else ""


def visible_end(t_s: NDArray[np.float64], curves: list[NDArray[np.float64]], low: float) -> float:
    """Return where a panel may end [s]: the whole run, or less if every curve is below the axis for more than half of it."""
    seen = [t_s[np.flatnonzero(c > low)[-1]] for c in curves if np.any(c > low)]
    last = 1.15 * float(max(seen)) if seen else float(t_s[-1])
    return last if last < 0.5 * t_s[-1] else float(t_s[-1])


def _caption(log: bool, shown: int, count: int) -> str:
    scale = (
        "Logarithmic axes, each with its own range; they end two decades below the lowest peak, so a curve that leaves the panel "
        "is lower, not zero. A panel stops early where all its curves are below."
        if log
        else "Linear axes, each with its own range."
    )
    more = f" The first {shown} of {count} compounds are shown." if count > shown else ""
    return (
        "Concentration against time in arterial plasma (total and free) and the mean free concentration in the "
        "endothelium, the brain interstitium and the neurons. Only free drug crosses; at passive equilibrium the "
        "interstitium's curve lies on that of free plasma, and the lines lie on one another. Kp,uu: area under free "
        f"interstitium over area under free plasma during the run. {scale}{more}"
    )


def curve_keys(curves: tuple[Curve, ...]) -> list[Any]:
    """Return legend entries of these curves."""
    return [Line2D([], [], color=c.colour, ls=c.dash, lw=c.width, label=c.label) for c in curves]


def _peak(ds: xr.Dataset) -> float:
    values = np.concatenate([np.ravel(ds[c.variable].values) for c in CURVES])
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size else 0.0


def _common_unit(ds: xr.Dataset) -> Unit:
    """Return one unit for all panels: that of the compound in the middle."""
    peaks = sorted(p for i in range(ds.sizes["compound"]) if (p := _peak(ds.isel(compound=i))) > 0)
    return concentration_unit(peaks[len(peaks) // 2] if peaks else 1e-3)


def _panel(axis: Axes, one: xr.Dataset, units: tuple[Unit, Unit], log: bool) -> None:
    t_s = one.time.values
    present = [c for c in CURVES if np.any(one[c.variable].values > 0)]
    series = {c: one[c.variable].values / units[0].si for c in present}
    low, high = log_range(*series.values())
    time_axis(axis, visible_end(t_s, list(series.values()), low), units[1])
    for curve, y in series.items():
        shown = np.where(y > low * 1e-3, y, np.nan) if log else y
        axis.plot(t_s / units[1].si, shown, color=curve.colour, ls=curve.dash, lw=curve.width, zorder=curve.zorder)
    if log:
        axis.set_yscale("log")
        axis.set_ylim(low, high)
        log_ticks(axis.yaxis, low, high)
    else:
        axis.set_ylim(0, 0.525 * high)
    _words(axis, one, bool(present))
    hidden = [c.label for c, y in series.items() if log and np.nanmax(y) < low]
    if hidden:
        words = "below the axis: " + ", ".join(hidden)
        axis.text(0.98, 0.02, words, transform=axis.transAxes, ha="right", fontsize=7.5, color=GREY)


def _words(axis: Axes, one: xr.Dataset, present: bool) -> None:
    dose, regime = str(one["dose"].item()), str(one["regime"].item())
    ratio = float(one["kp_uu"])
    note = f"Kp,uu {scientific(ratio)}, {regime}" if np.isfinite(ratio) else f"{dose}: no plasma curve, no Kp,uu"
    axis.set_title(heading(one), fontweight="bold", fontsize=9.5, pad=17)
    axis.annotate(note, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY)
    if not present:
        axis.text(0.5, 0.5, "no concentration above zero", transform=axis.transAxes, ha="center", color=GREY)
