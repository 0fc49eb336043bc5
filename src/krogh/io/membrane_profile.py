"""Read a membrane profile of molecular dynamics: position, free energy and, if given, diffusivity, with units in the header."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.io.text_file import read_text_file
from krogh.units import parse_quantity

__all__ = ["read_membrane_profile"]

_ENERGY_J_MOL = {"kJ/mol": 1e3, "J/mol": 1.0, "kcal/mol": 4184.0, "kT": 8.314462618 * 310.15, "RT": 8.314462618 * 310.15}
_EXPECTED = "e.g. 'z [nm],dG [kJ/mol]' or 'z [nm],dG [kJ/mol],D [cm2/s]'"


def _unit(cell: str) -> str:
    return cell.partition("[")[2].partition("]")[0].strip()


def read_membrane_profile(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return (z [m], free energy [J/mol], diffusivity [m2/s] or None) from a CSV of two or three columns.

    Raises
    ------
    InputError
        If the header has no units or a row holds no finite numbers; names the line.
    """
    where = path.name
    text = read_text_file(path, what="a CSV file")
    rows = [r for r in csv.reader(io.StringIO(text, newline=None)) if r and not r[0].lstrip().startswith("#")]
    if not rows or len(rows[0]) not in (2, 3):
        raise InputError(f"{where}, header", got=f"{len(rows[0]) if rows else 0} columns", expected=_EXPECTED)
    head = rows[0]
    energy = _unit(head[1])
    if not _unit(head[0]) or energy not in _ENERGY_J_MOL:
        raise InputError(f"{where}, header", got=repr(",".join(head)[:80]), expected=_EXPECTED)
    factors = [parse_quantity(f"1 {_unit(head[0])}", "length", where=f"{where}, header"), _ENERGY_J_MOL[energy]]
    if len(head) == 3:
        factors.append(parse_quantity(f"1 {_unit(head[2])}", "diffusivity", where=f"{where}, header"))
    values = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            found = [float(cell) for cell in row]
        except ValueError:
            found = []
        if len(found) != len(head) or not all(math.isfinite(v) for v in found):
            raise InputError(f"{where}, line {number}", got=repr(",".join(row)[:80]), expected=f"{len(head)} finite numbers")
        values.append(found)
    table = np.array(values, dtype=float).reshape(-1, len(head)) * np.array(factors)
    return table[:, 0], table[:, 1], table[:, 2] if len(head) == 3 else None
