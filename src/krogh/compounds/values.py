"""Read one value with its unit, source and status; nothing here knows what a compound is.

A value is either a table ``{ value, unit, source, status, low, high }`` or, for a user's own numbers, plain text with its unit
such as ``"25 nm/s"``, which gets status U. A unit that starts with ``log10`` holds a decimal logarithm, as many permeability
tables do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from krogh.compounds.compound import Status, Value
from krogh.errors import InputError, nearest
from krogh.units import parse_any

__all__ = ["Kind", "check_keys", "read_choice", "read_table", "read_text", "read_value"]

STATUSES: tuple[str, ...] = get_args(Status)
_VALUE_KEYS = ("value", "unit", "source", "status", "low", "high")
_LONGEST = 80
_LARGEST_LOG10 = 40.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe which numbers a key accepts.

    Attributes
    ----------
    dimensions : tuple of str
        Keys of :data:`krogh.units.DIMENSIONS`; the first is the one that the field holds.
    low, high : float
        Closed range in SI.
    open_low : bool
        Exclude `low` itself (a molar mass of 0 is no molar mass).
    convert : mapping of str to float
        Factor from the SI unit of a further dimension to that of the field, e.g. body mass for a volume given per kg.
    """

    dimensions: tuple[str, ...]
    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    convert: Mapping[str, float] = field(default_factory=dict)

    def expected(self) -> str:
        """Return the range in words."""
        if math.isinf(self.high):
            return f"a number {'>' if self.open_low else '>='} {self.low:g}"
        return f"a number {'above' if self.open_low else 'from'} {self.low:g} to {self.high:g}"


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    """Raise an error that names the nearest key for every key outside `allowed`."""
    for key in table:
        if key not in allowed:
            raise InputError(where, got=f"unknown key {_shown(key)}", hint=nearest(str(key)[:_LONGEST], allowed))


def read_table(raw: object, where: str) -> Mapping[str, Any]:
    """Return `raw` if it is a table with text keys."""
    if not isinstance(raw, Mapping) or not all(isinstance(k, str) for k in raw):
        raise InputError(where, got=_shown(raw), expected="a table")
    return raw


def read_text(raw: object, where: str) -> str:
    """Return `raw` if it is text."""
    if not isinstance(raw, str):
        raise InputError(where, got=_shown(raw), expected="text in quotes")
    return raw


def read_choice(raw: object, choices: tuple[str, ...], where: str) -> str:
    """Return `raw` if it is one of `choices`."""
    if not isinstance(raw, str) or raw not in choices:
        raise InputError(where, got=_shown(raw), expected="one of " + ", ".join(choices))
    return raw


def _number(raw: object, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise InputError(where, got=_shown(raw), expected="a number")
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(where, got=_shown(raw), expected="a finite number")
    return number


def _to_si(number: float, unit: str, kind: Kind, where: str) -> float:
    dimensions = (*kind.dimensions, *kind.convert)
    if unit.startswith("log10"):
        if abs(number) > _LARGEST_LOG10:
            raise InputError(
                where, got=f"{number:g} {unit}", expected=f"a logarithm between -{_LARGEST_LOG10:g} and {_LARGEST_LOG10:g}"
            )
        one = parse_any(f"1 {unit.removeprefix('log10').strip()}", *dimensions, where=where)
        si = one.value_si * 10.0**number
    else:
        one = parse_any(f"{number!r} {unit}".strip(), *dimensions, where=where)
        si = one.value_si
    if one.dimension not in kind.dimensions:
        si *= kind.convert[one.dimension]
    outside = si < kind.low or si > kind.high or (kind.open_low and si == kind.low)
    if outside or not math.isfinite(si):
        raise InputError(where, got=f"{number:g} {unit}".strip(), expected=kind.expected())
    return si


def _from_text(raw: str, kind: Kind, where: str) -> Value:
    if len(raw) > _LONGEST:
        raise InputError(where, got=_shown(raw), expected="a number with its unit")
    head, _, tail = raw.strip().partition(" ")
    try:
        number, unit = float(head), tail.strip()
    except ValueError:  # "25nm/s" without a space
        number = parse_any(raw, *kind.dimensions, *kind.convert, where=where).value_si
        split = len(raw.strip()) - len(raw.strip().lstrip("+-.0123456789eE"))
        number, unit = float(raw.strip()[:split]), raw.strip()[split:].strip()
    return Value(_to_si(_number(number, where), unit, kind, where), "user", "U")


def read_value(raw: object, kind: Kind, where: str) -> Value:
    """Return one :class:`Value` in SI.

    Parameters
    ----------
    raw : object
        A table, text with a unit, or (dimensionless quantities only) a number.
    kind : Kind
        What is accepted.
    where : str
        Name of the input, for the error.

    Raises
    ------
    InputError
        If anything is missing, unknown, not finite, out of range or in the wrong unit.
    """
    if isinstance(raw, str):
        return _from_text(raw, kind, where)
    if not isinstance(raw, Mapping):
        return Value(_to_si(_number(raw, where), "", kind, where), "user", "U")
    table = read_table(raw, where)
    check_keys(table, _VALUE_KEYS, where)
    for key in ("value", "source", "status"):
        if key not in table:
            raise InputError(where, got=f"no '{key}'", expected="value, unit, source and status")
    status = read_choice(table["status"], STATUSES, f"{where}.status")
    source = read_text(table["source"], f"{where}.source")
    if not source.strip():
        raise InputError(f"{where}.source", got="an empty text", expected="a reference, or the reason for an assumption")
    unit = read_text(table.get("unit", ""), f"{where}.unit")
    if len(unit) > _LONGEST:
        raise InputError(f"{where}.unit", got=_shown(unit), expected="a unit")
    si = _to_si(_number(table["value"], where), unit, kind, where)
    ends = {k: _to_si(_number(table[k], f"{where}.{k}"), unit, kind, f"{where}.{k}") for k in ("low", "high") if k in table}
    if not ends.get("low", si) <= si <= ends.get("high", si):
        raise InputError(where, got=f"value {table['value']} outside its own range", expected="low <= value <= high")
    return Value(si, source, status, ends.get("low"), ends.get("high"))  # type: ignore[arg-type]
