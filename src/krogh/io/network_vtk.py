"""Read vessels from a VTK file (.vtp, .vtk, .vtu) of lines or polylines, by pyvista or meshio, whichever is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.transport.network.vessels import Vessels

__all__ = ["read_vtk"]

_RADIUS = ("radius", "radius_m", "radii")
_PRESSURE = ("pressure_pa", "pressure")
_FLOW = ("flow_m3_s",)
_LINE, _POLY_LINE = 3, 4


@dataclass(frozen=True)
class _Lines:
    """Segments between points, each with the number of the cell that it is part of, and the named arrays of both."""

    points: np.ndarray
    ends: np.ndarray
    cell: np.ndarray
    of_points: dict[str, np.ndarray]
    of_cells: dict[str, np.ndarray]


def read_vtk(path: Path, unit_m: float) -> tuple[Vessels, np.ndarray]:
    """Return the vessels of a VTK file and the numbers of its nodes.

    The radius is an array ``radius`` of points (a segment has the mean of its ends) or cells, in the unit of the coordinates, or
    ``radius_m`` in metres. Pressures [Pa] are an array ``pressure`` or ``pressure_Pa`` of points, flows along the lines [m3/s] an
    array ``flow_m3_s`` of cells, where there is one. Points at the same place are one node: its number is that of the first.

    Parameters
    ----------
    path : Path
        ``.vtp``, ``.vtk`` or ``.vtu``.
    unit_m : float
        Length of one unit of the coordinates [m].

    Raises
    ------
    InputError
        If the file is missing or cannot be read, holds no lines or no radius, or neither library is installed.
    """
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="a VTK file of lines")
    if importlib.util.find_spec("pyvista") is not None:
        lines = _by_pyvista(path)
    elif importlib.util.find_spec("meshio") is not None:
        lines = _by_meshio(path)
    else:
        raise InputError(str(path), got="neither pyvista nor meshio", expected="one of them", hint="pip install 'krogh[viz3d]'")
    if not len(lines.ends):
        raise InputError(str(path), got="no lines", expected="lines or polylines with a radius")
    radius = _radius(path, lines, unit_m)
    pressure = _named(lines.of_points, _PRESSURE)
    points = lines.points * unit_m
    _, first, joined = np.unique(_grid(points), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    ends = rank[joined.ravel()[lines.ends]]
    used = np.unique(ends)  # points of other cells are no nodes
    numbers = first[order]
    held = np.full(numbers.size, np.nan) if pressure is None else np.asarray(pressure[1], dtype=float)[numbers]
    place = np.full(numbers.size, -1)
    place[used] = np.arange(used.size)
    flow = _named(lines.of_cells, _FLOW)
    along = None if flow is None else np.asarray(flow[1], dtype=float)[lines.cell]
    return Vessels(points[numbers][used], place[ends], radius, held[used], along), numbers[used]


def _grid(points: np.ndarray) -> np.ndarray:
    """Return points rounded to a millionth of their extent, where they are finite."""
    if not np.all(np.isfinite(points)):
        bad = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise InputError(f"node {bad}", got="a position that is not a number", expected="finite coordinates")
    size = float(np.ptp(points, axis=0).max()) or 1.0
    return np.round(points / (1e-6 * size)).astype(np.int64)


def _radius(path: Path, lines: _Lines, unit_m: float) -> np.ndarray:
    """Return the radius of every segment [m]."""
    for arrays, per_point in ((lines.of_cells, False), (lines.of_points, True)):
        found = _named(arrays, _RADIUS)
        if found is not None:
            name, values = found
            values = np.asarray(values, dtype=float) * (1.0 if name.lower().endswith("_m") else unit_m)
            return values[lines.ends].mean(axis=1) if per_point else values[lines.cell]
    names = ", ".join([*lines.of_cells, *lines.of_points]) or "no arrays"
    raise InputError(str(path), got=names, expected="an array 'radius' of points or cells")


def _named(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> tuple[str, np.ndarray] | None:
    lower = {k.lower(): k for k in arrays}
    return next(((lower[n], arrays[lower[n]]) for n in names if n in lower), None)


def _by_pyvista(path: Path) -> _Lines:
    import pyvista

    try:
        mesh = pyvista.read(str(path))
    except Exception as error:  # a reader in another language may fail in any way
        raise _unreadable(path, error) from None
    if isinstance(mesh, pyvista.PolyData):
        flat, kinds, before = np.asarray(mesh.lines), None, int(mesh.n_verts)
    elif isinstance(mesh, pyvista.UnstructuredGrid):
        flat, kinds, before = np.asarray(mesh.cells), np.asarray(mesh.celltypes), 0
    else:
        raise InputError(str(path), got=type(mesh).__name__, expected="lines: PolyData or UnstructuredGrid")
    ends, cell, place, number = [], [], 0, 0
    while place < flat.size:
        count = int(flat[place])
        if kinds is None or kinds[number] in (_LINE, _POLY_LINE):
            nodes = flat[place + 1 : place + 1 + count]
            ends += list(pairwise(nodes))
            cell += [before + number] * max(0, count - 1)
        place, number = place + 1 + count, number + 1
    return _Lines(
        np.asarray(mesh.points, dtype=float), np.array(ends, dtype=int).reshape(-1, 2), np.array(cell, dtype=int),
        {str(k): np.asarray(mesh.point_data[k]) for k in mesh.point_data},
        {str(k): np.asarray(mesh.cell_data[k]) for k in mesh.cell_data},
    )  # fmt: skip


def _by_meshio(path: Path) -> _Lines:
    import meshio

    try:
        mesh = meshio.read(str(path))
    except (Exception, SystemExit) as error:  # meshio leaves by SystemExit where it cannot read
        raise _unreadable(path, error) from None
    ends, cell = [np.zeros((0, 2), dtype=int)], [np.zeros(0, dtype=int)]
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in mesh.cell_data}
    count = 0
    for i, block in enumerate(mesh.cells):
        if block.type.startswith("line"):
            ends.append(np.asarray(block.data)[:, :2])
            cell.append(count + np.arange(len(block.data)))
            count += len(block.data)
            for name, values in arrays.items():
                values.append(np.asarray(mesh.cell_data[name][i]))
    held = {name: np.concatenate(values) for name, values in arrays.items() if values}
    points = {str(k): np.asarray(v) for k, v in mesh.point_data.items()}
    return _Lines(np.asarray(mesh.points, dtype=float), np.concatenate(ends), np.concatenate(cell), points, held)


def _unreadable(path: Path, error: BaseException) -> InputError:
    why = " ".join(str(error).split())[:80] or type(error).__name__
    return InputError(str(path), got=f"a file that cannot be read ({why})", expected="a VTK file of lines")
