"""Read a network of vessels from two tables (nodes with positions and pressures, segments with their radii), SWC or VTK."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import InputError
from krogh.io.network_swc import read_swc
from krogh.io.network_vtk import read_vtk
from krogh.transport.network.vessels import Vessels
from krogh.units import parse_quantity

if TYPE_CHECKING:
    from krogh.runs.config import NetworkConfig

__all__ = ["find_network", "read_network", "read_vessel_file"]


def find_network(settings: NetworkConfig, folder: Path | None = None) -> Vessels | None:
    """Return the network that the settings name; files beside the settings file (in `folder`) go first. None without names.

    Raises
    ------
    InputError
        If a file is missing or is no network, a VTK file has no unit, or no pressures are known.
    """

    def place(name: str) -> Path:
        beside = (folder or Path()) / name
        return beside if beside.exists() else Path(name)

    if settings.file is not None:
        pressures = place(settings.pressures) if settings.pressures is not None else None
        return read_vessel_file(place(settings.file), settings.unit, pressures)
    if settings.nodes is None or settings.segments is None:
        return None
    return read_network(place(settings.nodes), place(settings.segments))


def read_vessel_file(path: Path, unit: str | None = None, pressures: Path | None = None) -> Vessels:
    """Return the vessels of an SWC or a VTK file.

    Parameters
    ----------
    path : Path
        ``.swc``, ``.vtp``, ``.vtk`` or ``.vtu``; see :func:`~krogh.io.network_swc.read_swc`,
        :func:`~krogh.io.network_vtk.read_vtk`.
    unit : str, optional
        Length of its coordinates, ``um``, ``mm`` or ``m``; SWC is in um by convention.
    pressures : Path, optional
        CSV ``node,pressure_Pa`` of open ends, by the identifiers of the file; needed where the file holds none.

    Raises
    ------
    InputError
        If the file is no network, its unit is unknown, or a pressure belongs to no node.
    """
    kind = path.suffix.lower()
    if kind not in (".swc", ".vtp", ".vtk", ".vtu"):
        raise InputError("network.file", got=f"'{path.name}'", expected="a .swc, .vtp, .vtk or .vtu file")
    if unit is None and kind != ".swc":
        raise InputError("network.unit", got="none", expected=f"the length unit of {path.name}, e.g. 'um'")
    unit_m = parse_quantity(f"1 {unit or 'um'}", "length", where="network.unit")
    vessels, names = read_swc(path, unit_m) if kind == ".swc" else read_vtk(path, unit_m)
    held = vessels.pressure_pa.copy()
    if pressures is not None:
        for row, (node, value) in enumerate(_table(pressures, ("node", "pressure_Pa")), start=2):
            where = np.flatnonzero(names == node)
            if not where.size:
                raise InputError(f"{pressures}, line {row}", got=f"node {node:g}", expected=f"a node of {path.name}")
            held[where[0]] = value
    if not np.any(np.isfinite(held)) and vessels.flow_m3_s is None:
        degree = np.bincount(vessels.ends.ravel(), minlength=len(names))
        ends = ", ".join(str(n) for n in names[degree == 1][:6])
        raise InputError(
            "network.pressures",
            got="none",
            expected=f"a CSV node,pressure_Pa of two or more open ends of {path.name}: {ends} ...",
        )
    return replace(vessels, pressure_pa=held)


def read_network(nodes: Path, segments: Path) -> Vessels:
    """Return the vessels of ``node,x_m,y_m,z_m,pressure_Pa`` and ``segment,node_a,node_b,radius_m``.

    The pressure may be blank, except at an inlet and an outlet, or where a column ``flow_m3_s`` of the segments (from node_a to
    node_b) drives the open ends. Lengths follow from the positions. Other columns are ignored.

    Raises
    ------
    InputError
        If a file or column is missing, a value is no number (with its line), a node is named twice, or a segment ends nowhere.
    """
    points = _table(nodes, ("node", "x_m", "y_m", "z_m", "pressure_Pa"), blank="pressure_Pa")
    joins = _table(segments, ("node_a", "node_b", "radius_m", "flow_m3_s"), blank="flow_m3_s", optional=True)
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
    return Vessels(points[:, 1:4], ends, joins[:, 2], points[:, 4], joins[:, 3])


def _table(path: Path, columns: tuple[str, ...], blank: str | None = None, *, optional: bool = False) -> np.ndarray:
    """Return the numbers of these columns; that of `blank` may have gaps (NaN), or with `optional` not be there."""
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="a CSV with the columns " + ", ".join(columns))
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [c for c in columns if c not in (reader.fieldnames or ()) and not (optional and c == blank)]
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
