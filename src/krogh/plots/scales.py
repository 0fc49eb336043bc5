"""Choose units, ticks and ranges that a reader can take in: nM or µM, minutes or hours, powers of ten or plain numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterMathtext, LogLocator, MultipleLocator, NullLocator
from numpy.typing import NDArray

__all__ = [
    "Unit", "amount_unit", "concentration_unit", "fixed_ticks", "format_duration", "log_range", "log_ticks", "log_time_ticks",
    "scientific", "shown_unit", "time_axis", "time_step", "time_unit",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """Hold a unit's name and the SI value of one of it."""

    name: str
    si: float


_CONCENTRATION = tuple(Unit(n, s) for n, s in (("pM", 1e-9), ("nM", 1e-6), ("µM", 1e-3), ("mM", 1.0), ("M", 1e3)))
_TIME = tuple(Unit(n, s) for n, s in (("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)))
_AMOUNT = tuple(Unit(p + "mol", 10.0**e) for p, e in zip(("z", "a", "f", "p", "n", "µ", "m", ""), range(-21, 1, 3), strict=True))


def _largest_below(units: tuple[Unit, ...], value: float, least: float) -> Unit:
    fits = [u for u in units if value >= least * u.si] if math.isfinite(value) else []
    return fits[-1] if fits else units[0]


def concentration_unit(value_mol_m3: float) -> Unit:
    """Return the unit in which `value_mol_m3` reads best, pM to M."""
    return _largest_below(_CONCENTRATION, value_mol_m3, 0.9995)


def amount_unit(value_mol: float) -> Unit:
    """Return the unit in which an amount in mol reads best, zmol to mol."""
    return _largest_below(_AMOUNT, value_mol, 0.9995)


def time_unit(duration_s: float) -> Unit:
    """Return the unit for an axis that is `duration_s` long: h from two hours on, d from five days on."""
    if duration_s < 5 * 86400:
        return _largest_below(_TIME[:-1], duration_s, 1.999)
    return _TIME[-1]


def format_duration(time_s: float) -> str:
    """Return a time in its own best unit with two digits, e.g. ``"4.3 min"``."""
    unit = _largest_below(_TIME[:-1], time_s, 0.995)
    value = time_s / unit.si
    return f"{round(value):d} {unit.name}" if value >= 9.95 or abs(value - round(value)) < 0.02 else f"{value:.1f} {unit.name}"


def log_range(*curves: NDArray[np.float64], decades: float = 8.0, below: float = 1e-2) -> tuple[float, float]:
    """Return limits of a logarithmic axis that show the peak of every curve and two decades under the lowest peak.

    Zeros and the rise from nothing would otherwise set the floor. At most `decades` are shown below the highest peak. Curves
    without a positive value do not count; without any the limits are (0.1, 1).
    """
    peaks = [float(np.nanmax(c)) for c in curves if np.any(c > 0)]
    if not peaks:
        return 0.1, 1.0
    top = max(peaks)
    return max(below * min(peaks), top * 10.0**-decades), 2.0 * top


def scientific(value: float, digits: int = 2) -> str:
    """Return a number as text, small and large ones as a power of ten."""
    if not math.isfinite(value):
        return "unknown"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{float(f'{value:.{digits}g}'):,g}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}×10$^{{{int(exponent)}}}$"


def shown_unit(unit: str) -> str:
    """Return a unit as it is printed: ``um2/ms`` is µm²/ms; a blank one is 1."""
    text = re.sub(r"(?<![A-Za-z])u(?=[mMLg])", "µ", unit)
    return re.sub(r"(?<=[A-Za-z])[23]", lambda m: "²³"[int(m[0]) - 2], text) or "1"


def time_step(length: float, unit: Unit) -> float:
    """Return a round distance between the ticks of a time axis of `length` units."""
    hours, other = (0.25, 0.5, 1, 2, 3, 4, 6, 12, 24, 48), (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 100, 200)
    steps = hours if unit.name == "h" else other
    return next((s for s in steps if length / s <= 6.5), max(1.0, round(length / 5)))


def time_axis(axis: Axes, end_s: float, unit: Unit) -> None:
    """Set a linear time axis from zero to `end_s` with round ticks."""
    length = end_s / unit.si
    axis.xaxis.set_major_locator(MultipleLocator(time_step(length, unit)))
    axis.set_xlim(0, length)


def log_ticks(axis: Any, low: float, high: float) -> None:
    """Set the ticks of one logarithmic axis object: plain numbers where short, powers of ten elsewhere."""
    decades = math.log10(high / low)
    subs: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < 0.8 else (1.0, 2.0, 5.0)
    subs = subs if decades < 1.6 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_minor_locator(NullLocator())
    if low >= 0.9e-3 and high <= 2.1e4:
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
    else:
        axis.set_major_formatter(LogFormatterMathtext(labelOnlyBase=False, minor_thresholds=(99, 99)))


def log_time_ticks(first_s: float, last_s: float) -> tuple[list[float], list[str]]:
    """Return the times [s] and texts of readable ticks between two times: seconds, minutes, hours, days."""
    marks = [1e-3, 1e-2, 1e-1, 1, 10, 60, 600, 3600, 6 * 3600, 86400, 4 * 86400, 10 * 86400, 40 * 86400]
    chosen = [m for m in marks if first_s * 0.999 <= m <= last_s * 1.001]
    return chosen, [format_duration(m) for m in chosen]


def fixed_ticks(axis: Any, positions: list[float], labels: list[str]) -> None:
    """Set exactly these ticks, and no minor ones, on one axis object."""
    axis.set_major_locator(FixedLocator(positions))
    axis.set_ticklabels(labels)
    axis.set_minor_locator(NullLocator())
