"""Solve one time window: reduce every layer by QR, couple the faces, and let Newton's method settle what saturates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from krogh.pinn.basis import Clock, Columns, chebyshev
from krogh.pinn.chain import Link, solve_chain
from krogh.pinn.draw import Draw, Size, layer_columns
from krogh.pinn.faces import FaceRow, Sides, face_rows
from krogh.pinn.physics import Slab
from krogh.pinn.rows import LayerRows, grid
from krogh.pinn.triangle import ON_CPU, Triangle

__all__ = ["Start", "Trace", "Window", "entered", "place_face"]

#: u and every v of one species in one layer at the given depths, shape (1 + cells, depth).
Start = Callable[[int, int, np.ndarray], np.ndarray]

_NEWTON, _SWEEPS = 40, 60
#: Newton's method squares the error: the step after this one would be at round-off.
_SETTLED = 3e-5
#: Least mean square of a column over the largest, for a correction.
_LEAST = 1e-10


#: The columns of u and q at one face, each (time, column).
Trace = tuple[np.ndarray, np.ndarray]


def entered(slab: Slab, layer: int) -> int | None:
    """Return the first order of the heat kernels behind a face that sees the blood; None elsewhere."""
    face = slab.faces[layer]
    if layer == 0 and face.membrane is None and not face.entries:
        return 0  # the face itself jumps
    if layer == 0 or face.entries:
        return 1
    # blood enters the layer before, which hands on what came as soon as it is full
    return 2 if face.membrane is None and slab.faces[layer - 1].entries else None


def place_face(a: np.ndarray, face: FaceRow, ends: np.ndarray, traces: list[tuple[Trace, Trace]]) -> None:
    """Add the rows of one face to `a`, whose columns are those of all layers, `ends` apart."""
    i = face.layer
    for at, side, u, q in ((i - 1, 1, face.far_u, face.far_q), (i, 0, face.near_u, face.near_q)):
        if u is None and q is None:
            continue
        of_u, of_q = traces[at][side]
        here = slice(ends[at], ends[at + 1])
        if u is not None:
            a[:, here] += u[:, None] * of_u
        if q is not None:
            a[:, here] += q[:, None] * of_q


def _linked(face: FaceRow, scales: list[np.ndarray], traces: list[tuple[Trace, Trace]]) -> Link:
    """Return the rows of one face in the scaled columns of the layers before and behind it."""
    both: list[np.ndarray | None] = []
    for at, side, u, q in ((face.layer - 1, 1, face.far_u, face.far_q), (face.layer, 0, face.near_u, face.near_q)):
        weights = [(k, w) for k, w in enumerate((u, q)) if w is not None]
        parts = [w[:, None] * traces[at][side][k] for k, w in weights]
        both.append(sum(parts[1:], parts[0]) * scales[at] if parts else None)
    return Link(both[0], both[1], face.target)


def _less(link: Link, layer: int, held: list[np.ndarray], scales: list[np.ndarray]) -> Link:
    """Return the rows with what the weights `held` give already taken off their sums."""
    target = link.target
    for columns, at in ((link.before, layer - 1), (link.behind, layer)):
        if columns is not None:
            target = target - columns @ (held[at] / scales[at])
    return Link(link.before, link.behind, target)


@dataclass
class Window:
    """Hold the trained networks of one window and what is needed to use, check and differentiate them.

    Attributes
    ----------
    slab, clock, size
        What is solved, when, and with how many features.
    blood : array (S, time)
        Free concentration at the face points.
    level : array (S, layer)
        Size of the concentrations, by which rows are divided.
    triangle : Triangle
        Where rows are reduced.
    hidden : int
        How many hidden weights were trained.
    """

    slab: Slab
    clock: Clock
    size: Size
    level: np.ndarray
    seed: tuple[int, ...]
    blood_at: Callable[[np.ndarray], np.ndarray]
    start: Start
    draw: Draw = layer_columns
    triangle: Triangle = ON_CPU
    hidden: int = 0
    newton: int = 0
    sweeps: int = 0
    converged: bool = True
    coefficients: list[list[np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the features and state the rows."""
        rng = np.random.default_rng(self.seed)
        slab, clock = self.slab, self.clock
        self.t = clock.at(chebyshev(self.size.face_times))
        self.blood = self.blood_at(self.t)
        self.rows: list[list[LayerRows]] = []
        self.slowest = [slab.slowest(s) for s in range(slab.species)]
        self.permeability = [
            np.array([slab.permeability(f, s) for f in range(len(slab.faces))] + [self.slowest[s]]) for s in range(slab.species)
        ]
        for s in range(slab.species):
            of_species = []
            for i, sheet in enumerate(slab.sheets):
                columns = self.draw(slab, i, s, clock, self.size, entered(slab, i), rng)
                x, t = grid(clock, columns, self.size.depths, self.size.times)
                of_species.append(LayerRows(sheet, s, columns, self.slowest[s], float(self.level[s, i]), x, t))
            self.rows.append(of_species)
        self.begin = [[self.start(s, i, r.x0) for i, r in enumerate(rows)] for s, rows in enumerate(self.rows)]
        self.traces = [[self._traces(r) for r in rows] for rows in self.rows]
        self._reduced: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self.coefficients = [[np.zeros(r.columns.size) for r in rows] for rows in self.rows]
        self.linear = all(f.linear for f in slab.faces) and not any(r.laws for rows in self.rows for r in rows)

    def _traces(self, r: LayerRows) -> tuple[Trace, Trace]:
        return r.columns.trace(0.0, self.t), r.columns.trace(r.sheet.thickness, self.t)

    # -- the state at the points ---------------------------------------------------------------------------------------------

    def values(self, i: int) -> list[np.ndarray]:
        """Return u and every v of all species at the points of layer `i`, each (S, point)."""
        both = list(zip(self.rows, self.coefficients, strict=True))
        out = [np.array([rows[i].u_at @ c[i] for rows, c in both])]
        out += [np.array([rows[i].v_at[k] @ c[i] for rows, c in both]) for k in range(self.rows[0][i].pools)]
        return out

    def sides(self) -> Sides:
        """Return u and q at both faces of every layer, at the points."""
        return self._sides_of(self.traces, self.t)

    def sides_at(self, t: np.ndarray) -> Sides:
        """Return the same at the times `t`."""
        thick = [x.thickness for x in self.slab.sheets]
        found = [
            [(r.columns.trace(0.0, t), r.columns.trace(x, t)) for r, x in zip(rows, thick, strict=True)] for rows in self.rows
        ]
        return self._sides_of(found, t)

    def _sides_of(self, traces: list[list[tuple[Trace, Trace]]], t: np.ndarray) -> Sides:
        out = np.zeros((4, len(self.slab.sheets), self.slab.species, t.size))
        for s, of_species in enumerate(traces):
            for i, (near, far) in enumerate(of_species):
                c = self.coefficients[s][i]
                for k, trace in enumerate((*near, *far)):
                    out[k, i, s] = trace @ c
        return Sides(*out)

    # -- least squares -------------------------------------------------------------------------------------------------------

    def solve(self, *, warm: bool = False) -> Window:
        """Fit the output weights; species by species until they agree. Linearise first at what is there, if `warm`."""
        if warm:
            self.look()
        else:
            self._guess()
        self.converged = True
        previous = math.inf
        for sweep in range(_SWEEPS):
            self.sweeps = sweep + 1
            change = max(self._species(s) for s in range(self.slab.species))
            if self.slab.species == 1 or change < 1e-7 or (change < 1e-5 and change > 0.3 * previous):
                return self
            if sweep > 8 and change > previous:
                break
            previous = change
        self.converged = False
        return self

    def fork(self) -> Window:
        """Return a window that shares the equations; networks and points may be replaced in one without touching the other."""
        other = copy.copy(self)
        for name in ("rows", "traces", "coefficients", "begin"):
            setattr(other, name, [list(of) for of in getattr(self, name)])
        other._reduced = dict(self._reduced)
        return other

    def look(self) -> None:
        """Take the values at all points from the networks as they are."""
        self._sides = self.sides()
        self._values = [self.values(i) for i in range(len(self.slab.sheets))]

    def put(self, s: int, i: int, columns: Columns, points: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """Give one layer other networks, or other points (x, t) as well, and forget what was reduced of it."""
        old = self.rows[s][i]
        x, t = points or (old.x, old.t)
        new = LayerRows(old.sheet, s, columns, self.slowest[s], float(self.level[s, i]), x, t)
        self.rows[s][i], self.traces[s][i] = new, self._traces(new)
        if points is not None:
            self.begin[s][i] = self.start(s, i, new.x0)
        self._reduced.pop((s, i), None)

    def _guess(self) -> None:
        """Linearise first at the start of the window, held constant."""
        self._sides = self.sides()
        self._values = []
        for i in range(len(self.slab.sheets)):
            starts = [self.begin[s][i] for s in range(self.slab.species)]
            for s, begin in enumerate(starts):  # its points run from the blood side to the far side
                self._sides.u_near[i, s], self._sides.u_far[i, s] = begin[0, 0], begin[0, -1]
            first = self.rows[0][i]
            self._values.append(
                [np.array([np.full(first.n, float(np.mean(b[k]))) for b in starts]) for k in range(1 + first.pools)]
            )

    def _species(self, s: int) -> float:
        """Run Newton's method for one species with the others held; return the first change over the level."""
        first, previous = 0.0, math.inf
        for iteration in range(_NEWTON):
            before = np.concatenate([self._sides.u_near[:, s].ravel(), self._sides.u_far[:, s].ravel()])
            inside = [self._values[i] for i in range(len(self.slab.sheets))]
            self.linear_step(s)
            self.look()
            after = np.concatenate([self._sides.u_near[:, s].ravel(), self._sides.u_far[:, s].ravel()])
            top = np.repeat(np.tile(self.level[s], 2), self.t.size)
            change = float((np.abs(after - before) / top).max())
            for i, r in enumerate(self.rows[s]):
                if r.laws:
                    moved = max(float(np.abs(a[s] - b[s]).max()) for a, b in zip(self._values[i], inside[i], strict=True))
                    change = max(change, moved / self.level[s, i])
            self.newton = max(self.newton, iteration + 1)
            if iteration == 0:
                first = change
            if self.linear or change < _SETTLED or (change < 1e-6 and change > 0.3 * previous):
                return first  # settled, or at the round-off of the least squares
            previous = change
        self.converged = self.converged and change < 1e-7
        return first

    def _layer(self, s: int, i: int, less: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return R and the reduced right-hand side of one layer, and the scale of its columns."""
        r = self.rows[s][i]
        key = (s, i)
        if key not in self._reduced or r.laws:
            b, f = r.matrix(self._values[i], self.begin[s][i])
            f = f if less is None else f - b @ less
            size = (b * b).mean(0)
            # heat kernels solve the rows inside exactly: their columns are nothing but round-off, or zero
            scale = 1.0 / np.sqrt(size + (1e-300 if less is None else _LEAST * size.max()))
            tall = np.zeros((b.shape[0] + scale.size, scale.size + 1))
            tall[: b.shape[0], :-1], tall[: b.shape[0], -1] = b * scale, f
            np.fill_diagonal(tall[b.shape[0] :], r.columns.ridge)
            whole = self.triangle(tall)
            self._reduced[key] = (whole[: scale.size], scale)
        whole, scale = self._reduced[key]
        return whole[:, :-1], whole[:, -1], scale

    def linear_step(self, s: int, *, correct: bool = False) -> None:
        """Solve the rows of one species once, linearised at what was last looked at; for a correction only, if `correct`.

        A correction loses less to round-off, and a ridge holds back the change alone.
        """
        held = [c if correct else 0.0 * c for c in self.coefficients[s]]
        level = self.level[s]
        reduced = [self._layer(s, i, c if correct else None) for i, c in enumerate(held)]
        scales = [r[2] for r in reduced]
        since = self.t + self.clock.offset_s
        links: list[list[Link]] = [[] for _ in range(len(reduced) + 1)]
        for face in face_rows(self.slab, s, self.blood, self._sides, since, level, self.permeability[s]):
            link = _linked(face, scales, self.traces[s])
            links[face.layer].append(_less(link, face.layer, held, scales) if correct else link)
        layers = [(top / x, right / x) for (top, right, _), x in zip(reduced, level, strict=True)]
        for i, (found, scale) in enumerate(zip(solve_chain(layers, links, self.triangle), scales, strict=True)):
            self.coefficients[s][i] = held[i] + found * scale

    # -- use -----------------------------------------------------------------------------------------------------------------

    def evaluate(self, s: int, i: int, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return u and every v (1 + cells, point) of species `s` in layer `i` at depths `x` and times `t` since the event."""
        return self.rows[s][i].columns.values(self.coefficients[s][i], x, t)
