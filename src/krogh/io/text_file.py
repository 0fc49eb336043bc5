"""Read a user's text files without surprises: missing, huge, not text, not TOML, not a table of numbers."""

from __future__ import annotations

import csv
import io
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.units import parse_quantity

__all__ = ["read_plasma_curve", "read_text_file", "read_toml"]

_LARGEST_BYTES = 20_000_000


def read_text_file(path: Path | str, *, largest: int = _LARGEST_BYTES, what: str = "a text file") -> str:
    """Return the text of a file; errors name the file only, never its folder.

    Raises
    ------
    InputError
        If it is missing, no regular file, larger than `largest` bytes, unreadable or not UTF-8.
    """
    path = Path(path)
    where = path.name or str(path)
    try:
        if not path.is_file():
            raise InputError(where, got="no regular file" if path.exists() else "no such file", expected=what)
        size = path.stat().st_size
        if size > largest:
            raise InputError(where, got=f"{size} bytes", expected=f"{what} of at most {largest} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(where, got="bytes that are not UTF-8", expected=f"{what} in UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(
            where, got=getattr(error, "strerror", None) or str(error), expected=f"a readable file ({what})"
        ) from None


def read_toml(
    path: Path | str, *, largest: int = _LARGEST_BYTES, what: str = "a TOML file", hint: str | None = None
) -> dict[str, Any]:
    """Return the table of a TOML file.

    Raises
    ------
    InputError
        If it is not readable or not TOML; the message names the line.
    """
    text = read_text_file(path, largest=largest, what=what)
    where = Path(path).name
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(where, got="tables nested too deeply", expected=what) from None
    except ValueError as error:  # TOMLDecodeError, and whole numbers of thousands of digits
        raise InputError(where, got=f"no valid TOML ({str(error)[:120]})", hint=hint) from None


def read_plasma_curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (t_s, total_mol_m3) from a CSV with a header such as ``time [h], concentration [uM]``.

    Raises
    ------
    InputError
        If the header has no units, or a row is not two numbers; the message names the line.
    """
    where = path.name
    text = read_text_file(path, what="a CSV file")
    try:
        rows = [r for r in csv.reader(io.StringIO(text, newline=None)) if r and not r[0].lstrip().startswith("#")]
    except csv.Error as error:
        raise InputError(where, got=f"no CSV ({error})", expected="two columns, e.g. 'time [h],concentration [uM]'") from None
    if not rows or len(rows[0]) < 2:
        raise InputError(where, got="no header", expected="two columns, e.g. 'time [h],concentration [uM]'")
    factors = [_factor(cell, dimension, where) for cell, dimension in zip(rows[0], ("time", "concentration"), strict=False)]
    values = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            pair = [float(cell) * factor for cell, factor in zip(row[:2], factors, strict=True)]
        except ValueError:  # too few cells, or no number
            raise InputError(f"{where}, line {number}", got=repr(",".join(row)), expected="two numbers") from None
        if not all(math.isfinite(v) for v in pair):
            raise InputError(f"{where}, line {number}", got=repr(",".join(row)), expected="finite numbers")
        values.append(pair)
    table = np.array(values, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _factor(cell: str, dimension: str, where: str) -> float:
    """Return the factor to SI of a header cell such as ``time [h]``."""
    _, bracket, rest = cell.partition("[")
    if not bracket:
        example = "time [h]" if dimension == "time" else "concentration [uM]"
        raise InputError(f"{where}, header", got=repr(cell.strip()), expected=f"a name with its unit, e.g. '{example}'")
    return parse_quantity("1 " + rest.partition("]")[0], dimension, where=f"{where}, header")
