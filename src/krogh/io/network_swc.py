"""Read vessels from an SWC file: one line a node, ``id type x y z radius parent``; every node but a root makes a segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.transport.network.vessels import Vessels

__all__ = ["read_swc"]

_COLUMNS = "id type x y z radius parent"


def read_swc(path: Path, unit_m: float) -> tuple[Vessels, np.ndarray]:
    """Return the vessels of an SWC file, without pressures, and the identifiers of its nodes.

    A segment has the mean radius of its ends.

    Parameters
    ----------
    path : Path
        Text file; lines that start with # are comments.
    unit_m : float
        Length of one unit of the file [m].

    Raises
    ------
    InputError
        If the file is missing, a line is none of SWC (with its number), an identifier comes twice, or a parent is missing.

    References
    ----------
    Cannon et al. 1998, doi:10.1016/S0165-0270(98)00091-0.
    """
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected=f"an SWC file: {_COLUMNS}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(str(path), got="a file that is no text", expected=f"an SWC file: {_COLUMNS}") from None
    rows, lines = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            rows.append(_row(line, f"{path}, line {number}"))
            lines.append(number)
    if not rows:
        raise InputError(str(path), got="no nodes", expected=f"lines of {_COLUMNS}")
    table = np.array(rows)
    names, parents = table[:, 0].astype(int), table[:, 6].astype(int)
    place: dict[int, int] = {}
    for i, name in enumerate(names):
        if int(name) in place:
            raise InputError(f"{path}, line {lines[i]}", got=f"node {name} twice", expected="each node once")
        place[int(name)] = i
    ends, radius = [], []
    for i, parent in enumerate(parents):
        if parent < 0:
            continue
        if int(parent) not in place:
            raise InputError(f"{path}, line {lines[i]}", got=f"parent {parent}", expected="a node of the file, or -1 for a root")
        ends.append((place[int(parent)], i))
        radius.append(0.5 * (table[place[int(parent)], 5] + table[i, 5]))
    if not ends:
        raise InputError(str(path), got="no segments: every node is a root", expected="nodes with a parent")
    points = table[:, 2:5] * unit_m
    return Vessels(points, np.array(ends), np.array(radius) * unit_m, np.full(len(points), np.nan)), names


def _row(line: str, where: str) -> list[float]:
    parts = line.split()
    if len(parts) != 7:
        raise InputError(where, got=f"{len(parts)} values", expected=f"7: {_COLUMNS}")
    try:
        values = [float(p) for p in parts]
    except ValueError:
        raise InputError(where, got=repr(line.strip()[:60]), expected=f"numbers: {_COLUMNS}") from None
    if not np.all(np.isfinite(values)):
        raise InputError(where, got="a value that is not finite", expected=f"numbers: {_COLUMNS}")
    if values[5] <= 0:
        raise InputError(where, got=f"radius {values[5]:g}", expected="a radius > 0")
    return values
