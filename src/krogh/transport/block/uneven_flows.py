"""Count everything that flows in a block whose tissue differs from cell to cell."""

from __future__ import annotations

import math

import numpy as np

from krogh.transport.block.flows import Flows
from krogh.transport.block.kernels import add_leaf_cells
from krogh.transport.block.lines import uneven_bulk
from krogh.transport.block.model import BLOOD, BlockModel, ReactionTerm
from krogh.transport.block.uneven import Uneven

__all__ = ["UnevenFlows"]


class UnevenFlows(Flows):
    """Evaluate the flows of `uneven` coefficients; reactions have one slope per cell (S, n, F)."""

    def __init__(self, model: BlockModel, uneven: Uneven) -> None:
        super().__init__(model)
        self.uneven = uneven
        self._area = model.area_m2

    def _linear(self, u: np.ndarray, r: np.ndarray | None, gh: float, blood: np.ndarray, flux: np.ndarray) -> np.ndarray:
        model, c = self.model, self.uneven
        grid, nx = model.grid, model.grid[0]
        out = np.empty_like(u)
        known = u if r is None else r
        for s in range(u.shape[0]):
            given = (c.given[s] * blood[s]).reshape(grid)
            uneven_bulk(
                u[s, :nx].reshape(grid), known[s, :nx].reshape(grid), r is not None, gh, c.mass[s].reshape(grid), c.tx[s],
                c.ty[s], c.tz[s], c.taken[s].reshape(grid), given, self._area, out[s, :nx].reshape(grid),
            )  # fmt: skip
            for i, leaf in enumerate(model.leaves):
                own, x = self.planes(i), slice(leaf.start, leaf.stop)
                add_leaf_cells(u[s, x], u[s, own], known[s, own], r is not None, gh, c.leaf_mass[i][s], c.leaf_exchange[i][s],
                               float(leaf.trapping[s]), self.area, out[s, x], out[s, own])  # fmt: skip
            self.add_laws(out, s, gh, flux)
        return out

    def diffuse(self, u: np.ndarray) -> np.ndarray:
        """Return the linear flows (S, plane, F) of the x cells alone, blood and membranes at zero; a symmetric operator."""
        c, grid = self.uneven, self.model.grid
        out, none = np.zeros_like(u), np.zeros(grid)
        for s in range(u.shape[0]):
            cells = u[s, : grid[0]].reshape(grid)
            uneven_bulk(
                cells, cells, False, 1.0, c.mass[s].reshape(grid), c.tx[s], c.ty[s], c.tz[s], c.taken[s].reshape(grid), none,
                self._area, out[s, : grid[0]].reshape(grid),
            )  # fmt: skip
        return out

    # -- reactions -------------------------------------------------------------------------------------------------------------

    def slopes(self, u: np.ndarray) -> list[np.ndarray]:
        """Return the slope of every reaction at every cell, (S, n, F) per area."""
        found = []
        for term in self.model.reactions:
            own = u[:, self.range_of(term)]
            found.append(term.rate[:, :, None] / (1.0 + np.maximum(own, 0.0) * term.inverse_km[:, None, None]) ** 2)
        return found

    def formed(self, change: np.ndarray, slopes: list[np.ndarray]) -> np.ndarray:
        """Return by how much more of every product a change (S, plane, F) of what it is made from forms, cell by cell."""
        out = np.zeros_like(change)
        for slope, term in zip(slopes, self.model.reactions, strict=True):
            own = self.range_of(term)
            for s, product in enumerate(term.law.product):
                if product is not None:
                    out[product, own] += slope[s] * change[s, own] * self.area
        return out

    def add_formed(self, rows: np.ndarray, change: np.ndarray, slopes: list[np.ndarray]) -> None:
        """Add the same, summed, to the rows of a ledger (S, row)."""
        names = [name for name, _ in self.names]
        for slope, term in zip(slopes, self.model.reactions, strict=True):
            row = names.index(f"formed:{term.law.name}@{term.where}")
            for s, product in enumerate(term.law.product):
                if product is not None:
                    rows[product, row] += float(((slope[s] * change[s, self.range_of(term)]) @ self.area).sum())

    @staticmethod
    def _wide(slope: np.ndarray) -> np.ndarray:
        return slope

    def held(self, term: ReactionTerm, s: int, gh: float) -> float:
        """Return the least capacity per area of the cells of a reaction, with what the reaction adds to it."""
        mass = self.uneven.mass[s, term.start : term.stop] if term.leaf is None else self.uneven.leaf_mass[term.leaf][s]
        return float((mass + gh * term.rate[s][:, None]).min())

    def _changed(self, slope: np.ndarray, new: np.ndarray, old: np.ndarray) -> float:
        return float(((slope * (new - old)) @ self.area).sum())

    # -- linear algebra of leaves ----------------------------------------------------------------------------------------------

    def leaf_pivot(self, i: int, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the per-area pivots (S, n, F) of a leaf."""
        trapping = self.model.leaves[i].trapping[:, None, None]
        return self.uneven.leaf_mass[i] + gh * (self.uneven.leaf_exchange[i] / trapping + self._added(i, slopes))

    def diagonal(self, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the per-area diagonal of the cells (S, nx, F) without couplings, with the leaves eliminated."""
        out = self.uneven.mass + gh * self.uneven.taken
        for slope, term in zip(slopes, self.model.reactions, strict=True):
            if term.leaf is None:
                out[:, term.start : term.stop] += gh * slope
        for i, leaf in enumerate(self.model.leaves):
            rest = self.uneven.leaf_mass[i] + gh * self._added(i, slopes)
            out[:, leaf.start : leaf.stop] += gh * self.uneven.leaf_exchange[i] * rest / self.leaf_pivot(i, gh, slopes)
        return out

    def fold_leaves(self, residual: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the right-hand sides of the cells (S, nx, F) after the leaves' rows have been eliminated."""
        right = residual[:, : self.model.grid[0]]
        for i, leaf in enumerate(self.model.leaves):
            right = right if i else right.copy()
            share = gh * self.uneven.leaf_exchange[i] / leaf.trapping[:, None, None] / self.leaf_pivot(i, gh, slopes)
            right[:, leaf.start : leaf.stop] += share * residual[:, self.planes(i)]
        return right

    def unfold_leaves(self, cells: np.ndarray, residual: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the change of all planes from that of the cells (S, nx, F)."""
        parts = [cells]
        for i, leaf in enumerate(self.model.leaves):
            change = (
                residual[:, self.planes(i)] / self.area + gh * self.uneven.leaf_exchange[i] * cells[:, leaf.start : leaf.stop]
            )
            parts.append(change / self.leaf_pivot(i, gh, slopes))
        return np.concatenate(parts, axis=1)

    # -- sums ------------------------------------------------------------------------------------------------------------------

    def outflow(self, u: np.ndarray, slopes: list[np.ndarray], through: np.ndarray) -> np.ndarray:
        """Return what leaves the block per species (S,) at first order in a state `u` with the fluxes `through` (K, S, F)."""
        out = ((self.uneven.taken * u[:, : self.model.grid[0]]) @ self.area).sum(-1)
        for slope, term in zip(slopes, self.model.reactions, strict=True):
            out += ((slope * u[:, self.range_of(term)]) @ self.area).sum(-1)
        for k, law in enumerate(self.model.laws):
            if law.tail == BLOOD:
                out -= through[k] @ self.area
        return np.asarray(out)

    def _ledger_first_order(self, out: np.ndarray, row: int, u: np.ndarray, blood: np.ndarray) -> int:
        c, nx = self.uneven, self.model.grid[0]
        cells = u[:, :nx]
        out[:, row] = (c.given @ self.area).sum(-1) * blood
        out[:, row + 1] = ((c.given * cells) @ self.area).sum(-1)
        row += 2
        lost = (c.loss * cells) @ self.area
        for planes in self.model.media.values():
            out[:, row] = lost[:, planes[planes < nx]].sum(-1)
            row += 1
        return row

    def stability_limit_s(self) -> float:
        """Return the largest stable step of forward Euler [s]."""
        model, c = self.model, self.uneven
        slopes = self.slopes(np.zeros((len(model.species), model.unknowns // model.faces, model.faces)))
        out = np.zeros_like(c.tx)
        for axis, link in ((1, c.tx), (2, c.ty), (3, c.tz)):
            out += link
            ahead = np.moveaxis(out, axis, 1)
            ahead[:, :-1] += np.moveaxis(link, axis, 1)[:, 1:]
        rate = out.reshape(c.mass.shape) / self.area + c.taken
        for p, cell in enumerate(model.port_cell):
            rate[:, cell] += 1.0 / c.port_half[p]
        for slope, term in zip(slopes, model.reactions, strict=True):
            if term.leaf is None:
                rate[:, term.start : term.stop] += slope
        limit = math.inf
        for i, leaf in enumerate(model.leaves):
            rate[:, leaf.start : leaf.stop] += c.leaf_exchange[i]
            away = c.leaf_exchange[i] / leaf.trapping[:, None, None] + self._added(i, slopes)
            limit = min(limit, float((c.leaf_mass[i] / np.maximum(away, 1e-300)).min()))
        return min(limit, float((c.mass / np.maximum(rate, 1e-300)).min()))
