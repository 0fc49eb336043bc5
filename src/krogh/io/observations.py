"""Read observations for ``krogh infer``: one measured value a row, with its matrix, time, error and limit of quantification."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from krogh.errors import InputError, nearest
from krogh.inference.experiment import MATRICES
from krogh.inference.observations import Observations
from krogh.io.text_file import read_text_file
from krogh.units import DIMENSIONS, parse_any, parse_quantity
from krogh.validation.lumbar import READERS

__all__ = ["read_observations"]

_COLUMNS = ("dataset", "matrix", "time", "value", "sd", "cv", "lloq")
_OTHER_NAMES = {"concentration": "value", "t": "time", "loq": "lloq", "blq": "lloq", "ecf": "interstitium"}
_MATRIX_NAMES = {
    "ecf": "interstitium", "isf": "interstitium", "brain ecf": "interstitium", "brain": "brain total", "plasma total": "plasma",
    "plasma unbound": "plasma free", "plasma, free": "plasma free", "plasma, total": "plasma", "csf": "lumbar csf",
    "ecf auc": "interstitium auc", "isf auc": "interstitium auc",
}  # fmt: skip
#: Values; steps end at the time of each, so that more would take hours.
_MOST = 10_000
_UNITS = {"time": "s, min, h or d", "cv": "% or 1"}
_EXPECTED = {"time": "a number >= 0, the time after the first dose", "sd": "a value >= 0", "cv": "0 to 1000 %",
             "lloq": "a value >= 0", "value": "a finite number, or BLQ"}  # fmt: skip
_KNOWN = (*MATRICES, *READERS)
_BELOW = ("blq", "bloq", "<lloq", "<loq")
_EXAMPLE = "a header such as 'matrix,time [h],value [uM],sd [uM],lloq [uM]'"


def read_observations(paths: Sequence[Path], molar_mass_kg_mol: float | None, *, cv: float | None = None) -> Observations:
    """Return the rows of one or more CSV files.

    Columns: ``matrix``; ``time [h]``; ``value [uM]`` (a number, ``BLQ``, or ``<0.5``); ``sd [uM]`` or ``cv [%]``; where they
    apply ``lloq [uM]`` and ``dataset`` (else the name of the file). Units are those of the header; mass concentrations need the
    molar mass. Areas under a curve have a unit such as ``ng min/mL`` or ``uM h`` and stand in a file of their own.

    Parameters
    ----------
    paths : sequence of Path
        Files; each has its own units.
    molar_mass_kg_mol : float or None
        For values in mass per volume.
    cv : float, optional
        Relative SD of values without an error of their own [1].

    Raises
    ------
    InputError
        If a file is unreadable or a row malformed; the message names file and line.
    """
    rows = [row for path in paths for row in _read(path, molar_mass_kg_mol, cv)]
    if len(rows) > _MOST:
        raise InputError("observations", got=f"{len(rows):,} values", expected=f"at most {_MOST:,}", hint="average or thin them")
    text, numbers = [r[0] for r in rows], np.array([r[1] for r in rows], dtype=float).reshape(-1, 6)
    t, value, sd, own_cv, lloq, line = numbers.T
    return Observations(tuple(t[0] for t in text), tuple(t[1] for t in text), t, value, sd, own_cv, lloq, line.astype(int))


_Row = tuple[tuple[str, str], list[float]]


def _read(path: Path, molar_mass: float | None, cv: float | None) -> list[_Row]:
    text = read_text_file(path, what="a CSV of observations")
    reader = csv.reader(io.StringIO(text, newline=None))
    try:
        rows = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}", got=str(error), expected="a CSV") from None
    rows = [r for r in rows if not r[1][0].startswith("#")]
    if rows and len(rows[0][1]) == 1:
        mark = next((m for m in ";\t" if m in text.splitlines()[rows[0][0] - 1]), "")
        if mark:
            raise InputError(f"{path.name}, header", got=f"columns separated by {mark!r}", expected="by commas",
                             hint="save it as CSV with commas, and numbers with a decimal point")  # fmt: skip
    if len(rows) < 2:
        raise InputError(path.name, got="no rows", expected=f"{_EXAMPLE} and a value a line")
    head = _header(rows[0][1], path.name, molar_mass)
    return [_row(cells, line, path, head, cv) for line, cells in rows[1:]]


@dataclass(frozen=True)
class _Head:
    """Hold where each column is, its factor to SI, and whether its values are areas under a curve."""

    places: dict[str, int]
    factors: dict[str, float]
    areas: dict[str, bool]


def _header(cells: list[str], where: str, molar_mass: float | None) -> _Head:
    places: dict[str, int] = {}
    factors: dict[str, float] = {}
    areas: dict[str, bool] = {}
    for i, cell in enumerate(cells):
        name, bracket, rest = cell.partition("[")
        key = name.strip().lower()
        key = _OTHER_NAMES.get(key, key)
        if key not in _COLUMNS:
            raise InputError(f"{where}, header", got=f"'{cell}'", hint=nearest(key, _COLUMNS))
        if key in places:
            raise InputError(f"{where}, header", got=f"'{key}' twice", expected="each column once")
        places[key] = i
        if key in ("dataset", "matrix"):
            continue
        unit = rest.partition("]")[0].strip()
        if not bracket and key != "cv":
            raise InputError(f"{where}, header", got=f"'{cell}'", expected=f"a unit in brackets, {_EXAMPLE}")
        factors[key], areas[key] = _factor(key, unit, f"{where}, header '{cell}'", molar_mass)
    missing = [k for k in ("matrix", "time", "value") if k not in places]
    if missing:
        raise InputError(f"{where}, header", got=f"no column '{missing[0]}'", expected=_EXAMPLE)
    return _Head(places, factors, areas)


def _factor(key: str, unit: str, where: str, molar_mass: float | None) -> tuple[float, bool]:
    """Return the factor to SI, and whether the unit is one of an area under a concentration."""
    wanted, seconds = _UNITS.get(key, "a concentration such as uM or ng/mL"), None
    try:
        if key in _UNITS:
            return parse_quantity(f"1 {unit}", "time" if key == "time" else "fraction", where=where), False
        seconds, left = _without_time(unit)
        found = parse_any(f"1 {left}", "concentration", "mass_concentration", where=where)
    except InputError:
        raise InputError(where, got=f"'{unit}'", expected=wanted) from None
    factor, area = found.value_si * (seconds or 1.0), seconds is not None
    if found.dimension == "concentration":
        return factor, area
    if molar_mass is None:
        raise InputError(where, got=f"'{unit}'", expected="a molar concentration", hint="or give the molar mass with --set")
    return factor / molar_mass, area


def _without_time(unit: str) -> tuple[float | None, str]:
    """Return the time [s] that a concentration is multiplied by in units such as ``uM h`` or ``ng min/mL``, and what is left."""
    top, slash, bottom = unit.replace("*", " ").replace("·", " ").partition("/")
    words, after = top.split(), bottom.split()
    for part in (words, after):
        for word in part:
            if len(part) > 1 and word in DIMENSIONS["time"][1]:
                part.remove(word)
                return DIMENSIONS["time"][1][word], " ".join(words) + slash + " ".join(after)
    return None, unit


def _row(cells: list[str], line: int, path: Path, head: _Head, cv: float | None) -> _Row:
    where, places, factors = f"{path.name}, line {line}", head.places, head.factors
    if len(cells) > max(places.values()) + 1 and len(cells) > len(places):
        raise InputError(where, got=f"{len(cells)} cells under {len(places)} headings", expected="one a heading")
    held = {k: cells[i] if i < len(cells) else "" for k, i in places.items()}
    matrix = _matrix(held["matrix"], where, head)
    numbers = {k: _number(held.get(k, ""), factors.get(k, 1.0), f"{where}, {k}") for k in ("time", "sd", "cv", "lloq")}
    value = held["value"].lower().replace(" ", "")
    below = value in _BELOW
    if value.startswith("<") and not below:
        limit = _number(value[1:], factors["value"], f"{where}, value")
        numbers["lloq"], below = limit, True
    measured = math.nan if below else _number(value, factors["value"], f"{where}, value", blank=None)
    if math.isnan(numbers["time"]):
        raise InputError(f"{where}, time", got="a blank", expected=_EXPECTED["time"])
    if below and not numbers["lloq"] > 0:
        raise InputError(
            f"{where}, value", got=f"'{held['value']}' without its limit", expected="a limit in the column lloq, or '<0.5'"
        )
    sd, own_cv = (0.0 if math.isnan(numbers[k]) else numbers[k] for k in ("sd", "cv"))
    for key, number in (("time", numbers["time"]), ("sd", sd), ("cv", own_cv), ("lloq", numbers["lloq"])):
        if number < 0 or (key == "cv" and number > 10):
            raise InputError(f"{where}, {key}", got=f"'{held[key]}'", expected=_EXPECTED[key])
    limit = numbers["lloq"] > 0
    if measured < 0 and not limit:
        raise InputError(f"{where}, value", got=f"'{held['value']}'", expected="a value >= 0", hint="below the limit write BLQ")
    if measured == 0 and not limit and not sd > 0:
        raise InputError(f"{where}, value", got="0 with a relative error only", expected="a value in sd, or BLQ with its lloq")
    if not (sd > 0 or own_cv > 0):
        if cv is None:
            raise InputError(
                where, got="no error", expected="a value > 0 in sd or cv", hint="or give one for all with --cv '10 %'"
            )
        own_cv = cv
    lloq = 0.0 if math.isnan(numbers["lloq"]) else numbers["lloq"]
    return (held.get("dataset") or path.stem, matrix), [numbers["time"], measured, sd, own_cv, lloq, line]


def _matrix(text: str, where: str, head: _Head) -> str:
    """Return what was measured by its own name; an area needs the unit of one, and the other way round."""
    word = text.lower().replace("_", " ")
    matrix = _MATRIX_NAMES.get(word, word)
    if matrix not in _KNOWN:
        raise InputError(f"{where}, matrix", got=f"'{text}'", hint=nearest(matrix, _KNOWN))
    area = matrix.endswith("auc")
    for key in ("value", "sd", "lloq"):
        if head.areas.get(key, area) != area:
            raise InputError(f"{where}, matrix", got=f"'{text}' under a {key} [{'concentration' if area else 'area'}]",
                             expected=f"a unit such as {'uM h' if area else 'uM'}",
                             hint="areas and concentrations stand in files of their own")  # fmt: skip
    return matrix


def _number(text: str, factor: float, where: str, blank: float | None = math.nan) -> float:
    if not text and blank is not None:
        return blank
    try:
        number = float(text) * factor
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(where, got=f"'{text}'", expected=_EXPECTED.get(where.rpartition(", ")[2], "a finite number"))
    return number
