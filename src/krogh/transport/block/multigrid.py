"""Precondition an uneven block: multigrid that keeps x whole, with its layers and membranes, and coarsens only y and z.

Layers are thousands of times thinner than the block is wide, and membranes are jumps: no coarse cell could hold them. So every
line along x is solved exactly, and groups of lines become one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from krogh.transport.block.colours import correct, join, restrict, split, sweep
from krogh.transport.block.lines import factor_lines

__all__ = ["Lateral", "LineMultigrid"]

#: Coupling along one direction over that along the other, from which on only the stronger one is coarsened.
_UNEQUAL = 4.0


@dataclass(frozen=True)
class Lateral:
    """The couplings of one level along y and z (nx, ny, nz) [m3/s], the cell widths, and how many lines make one of the next.

    Couplings are rounded to float32, which halves what a cycle reads; lines are then factored, in float64, for the rounded ones,
    so that a constant is still felt by its capacity alone, however large the couplings are.
    """

    ty: np.ndarray
    tz: np.ndarray
    dy: np.ndarray
    dz: np.ndarray
    group: tuple[int, int]

    @cached_property
    def colours(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both couplings by colour, see :mod:`krogh.transport.block.colours`."""
        return _colours(self.ty), _colours(self.tz)

    @classmethod
    def of(cls, ty: np.ndarray, tz: np.ndarray, dy: np.ndarray, dz: np.ndarray) -> Lateral:
        """Return a level; a direction that couples much more weakly than the other waits."""
        strong_y, strong_z = float(ty.mean()), float(tz.mean())
        by_y = 2 if dy.size > 1 and (dz.size == 1 or strong_y * _UNEQUAL > strong_z) else 1
        by_z = 2 if dz.size > 1 and (dy.size == 1 or strong_z * _UNEQUAL > strong_y) else 1
        return cls(ty.astype(np.float32), tz.astype(np.float32), dy, dz, (by_y, by_z))

    def coarser(self) -> Lateral:
        """Return the couplings between groups: those across their common side, over the longer distance."""
        (by_y, by_z), wide = self.group, (_merge(self.dy, 0, self.group[0]), _merge(self.dz, 0, self.group[1]))
        ty = _merge(self.ty[:, ::by_y] * _nearer(self.dy, wide[0], by_y)[:, None], 2, by_z)
        tz = _merge(self.tz[:, :, ::by_z] * _nearer(self.dz, wide[1], by_z), 1, by_y)
        return Lateral.of(ty, tz, *wide)


def _merge(values: np.ndarray, axis: int, by: int) -> np.ndarray:
    """Return the sums of groups of `by` along `axis`; the last group may be smaller."""
    if by == 1:
        return np.ascontiguousarray(values)
    return np.add.reduceat(values, np.arange(0, values.shape[axis], by), axis=axis)


def _nearer(fine: np.ndarray, coarse: np.ndarray, by: int) -> np.ndarray:
    """Return the distance of fine centres over that of coarse ones, at the sides of the coarse cells."""
    a = np.concatenate([[1.0], fine[1:] + fine[:-1]])[::by]
    b = np.concatenate([[1.0], coarse[1:] + coarse[:-1]])
    return np.asarray(a / b)


@dataclass(frozen=True, slots=True)
class _Work:
    """Room for one level: state and right-hand side by colour, one line's worth, and cells in plain order."""

    u: np.ndarray
    f: np.ndarray
    room: np.ndarray
    plain: np.ndarray

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Work:
        nx, ny, nz = shape
        w = (nz + 1) // 2
        return cls(np.zeros((2, ny, nx, w)), np.empty((2, ny, nx, w)), np.empty((nx, w)), np.empty(shape))


def _colours(plain: np.ndarray) -> np.ndarray:
    nx, ny, nz = plain.shape
    out = np.empty((2, ny, nx, (nz + 1) // 2), dtype=np.float32)
    split(plain, out)
    return out


class LineMultigrid:
    """Approximate the inverse of one species' matrix by one symmetric V-cycle.

    Parameters
    ----------
    levels : list of Lateral
        From :meth:`levels_of`.
    gh : float
        Factor of the couplings [s].
    pivot, lower, upper : arrays (nx, ny, nz)
        Rows of the lines without the coupling to their neighbours, gh included.
    """

    def __init__(self, levels: list[Lateral], gh: float, pivot: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        self.levels, self.gh = levels, gh
        self._lines: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._work: list[_Work] = []
        for level in levels:
            inverse = np.empty_like(pivot)
            factor_lines(pivot, lower, upper, level.ty, level.tz, gh, inverse)
            self._lines.append((_colours(inverse), _colours(inverse * lower), _colours(inverse * upper)))
            self._work.append(_Work.of(pivot.shape))
            pivot, lower, upper = (_merge(_merge(x, 1, level.group[0]), 2, level.group[1]) for x in (pivot, lower, upper))

    @staticmethod
    def levels_of(ty: np.ndarray, tz: np.ndarray, dy: np.ndarray, dz: np.ndarray) -> list[Lateral]:
        """Return all levels, down to one line."""
        levels = [Lateral.of(ty, tz, dy, dz)]
        while levels[-1].dy.size * levels[-1].dz.size > 1:
            levels.append(levels[-1].coarser())
        return levels

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """Return what a cycle makes of a right-hand side (nx, ny, nz); the array is overwritten by the next call."""
        return self._cycle(0, f)

    def _cycle(self, place: int, f: np.ndarray) -> np.ndarray:
        level, lines, work = self.levels[place], self._lines[place], self._work[place]
        colours, room = (*level.colours, self.gh), work.room
        split(f, work.f)
        sweep(work.u, work.f, *lines, *colours, 0, True, room)
        if f.shape[1:] != (1, 1):
            nz, coarse = f.shape[2], self._work[place + 1].plain
            sweep(work.u, work.f, *lines, *colours, 1, False, room)
            restrict(work.u, *colours, *level.group, nz, room, coarse)
            correct(work.u, self._cycle(place + 1, coarse), *level.group, nz)
            sweep(work.u, work.f, *lines, *colours, 1, False, room)
            sweep(work.u, work.f, *lines, *colours, 0, False, room)
        join(work.u, work.plain)
        return work.plain
