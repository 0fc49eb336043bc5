"""Describe how a drug is given, and read it from words such as ``"100 mg oral every 8 h x 3"``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from krogh.errors import InputError
from krogh.units import format_quantity, parse_any, parse_quantity

__all__ = ["Dose", "parse_dose"]

Route = Literal["iv", "infusion", "oral", "constant"]
_ROUTES = {"iv": "iv", "bolus": "iv", "intravenous": "iv", "infusion": "infusion", "oral": "oral", "po": "oral"}
_SHAPE = re.compile(
    r"^\s*(?P<size>[\d.eE+-]+\s*\S+)\s+(?P<route>[a-zA-Z]+)"
    r"(?:\s+over\s+(?P<over>[\d.eE+-]+\s*\w+))?"
    r"(?:\s+every\s+(?P<every>[\d.eE+-]+\s*\w+))?"
    r"(?:\s+x\s*(?P<count>\d+))?\s*$"
)
_EXAMPLE = "such as '100 mg oral', '4 mg/kg iv', '5 mg infusion over 1 h', '100 mg oral every 8 h x 3' or '1 uM constant'"
_MOST_DOSES = 1000


@dataclass(frozen=True, slots=True)
class Dose:
    """Give `size` by `route`, once or repeatedly.

    Attributes
    ----------
    size : float
        In the SI unit of `dimension`: kg, kg/kg body mass, mol, mol/kg, or mol/m3 (``constant``: free plasma concentration).
    dimension : str
        ``mass``, ``mass_per_body_mass``, ``amount``, ``amount_per_body_mass`` or ``concentration``.
    route : {"iv", "infusion", "oral", "constant"}
        How it is given.
    over_s : float
        Duration of an infusion [s].
    every_s, count
        Interval [s] and number of doses.
    """

    size: float
    dimension: str
    route: Route
    over_s: float = 0.0
    every_s: float = 0.0
    count: int = 1

    def amount_mol(self, molar_mass_kg_mol: float, body_mass_kg: float) -> float:
        """Return the amount of one dose [mol]."""
        per_body = body_mass_kg if self.dimension.endswith("per_body_mass") else 1.0
        per_mole = molar_mass_kg_mol if self.dimension.startswith("mass") else 1.0
        return self.size * per_body / per_mole

    def times_s(self) -> list[float]:
        """Return when the doses are given [s]."""
        return [i * self.every_s for i in range(self.count)]

    def describe(self) -> str:
        """Return the dose in words."""
        unit = {"mass_per_body_mass": "/kg", "amount_per_body_mass": "/kg"}.get(self.dimension, "")
        base = {"mass_per_body_mass": "mass", "amount": "amount", "amount_per_body_mass": "amount"}.get(
            self.dimension, self.dimension
        )
        size = f"{self.size:.4g} mol" if base == "amount" else format_quantity(self.size, base, digits=4)
        text = f"{size}{unit} {self.route}"
        if self.over_s:
            text += f" over {format_quantity(self.over_s, 'time')}"
        if self.count > 1:
            text += f" every {format_quantity(self.every_s, 'time')} x {self.count}"
        return text


def parse_dose(text: str) -> Dose:
    """Return the dose that `text` describes.

    Raises
    ------
    InputError
        If the words are not understood, a number is not positive, or an infusion has no duration.
    """
    match = _SHAPE.match(text)
    if match is None:
        raise InputError("dose", got=repr(text), expected=_EXAMPLE)
    route = match["route"].lower()
    if route == "constant":
        size = _positive("dose", parse_quantity(match["size"], "concentration", where="dose"))
        return Dose(size, "concentration", "constant")
    if route not in _ROUTES:
        raise InputError("dose", got=f"route '{match['route']}'", expected="iv, infusion, oral or constant")
    quantity = parse_any(match["size"], "mass", "mass_per_body_mass", "amount", "amount_per_body_mass", where="dose")
    over = parse_quantity(match["over"], "time", where="dose duration") if match["over"] else 0.0
    every = parse_quantity(match["every"], "time", where="dose interval") if match["every"] else 0.0
    count = int(match["count"]) if match["count"] else 1
    if match["over"]:
        _positive("dose duration", over)
    if match["every"]:
        _positive("dose interval", every)
    kind = _ROUTES[route]
    if kind == "iv" and over:
        kind = "infusion"
    if kind == "infusion" and not over:
        raise InputError("dose", got=repr(text), expected="a duration", hint="e.g. '5 mg infusion over 1 h'")
    if not 1 <= count <= _MOST_DOSES:
        raise InputError("dose", got=f"x {count}", expected=f"1 to {_MOST_DOSES} doses")
    if count > 1 and not every:
        raise InputError("dose", got=repr(text), expected="an interval", hint="e.g. '100 mg oral every 8 h x 3'")
    if every and count == 1:
        raise InputError("dose", got=repr(text), expected="the number of doses", hint="e.g. '100 mg oral every 8 h x 3'")
    return Dose(_positive("dose", quantity.value_si), quantity.dimension, kind, over, every, count)  # type: ignore[arg-type]


def _positive(where: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(where, got=value, expected="a finite value > 0")
    return value
