"""Take the equations of one slab out of a barrier: per species and layer the coefficients, per face the routes.

Per layer, with the flux q counted per luminal area and the spread s of the layer::

    s (kappa u_t + loss u + sum_laws R(u) + sum_cells kappa_c v_t) + q_x = 0,     q = -s D u_x
    kappa_c v_t = E (u - v / trapping) - R_c(v)                                   in every cell compartment
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes.base import Route
from krogh.errors import InputError

__all__ = ["Face", "Pool", "Sheet", "Slab", "slab_of"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Hold a cell compartment: capacity, exchange [1/s] and trapping of each species, arrays of shape (S,)."""

    name: str
    capacity: np.ndarray
    exchange: np.ndarray
    trapping: np.ndarray
    laws: tuple[MichaelisMenten, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Hold one layer; the coefficients are arrays of shape (S,). Its area over the luminal one is ``spread (1 + growth x)``."""

    name: str
    thickness: float
    spread: float
    diffusivity: np.ndarray
    capacity: np.ndarray
    loss: np.ndarray
    laws: tuple[MichaelisMenten, ...]
    pools: tuple[Pool, ...]
    growth: float = 0.0

    def area(self, x: np.ndarray) -> np.ndarray:
        """Return the area at the depths `x` over the luminal area."""
        return self.spread * (1.0 + self.growth * x)


@dataclass(frozen=True, slots=True)
class Face:
    """Hold the routes of the face before a layer: through its membrane (None: no membrane), and straight from blood."""

    membrane: tuple[Route, ...] | None
    entries: tuple[Route, ...]

    @property
    def linear(self) -> bool:
        """Tell whether no route on this face saturates."""
        return all(r.linear for r in (*(self.membrane or ()), *self.entries))


@dataclass(frozen=True, slots=True)
class Slab:
    """Hold all layers and the face before each; the far side is closed."""

    species: int
    sheets: tuple[Sheet, ...]
    faces: tuple[Face, ...]

    def permeability(self, face: int, species: int) -> float:
        """Return the low-concentration permeability of a face, the larger of its two directions [m/s]."""
        routes = (*(self.faces[face].membrane or ()), *self.faces[face].entries)
        return sum(self.slope(r, species) for r in routes)

    def slope(self, route: Route, species: int) -> float:
        """Return the low-concentration permeability of one route [m/s]."""
        zero = np.zeros((1, self.species, 1))
        sides = [np.asarray(d) for d in route.flux(zero, zero)[2:]]
        return max(abs(float(d[0, species, species, 0] if d.ndim == 4 else d[0, species, 0])) for d in sides)

    def slowest(self, species: int) -> float:
        """Return the smallest permeability of a face that lets the species through [m/s]; tiny where none does."""
        held = [p for p in (self.permeability(f, species) for f in range(len(self.faces))) if p > 0]
        return min(held, default=1e-15)


def slab_of(barrier: Barrier, radius_m: float | None = None) -> Slab:
    """Return the equations of `barrier`; with `radius_m`, of rings around a vessel of that radius.

    Raises
    ------
    InputError
        If it holds a batch of problems.
    """
    if barrier.batch != 1:
        raise InputError("pinn", got=f"a batch of {barrier.batch} problems", expected="one problem at a time")

    def row(value: Any) -> np.ndarray:
        return np.array(barrier.expand(value)[0], dtype=float)

    def pools(index: int) -> tuple[Pool, ...]:
        return tuple(
            Pool(c.name, row(c.capacity), row(c.exchange_per_s), row(c.trapping), c.reactions)
            for c in barrier.cells
            if c.layer == index
        )

    inner = [(radius_m or 0.0) + sum(x.thickness_m for x in barrier.layers[:i]) for i in range(len(barrier.layers))]
    sheets = tuple(
        Sheet(
            x.name, x.thickness_m, x.spread * (r / radius_m if radius_m else 1.0), row(x.diffusivity_m2_s), row(x.capacity),
            row(x.loss_per_s), x.reactions, pools(i), 1.0 / r if radius_m else 0.0,
        )
        for i, (x, r) in enumerate(zip(barrier.layers, inner, strict=True))
    )  # fmt: skip
    membranes = {m.face: m.routes for m in barrier.membranes}
    faces = tuple(Face(membranes.get(i), tuple(b.route for b in barrier.bypasses if b.to_layer == i)) for i in range(len(sheets)))
    return Slab(len(barrier.species), sheets, faces)
