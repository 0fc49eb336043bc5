"""Read a network of vessels from two tables: nodes with positions and pressures, segments with their ends and radii."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.transport.network.vessels import Vessels

__all__ = ["find_network", "read_network"]


def find_network(nodes: str | None, segments: str | None, folder: Path | None = None) -> Vessels | None:
    """Return the network that the settings name; files beside the settings file (in `folder`) go first. None without names."""
    if nodes is None or segments is None:
        return None
    beside = [(folder or Path()) / name for name in (nodes, segments)]
    found = [path if path.exists() else Path(name) for path, name in zip(beside, (nodes, segments), strict=True)]
    return read_network(found[0], found[1])


def read_network(nodes: Path, segments: Path) -> Vessels:
    """Return the vessels of ``node,x_m,y_m,z_m,pressure_Pa`` and ``segment,node_a,node_b,radius_m``.

    The pressure may be blank, except at an inlet and an outlet. Lengths follow from the positions. Other columns are ignored.

    Raises
    ------
    InputError
        If a file or column is missing, a value is no number (with its line), a node is named twice, or a segment ends nowhere.
    """
    points = _table(nodes, ("node", "x_m", "y_m", "z_m", "pressure_Pa"), blank="pressure_Pa")
    joins = _table(segments, ("node_a", "node_b", "radius_m"))
    names = points[:, 0].astype(int)
    place = {int(n): i for i, n in enumerate(names)}
    if len(place) != names.size:
        twice = int(next(n for n in names if (names == n).sum() > 1))
        raise InputError(str(nodes), got=f"node {twice} twice", expected="each node once")
    ends = np.empty((len(joins), 2), dtype=int)
    for row, pair in enumerate(joins[:, :2].astype(int)):
        for side, node in enumerate(pair):
            if int(node) not in place:
                raise InputError(f"{segments}, line {row + 2}", got=f"node {node}", expected=f"a node of {nodes.name}")
            ends[row, side] = place[int(node)]
    return Vessels(points[:, 1:4], ends, joins[:, 2], points[:, 4])


def _table(path: Path, columns: tuple[str, ...], blank: str | None = None) -> np.ndarray:
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="a CSV with the columns " + ", ".join(columns))
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [c for c in columns if c not in (reader.fieldnames or ())]
            if missing:
                raise InputError(str(path), got=f"no column {missing[0]}", expected=", ".join(columns))
            rows = [
                [_number(row.get(c), c == blank, f"{path}, line {i}, {c}") for c in columns]
                for i, row in enumerate(reader, start=2)
            ]
    except UnicodeDecodeError:
        raise InputError(str(path), got="a file that is no text", expected="a CSV in UTF-8") from None
    if not rows:
        raise InputError(str(path), got="no rows", expected="at least one")
    return np.array(rows)


def _number(text: str | None, may_be_blank: bool, where: str) -> float:
    if may_be_blank and not (text or "").strip():
        return float("nan")
    try:
        return float(text or "")
    except ValueError:
        raise InputError(where, got=repr(text), expected="a number") from None
