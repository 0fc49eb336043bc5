"""State what crosses the membranes of a block: laws between ports, evaluated at points along the barrier with their own maps.

A *port* is one side of a membrane; a *law* holds the routes from one port, or from the blood, to another, as in the finite
volumes. With the mean slopes a, b of a law over the barrier, ``J = a u_tail + b u_head + rest``: the slopes belong to the least
squares of every mode, and the rest, which joins the modes, to their right-hand side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.barrier.model import Barrier
from krogh.barrier.routes.base import Route
from krogh.pinn.block.lateral import Lateral, Points, wall_points

__all__ = ["BLOOD", "Crossing", "Evaluation", "Means", "Port", "WallLaw", "Walls", "varies"]

BLOOD = -1


@dataclass(frozen=True, slots=True)
class Port:
    """One side of a membrane: a layer, and whether it is its far side."""

    layer: int
    far: bool

    @property
    def sign(self) -> float:
        """Return +1 where what arrives flows into the layer's depth, -1 at its far side."""
        return -1.0 if self.far else 1.0


@dataclass(frozen=True, slots=True)
class WallLaw:
    """Hold all routes between two ports (`BLOOD`: the reservoir)."""

    tail: int
    head: int
    routes: tuple[Route, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """Hold the fluxes (law, S, time, y, z) and their derivatives by tail and head (law, S, S, time, y, z)."""

    flux: np.ndarray
    by_tail: np.ndarray
    by_head: np.ndarray


@dataclass(frozen=True, slots=True)
class Means:
    """Hold the mean slopes of each law by a species' own tail and head, (law, S, time)."""

    tail: np.ndarray
    head: np.ndarray

    def apart(self, other: Means) -> float:
        """Return the largest difference over the size."""
        pairs = ((self.tail, other.tail), (self.head, other.head))
        return max(float((np.abs(a - b) / (np.abs(b).max(-1, keepdims=True) + 1e-300)).max(initial=0.0)) for a, b in pairs)


class Walls:
    """Hold ports and laws of a barrier.

    Parameters
    ----------
    barrier : Barrier
        With the lumen in front, where there is one.
    lumen : bool
        Whether the first layer is blood: routes past the endothelium start there.
    """

    def __init__(self, barrier: Barrier, *, lumen: bool) -> None:
        self.species = len(barrier.species)
        self.ports: list[Port] = []
        self.laws: list[WallLaw] = []
        head: dict[int, int] = {}
        entry = BLOOD
        for n, membrane in enumerate(sorted(barrier.membranes, key=lambda m: m.face)):
            tail = BLOOD
            if membrane.face > 0:
                tail = self._add(Port(membrane.face - 1, True))
            head[membrane.face] = self._add(Port(membrane.face, False))
            entry = tail if n == 0 else entry
            self.laws.append(WallLaw(tail, head[membrane.face], membrane.routes, membrane.name))
        for bypass in barrier.bypasses:
            self.laws.append(WallLaw(entry, head[bypass.to_layer], (bypass.route,), "blood-brain"))
        self.open = not lumen and 0 not in head
        self.tails = np.array([law.tail for law in self.laws], dtype=int)
        self.heads = np.array([law.head for law in self.laws], dtype=int)
        self.sides = np.zeros((len(self.ports), len(self.laws)))
        for k, law in enumerate(self.laws):
            self.sides[law.head, k] += 1.0
            if law.tail != BLOOD:
                self.sides[law.tail, k] -= 1.0

    def _add(self, port: Port) -> int:
        self.ports.append(port)
        return len(self.ports) - 1

    def port(self, layer: int, *, far: bool) -> int | None:
        """Return the number of a port, None where no membrane is."""
        return next((n for n, p in enumerate(self.ports) if (p.layer, p.far) == (layer, far)), None)

    def ends(self, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u at tails and heads (law, S, time, ...), from ports (port, S, time, ...) and blood (S, time)."""
        held = blood.reshape(*blood.shape, *[1] * (u.ndim - 3))
        tails = [np.broadcast_to(held, u.shape[1:]) if n == BLOOD else u[n] for n in self.tails]
        return np.array(tails).reshape(len(self.laws), *u.shape[1:]), u[self.heads]

    def evaluate(self, points: Evaluation, u: np.ndarray, blood: np.ndarray) -> Crossing:
        """Return all laws at port concentrations (port, S, time, y, z) and the blood (S, time)."""
        tails, heads = self.ends(u, blood)
        s, k = self.species, len(self.laws)
        flux = np.zeros((k, *u.shape[1:]))
        by_tail, by_head = np.zeros((k, s, *u.shape[1:])), np.zeros((k, s, *u.shape[1:]))
        for n, law in enumerate(self.laws):
            before, behind = points.to_cells(tails[n]), points.to_cells(heads[n])
            for route in law.routes:
                inward, outward, d_tail, d_head = route.flux(before, behind)
                flux[n] += points.from_cells(inward - outward)
                points.add_slope(by_tail[n], d_tail)
                points.add_slope(by_head[n], d_head)
        return Crossing(flux, by_tail, by_head)

    def permeability(self, means: Means) -> np.ndarray:
        """Return what each port lets through, the least over the window, (port, S); the smallest of them at the end [m/s]."""
        by_law = np.maximum(np.abs(means.tail), np.abs(means.head)).min(-1, initial=np.inf)
        of_port = np.abs(self.sides) @ by_law
        least = np.where(of_port > 0, of_port, np.inf).min(0, initial=np.inf)
        return np.vstack([of_port, np.where(np.isfinite(least), least, 1e-15)])

    def means(self, crossing: Crossing, points: Points) -> Means:
        """Return the means over the barrier of the slopes by a species' own concentrations."""
        own = np.arange(self.species)
        return Means(*(points.mean(d[:, own, own]) for d in (crossing.by_tail, crossing.by_head)))


class Evaluation:
    """Evaluate routes whose parameters have one value per cell of the maps, at Gauss points in the cells."""

    def __init__(self, lateral: Lateral) -> None:
        self.points, (self.by_y, self.by_z) = wall_points(lateral)
        self.cells = lateral.y.size, lateral.z.size

    def to_cells(self, values: np.ndarray) -> np.ndarray:
        """Return (batch of time and place in the cell, S, cell) from (S, time, y, z)."""
        s, times = values.shape[:2]
        (ny, nz), a, b = self.cells, self.by_y, self.by_z
        return values.reshape(s, times, ny, a, nz, b).transpose(1, 3, 5, 0, 2, 4).reshape(times * a * b, s, ny * nz)

    def from_cells(self, values: np.ndarray) -> np.ndarray:
        """Return the reverse of `to_cells`."""
        (ny, nz), a, b, s = self.cells, self.by_y, self.by_z, values.shape[1]
        grid = values.reshape(-1, a, b, s, ny, nz).transpose(3, 0, 4, 1, 5, 2)
        return grid.reshape(s, -1, ny * a, nz * b)

    def cell_means(self, values: np.ndarray) -> np.ndarray:
        """Return the means over the cells (..., cell) of values at the points (..., y, z)."""
        (ny, nz), a, b = self.cells, self.by_y, self.by_z
        weights = [np.polynomial.legendre.leggauss(n)[1] / 2 for n in (a, b)]
        grid = values.reshape(*values.shape[:-2], ny, a, nz, b)
        return np.asarray(np.einsum("...yazb,a,b->...yz", grid, *weights).reshape(*values.shape[:-2], -1))

    def add_slope(self, target: np.ndarray, slope: np.ndarray) -> None:
        """Add derivatives (batch, S, cell) or (batch, S, S, cell) to (S, S, time, y, z)."""
        for i in range(target.shape[0]):
            for j in range(target.shape[0]):
                if slope.ndim == 3 and i != j:
                    continue
                part = slope[:, i] if slope.ndim == 3 else slope[:, i, j]
                whole = np.broadcast_to(part, (target.shape[2] * self.by_y * self.by_z, part.shape[-1]))
                target[i, j] += self.from_cells(whole[:, None])[0]


def varies(walls: Walls, lateral: Lateral) -> tuple[bool, bool]:
    """Tell whether any law differs along y and along z, between cells that see the same concentrations."""
    out = [False, False]
    for law in walls.laws:
        for route in law.routes:
            for one, other in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
                ends = (np.full((1, walls.species, lateral.y.size * lateral.z.size), v) for v in (one, other))
                inward, outward, *_ = route.flux(*ends)
                flux = np.broadcast_to(np.stack([inward, outward]), (2, 1, walls.species, lateral.y.size * lateral.z.size))
                grid = flux.reshape(-1, lateral.y.size, lateral.z.size)
                out[0] |= bool(np.any(grid != grid[:, :1]))
                out[1] |= bool(np.any(grid != grid[:, :, :1]))
    return out[0], out[1]
