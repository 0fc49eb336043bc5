"""Transposed derivatives of a block whose tissue differs from cell to cell: the multigrid and Krylov method, rows for columns."""

from __future__ import annotations

import numpy as np

from krogh.transport.adjoint.system import Coefficients, Refinement
from krogh.transport.block.adjoint import BlockAdjoint, Point, law_coefficients
from krogh.transport.block.base import BlockBase
from krogh.transport.block.gains import gains_of
from krogh.transport.block.model import BLOOD, BlockModel
from krogh.transport.block.multigrid import Lateral, LineMultigrid
from krogh.transport.block.uneven import Uneven
from krogh.transport.block.uneven_stage import UnevenMatrix

__all__ = ["UnevenAdjoint", "uneven_coefficients"]


def uneven_coefficients(model: BlockModel, uneven: Uneven) -> Coefficients:
    """Return the arrays that an uneven block consists of, cell by cell, and the constants of laws."""
    found = {name: getattr(uneven, name) for name in ("mass", "loss", "given", "tx", "ty", "tz")} | {"half": uneven.port_half}
    for i, leaf in enumerate(model.leaves):
        found |= {f"leaf {i} mass": uneven.leaf_mass[i], f"leaf {i} exchange": uneven.leaf_exchange[i],
                  f"leaf {i} trapping": leaf.trapping}  # fmt: skip
    return found | law_coefficients(model)


class _TransposedMatrix(UnevenMatrix):
    """Hold the transpose; only what the membranes couple is not symmetric."""

    def add_laws(self, out: np.ndarray, x: np.ndarray) -> None:
        """Add the transposed laws at x (S, nx, F) to `out`."""
        model, cell = self.model, self.gains.cell
        weight = np.stack([x[:, model.port_cell[law.head]] - (x[:, model.port_cell[law.tail]] if law.tail != BLOOD else 0.0)
                           for law in model.laws])  # fmt: skip
        ports = np.einsum("kipjf,kif->pjf", cell, -self.gh * self.area * weight)
        for p, place in enumerate(model.port_cell):
            out[:, place] += ports[p]

    def lines(self, s: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows of the lines along x, off-diagonals exchanged."""
        pivot, lower, upper = super().lines(s)
        below, above = np.zeros_like(lower), np.zeros_like(upper)
        below[1:], above[:-1] = upper[:-1], lower[1:]
        return pivot, below, above


class _UnevenPoint(Point):
    """A state of an uneven block."""

    owner: UnevenAdjoint

    def exchange(self, i: int) -> np.ndarray:
        """Return the exchange with a leaf per area (S, n, F)."""
        return np.asarray(self.system.uneven.leaf_exchange[i])

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Return the values: every cell has its own coefficient."""
        return values

    def solve(self, gh: float, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-T right`` (1, S, N)."""
        system, flows = self.system, self.system.flows
        slopes = flows.slopes(self.u)
        gains = gains_of(system.laws, self.values, np.zeros_like(self.flux))
        matrix = _TransposedMatrix(system.laws, system.uneven, gains, gh, flows.diagonal(gh, slopes))

        def near(given: np.ndarray, tolerance: float) -> np.ndarray:
            planes = system.planes_of(given)
            folded = self._fold(planes, gh, slopes).reshape(matrix.shape)
            cells = self.owner.solve(matrix, folded, tolerance).reshape(self.u.shape[0], -1, self.u.shape[2])
            return self._unfold(planes, cells, gh, slopes).reshape(given.shape)

        capacity = system.capacity
        return self.owner.refinement.solve(lambda w: capacity * w + gh * self.product(w), right, near)[0]

    def _fold(self, given: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the right-hand sides of the cells (S, nx, F) without the leaves."""
        model, flows = self.system.model, self.system.flows
        right = given[:, : model.grid[0]].copy()
        for i, leaf in enumerate(model.leaves):
            share = gh * self.exchange(i) / flows.leaf_pivot(i, gh, slopes)
            right[:, leaf.start : leaf.stop] += share * given[:, flows.planes(i)]
        return right

    def _unfold(self, given: np.ndarray, cells: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return all planes from the cells (S, nx, F)."""
        model, flows = self.system.model, self.system.flows
        parts = [cells]
        for i, leaf in enumerate(model.leaves):
            back = gh * self.exchange(i) / leaf.trapping[:, None, None]
            part = given[:, flows.planes(i)] / flows.area + back * cells[:, leaf.start : leaf.stop]
            parts.append(part / flows.leaf_pivot(i, gh, slopes))
        return np.concatenate(parts, axis=1)

    def pull_bulk(self, w: np.ndarray, wanted: frozenset[str]) -> tuple[Coefficients, np.ndarray]:
        """Return what the coefficients of the cells get, and the blood (S,)."""
        uneven, area, grid = self.system.uneven, self.system.flows.area, self.system.model.grid
        u, w = self.u[:, : grid[0]], w[:, : grid[0]]
        found: Coefficients = {}
        if "loss" in wanted:
            found["loss"] = -area * w * u
        if "given" in wanted:
            found["given"] = area * w * (self.blood[:, None, None] - u)
        boxes = u.reshape(uneven.tx.shape), w.reshape(uneven.tx.shape)
        for axis, name in enumerate(("tx", "ty", "tz"), start=1):
            if name in wanted:
                found[name] = np.zeros(uneven.tx.shape)
                inner = (slice(None),) * axis + (slice(1, None),)
                found[name][inner] = -np.diff(boxes[0], axis=axis) * np.diff(boxes[1], axis=axis)
        return found, (uneven.given * area * w).sum((1, 2))


class UnevenAdjoint(BlockAdjoint):
    """Serve an uneven block."""

    def __init__(self, system: BlockBase, levels: list[list[Lateral]]) -> None:
        super().__init__(system)
        self.refinement = Refinement(max(1e-10, system.tolerance))
        self._levels = levels
        self._grids: tuple[float, list[LineMultigrid]] | None = None
        self._usual = 0

    def at(self, u: np.ndarray, blood: np.ndarray) -> Point:
        """Return F around a state."""
        return _UnevenPoint(self, u, blood)

    def solve(self, matrix: UnevenMatrix, right: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the cells to a relative tolerance; the preconditioner is kept as long as it serves."""
        if self._grids is None or self._grids[0] != matrix.gh:
            self._grids, self._usual = (matrix.gh, matrix.grids(self._levels)), 0
        found, count, good = matrix.solve(right, self._grids[1], np.zeros(right.shape[0]), 0.0, tolerance)
        if not good or count > 2 * self._usual + 10 > 10:
            self._grids = None
        self._usual = max(self._usual, count)
        return found

    def pull_capacity(self, weight: np.ndarray) -> Coefficients:
        """Return the weight with the areas: masses are per area and cell."""
        flows, model = self.system.flows, self.system.model
        planes = self.system.planes_of(weight) * flows.area
        found = {"mass": planes[:, : model.grid[0]]}
        return found | {f"leaf {i} mass": planes[:, flows.planes(i)] for i in range(len(model.leaves))}
