"""Turn text such as ``"120 um"`` into SI floats once, at the edge, and SI floats into text.

Inside the package every number is an SI float whose name ends in its unit. This module knows the units of the field
and nothing else: no arithmetic on units, no unit objects.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from krogh.errors import InputError, nearest

__all__ = ["DIMENSIONS", "Quantity", "format_quantity", "parse_any", "parse_quantity"]

_LENGTH = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
_TIME = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MASS = {"kg": 1.0, "g": 1e-3, "mg": 1e-6, "ug": 1e-9, "ng": 1e-12}
_VOLUME = {"m3": 1.0, "L": 1e-3, "dL": 1e-4, "mL": 1e-6, "uL": 1e-9}
_AMOUNT = {"mol": 1.0, "mmol": 1e-3, "umol": 1e-6, "nmol": 1e-9, "pmol": 1e-12}


def _ratio(top: dict[str, float], *bottoms: dict[str, float]) -> dict[str, float]:
    table = dict(top)
    for bottom in bottoms:
        table = {f"{a}/{b}": x / y for a, x in table.items() for b, y in bottom.items()}
    return table


_MOLAR = {"M": 1e3, "mM": 1.0, "uM": 1e-3, "nM": 1e-6, "pM": 1e-9}

#: Dimension -> (SI unit, {unit: factor to SI}).
DIMENSIONS: dict[str, tuple[str, dict[str, float]]] = {
    "length": ("m", _LENGTH),
    "area": ("m2", {"m2": 1.0, "cm2": 1e-4, "mm2": 1e-6, "um2": 1e-12, "A2": 1e-20}),
    "area_per_mass": ("m2/kg", {"m2/kg": 1.0, "m2/g": 1e3, "cm2/g": 0.1}),
    "surface_density": ("mol/m2", _ratio({"mol": 1.0, "nmol": 1e-9, "pmol": 1e-12, "fmol": 1e-15}, {"m2": 1.0, "cm2": 1e-4})),
    "per_length": ("1/m", {"1/m": 1.0, "1/cm": 1e2, "1/mm": 1e3, "1/um": 1e6}),
    "volume": ("m3", _VOLUME),
    "volume_per_mass": ("m3/kg", _ratio(_VOLUME, {"kg": 1.0, "g": 1e-3})),
    "time": ("s", _TIME),
    "rate": ("1/s", {"1/s": 1.0, "1/min": 1 / 60, "1/h": 1 / 3600, "1/d": 1 / 86400}),
    "mass": ("kg", _MASS),
    "mass_per_body_mass": ("kg/kg", _ratio(_MASS, {"kg": 1.0})),
    "amount": ("mol", _AMOUNT),
    "amount_per_body_mass": ("mol/kg", _ratio(_AMOUNT, {"kg": 1.0})),
    "concentration": ("mol/m3", {**_ratio(_AMOUNT, _VOLUME), **_MOLAR}),
    "mass_concentration": ("kg/m3", _ratio(_MASS, _VOLUME)),
    "velocity": ("m/s", _ratio(_LENGTH, _TIME)),
    "permeability": ("m/s", _ratio(_LENGTH, _TIME)),
    "diffusivity": ("m2/s", {"m2/s": 1.0, "cm2/s": 1e-4, "mm2/s": 1e-6, "um2/ms": 1e-9, "um2/s": 1e-12}),
    "flow": ("m3/s", _ratio(_VOLUME, _TIME)),
    "clearance_per_mass": ("m3/(s kg)", _ratio(_VOLUME, _TIME, {"kg": 1.0, "g": 1e-3, "100g": 0.1})),
    "flux": ("mol/(m2 s)", {"mol/m2/s": 1.0, "nmol/cm2/min": 1e-9 / 1e-4 / 60, "pmol/cm2/min": 1e-12 / 1e-4 / 60}),
    "b_value": ("s/m2", {"s/m2": 1.0, "s/mm2": 1e6, "ms/um2": 1e9}),
    "molar_mass": ("kg/mol", {"kg/mol": 1.0, "g/mol": 1e-3, "Da": 1e-3, "kDa": 1.0}),
    "fraction": ("1", {"": 1.0, "1": 1.0, "%": 1e-2}),
}

_PATTERN = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")
_ALIASES = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "·": " ", "−": "-", "Å": "A"})


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number in SI with the dimension that its text had."""

    value_si: float
    dimension: str


def _normal(unit: str) -> str:
    unit = unit.translate(_ALIASES).replace("^", "").replace("**", "").replace("litre", "L").replace("ml", "mL")
    unit = unit.replace("sec", "s") if unit.endswith("sec") else unit
    words = {"hours": "h", "hour": "h", "hr": "h", "minutes": "min", "days": "d", "day": "d", "percent": "%"}
    unit = words.get(unit, unit)
    # "mL/(min g)" and "mL/min/g" are the same
    match = re.match(r"^([^/]+)/\(([^)]*)\)$", unit)
    if match:
        unit = match[1] + "/" + "/".join(match[2].split())
    return unit.replace(" ", "")


def parse_any(text: str, *dimensions: str, where: str) -> Quantity:
    """Parse `text` as the first of `dimensions` whose units contain its unit.

    Raises
    ------
    InputError
        If the text is no number with a known unit, or is not finite.
    """
    match = _PATTERN.match(str(text).translate(_ALIASES))
    examples = " or ".join(f"a {d.replace('_', ' ')} such as '1 {next(u for u in DIMENSIONS[d][1])}'" for d in dimensions)
    if match is None:
        raise InputError(where, got=repr(str(text)), expected=examples)
    unit = _normal(match[2])
    for dimension in dimensions:
        factor = DIMENSIONS[dimension][1].get(unit)
        if factor is not None:
            value = float(match[1]) * factor
            if not math.isfinite(value):
                raise InputError(where, got=repr(str(text)), expected="a finite number")
            return Quantity(value, dimension)
    known = [u for d in dimensions for u in DIMENSIONS[d][1] if u]
    hint = "give the unit, e.g. '" + f"{match[1]} {known[0]}'" if not unit else nearest(unit, known)
    raise InputError(where, got=repr(str(text)), expected=examples, hint=hint)


def parse_quantity(text: str | float, dimension: str, *, where: str) -> float:
    """Parse `text` and return it in the SI unit of `dimension`.

    A bare number is taken as SI already (that is how files written by the package read back).

    Parameters
    ----------
    text : str or float
        ``"120 um"``, ``"2.5 mg/kg"``, ``0.3``.
    dimension : str
        A key of :data:`DIMENSIONS`.
    where : str
        Name of the input, for the error.

    Returns
    -------
    float
        Value in SI.

    Raises
    ------
    InputError
        If the unit is not one of the dimension, or the value is not finite.

    Examples
    --------
    >>> parse_quantity("120 um", "length", where="thickness")
    0.00012
    """
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise InputError(where, got=repr(text), expected=f"a {dimension.replace('_', ' ')} with its unit")
    if isinstance(text, (int, float)):
        if not math.isfinite(text):
            raise InputError(where, got=text, expected="a finite number")
        return float(text)
    bare = _PATTERN.match(text)
    if bare is not None and not bare[2]:
        return parse_quantity(float(bare[1]), dimension, where=where)
    return parse_any(text, dimension, where=where).value_si


_PREFERRED = {
    "length": ("nm", "um", "mm", "m"),
    "time": ("ms", "s", "min", "h", "d"),
    "concentration": ("pM", "nM", "uM", "mM", "M"),
    "permeability": ("nm/s", "um/s", "mm/s", "m/s"),
    "mass": ("ng", "ug", "mg", "g", "kg"),
    "diffusivity": ("um2/s", "um2/ms", "m2/s"),
    "area_per_mass": ("cm2/g",),
    "clearance_per_mass": ("uL/min/g", "mL/min/g"),
    "flow": ("mL/min",),
    "flux": ("pmol/cm2/min", "nmol/cm2/min"),
    "fraction": ("",),
    "mass_concentration": ("g/L",),
    "molar_mass": ("g/mol",),
    "per_length": ("1/mm", "1/um"),
    "rate": ("1/d", "1/h", "1/min", "1/s"),
    "surface_density": ("pmol/cm2",),
    "velocity": ("um/s", "mm/s", "m/s"),
    "volume": ("mL", "L"),
    "volume_per_mass": ("mL/g",),
}


def format_quantity(value_si: float, dimension: str, *, digits: int = 3) -> str:
    """Return `value_si` with the most readable unit of its dimension, e.g. ``"120 um"``."""
    si_unit, table = DIMENSIONS[dimension]
    if not math.isfinite(value_si):
        return f"{value_si} {si_unit}"
    choices = _PREFERRED.get(dimension, (si_unit,))
    unit = choices[0] if value_si or si_unit not in table else si_unit
    for candidate in choices:
        if abs(value_si) >= 0.9995 * table[candidate]:
            unit = candidate
    return f"{value_si / table[unit]:.{digits}g} {unit}".strip()
