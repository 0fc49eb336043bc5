"""Evaluate everything that flows in a block: right-hand side, residual, leaves and reactions.

Arrays of a state are planes (S, plane, F): the x cells first, then those of every leaf (neurons, astrocytes).
"""

from __future__ import annotations

import math

import numpy as np

from krogh.transport.block.kernels import add_leaf, add_uptake, bulk, uptake_slope
from krogh.transport.block.ledger import Ledger, Linearised, Uptake
from krogh.transport.block.model import BLOOD, BlockModel, ReactionTerm

__all__ = ["Flows", "Linearised"]


class Flows(Ledger):
    """Evaluate the flows of a model."""

    def __init__(self, model: BlockModel) -> None:
        super().__init__(model)
        self._saturable = [bool(np.any((t.inverse_km > 0) & (t.rate.max(-1) > 0))) for t in model.reactions]
        self._forming = [any(p is not None for p in t.law.product) for t in model.reactions]

    # -- right-hand side -------------------------------------------------------------------------------------------------------

    def _linear(self, u: np.ndarray, r: np.ndarray | None, gh: float, blood: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return ``r - C u + gh F`` without reactions, or ``gh F`` where `r` is None."""
        model = self.model
        nx, ny, nz = model.grid
        out = np.empty_like(u)
        held = r is not None
        known = u if r is None else r
        for s in range(u.shape[0]):
            bulk(
                u[s, :nx].reshape(nx, ny, nz), known[s, :nx].reshape(nx, ny, nz), held, gh, model.mass[s], model.link[s],
                model.lateral[s], model.loss[s], model.inflow[s], float(blood[s]), model.y.width_m, model.z.width_m,
                model.y.link_1_m, model.z.link_1_m, out[s, :nx].reshape(nx, ny, nz),
            )  # fmt: skip
            for i, leaf in enumerate(model.leaves):
                own, x = self.planes(i), slice(leaf.start, leaf.stop)
                add_leaf(u[s, x], u[s, own], known[s, own], held, gh, leaf.mass[s], leaf.exchange[s], float(leaf.trapping[s]),
                         self.area, out[s, x], out[s, own])  # fmt: skip
            self.add_laws(out, s, gh, flux)
        return out

    def diffuse(self, u: np.ndarray) -> np.ndarray:
        """Return the linear flows (S, plane, F) of the x cells alone, blood and membranes at zero; a symmetric operator."""
        model = self.model
        nx, ny, nz = model.grid
        out = np.zeros_like(u)
        for s in range(u.shape[0]):
            cells = u[s, :nx].reshape(nx, ny, nz)
            bulk(
                cells, cells, False, 1.0, model.mass[s], model.link[s], model.lateral[s], model.loss[s], model.inflow[s], 0.0,
                model.y.width_m, model.z.width_m, model.y.link_1_m, model.z.link_1_m, out[s, :nx].reshape(nx, ny, nz),
            )  # fmt: skip
        return out

    def add_laws(self, out: np.ndarray, s: int, gh: float, flux: np.ndarray) -> None:
        """Add gh times what the membranes carry of species `s` to the cells behind their ports."""
        for k, law in enumerate(self.model.laws):
            amount = (gh * flux[k, s]) * self.area
            out[s, self.model.port_cell[law.head]] += amount
            if law.tail != BLOOD:
                out[s, self.model.port_cell[law.tail]] -= amount

    def rate(self, u: np.ndarray, blood: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return F (S, plane, F) for the membrane fluxes (K, S, F)."""
        out = self._linear(u, None, 1.0, blood, flux)
        for term in self.model.reactions:
            self._react(out, term, u, 1.0)
        return out

    def _react(self, out: np.ndarray, term: ReactionTerm, u: np.ndarray, gh: float) -> None:
        own = self.range_of(term)
        for s, product in enumerate(term.law.product):
            if np.any(term.rate[s] > 0):
                add_uptake(u[s, own], term.rate[s], term.inverse_km[s], self.area, -gh, out[s, own])
                if product is not None:
                    add_uptake(u[s, own], term.rate[s], term.inverse_km[s], self.area, gh, out[product, own])

    def residual(
        self, u: np.ndarray, r: np.ndarray, gh: float, blood: np.ndarray, flux: np.ndarray, uptake: Uptake
    ) -> np.ndarray:
        """Return ``r - C u + gh F`` (S, plane, F)."""
        out = self._linear(u, r, gh, blood, flux)
        for term in self.model.reactions:
            self._react(out, term, u, gh)
        return out

    # -- reactions -------------------------------------------------------------------------------------------------------------

    def mean_slopes(self, u: np.ndarray) -> list[np.ndarray]:
        """Return the slope of every reaction, mean over each plane, (S, n) per area."""
        found = []
        for term in self.model.reactions:
            own = self.range_of(term)
            found.append(np.stack([uptake_slope(u[s, own], term.rate[s], term.inverse_km[s]) for s in range(u.shape[0])]))
        return found

    def uptake(self, u: np.ndarray, slopes: list[np.ndarray]) -> Uptake:
        """Return, per reaction that needs it, what it takes at `u` (S, n) summed over planes, and u itself there."""
        found = []
        for term in self.model.reactions:
            own = self.range_of(term)
            sums = np.stack([self._sums(term, s, u[s, own]) for s in range(u.shape[0])])
            found.append((sums, u[:, own]))
        return found

    def mismatch(self, u: np.ndarray, uptake: Uptake, slopes: list[np.ndarray], gh: float) -> float:
        """Return the largest error of the linearised reactions over what the cells hold, gh included; 0 where all are exact."""
        worst = 0.0
        for i, term in enumerate(self.model.reactions):
            if not (self._saturable[i] or self._forming[i]):
                continue
            own = self.range_of(term)
            before = uptake[i][1]
            for s, product in enumerate(term.law.product):
                if not np.any(term.rate[s] > 0):
                    continue
                change = u[s, own] - before[s]
                rate = term.rate[s][:, None]
                now, then = (rate * x / (1 + np.maximum(x, 0.0) * term.inverse_km[s]) for x in (u[s, own], before[s]))
                scale = float(self.held(term, s, gh) * np.abs(u[s, own]).max()) + 1e-300
                off = now - then - self._wide(slopes[i][s]) * change
                worst = max(worst, gh * float(np.abs(off).max()) / scale)
                if product is not None:  # what was formed was taken from the state before
                    scale = float(
                        self.held(term, product, gh) * max(np.abs(u[product, own]).max(), 1e-3 * np.abs(u[s, own]).max())
                    )
                    worst = max(worst, gh * float(np.abs(now - then).max()) / (scale + 1e-300))
        return worst

    @staticmethod
    def _wide(slope: np.ndarray) -> np.ndarray:
        """Return slopes (n) so that they multiply cells (n, F)."""
        return slope[:, None]

    def held(self, term: ReactionTerm, s: int, gh: float) -> float:
        """Return the least capacity per area of the cells of a reaction, with what the reaction adds to it."""
        mass = self.model.mass[s, term.start : term.stop] if term.leaf is None else self.model.leaves[term.leaf].mass[s]
        return float((mass + gh * term.rate[s]).min())

    # -- linear algebra of leaves ----------------------------------------------------------------------------------------------

    def _added(self, leaf: int | None, slopes: list[np.ndarray]) -> np.ndarray | float:
        """Return the slopes of the reactions in a leaf, (S, n)."""
        own = [slope for slope, term in zip(slopes, self.model.reactions, strict=True) if term.leaf == leaf]
        return sum(own) if own else 0.0

    def leaf_pivot(self, i: int, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the per-area pivots (S, n) of a leaf."""
        leaf = self.model.leaves[i]
        return leaf.mass + gh * (leaf.exchange / leaf.trapping[:, None] + self._added(i, slopes))

    def diagonal(self, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the per-area diagonal of the cells (S, nx) with the leaves eliminated."""
        model = self.model
        out = model.mass + gh * (model.loss + model.inflow)
        for slope, term in zip(slopes, model.reactions, strict=True):
            if term.leaf is None:
                out[:, term.start : term.stop] += gh * slope
        for i, leaf in enumerate(model.leaves):
            g = gh * leaf.exchange
            pivot = self.leaf_pivot(i, gh, slopes)
            # g - g (g/trapping) / pivot, without cancellation
            rest = leaf.mass + gh * (self._added(i, slopes) + np.zeros_like(leaf.mass))
            out[:, leaf.start : leaf.stop] += g * rest / pivot
        return out

    def fold_leaves(self, residual: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the right-hand sides of the cells (S, nx, F) after the leaves' rows have been eliminated."""
        if not self.model.leaves:
            return residual[:, : self.model.grid[0]]
        right = residual[:, : self.model.grid[0]].copy()
        for i, leaf in enumerate(self.model.leaves):
            share = gh * leaf.exchange / leaf.trapping[:, None] / self.leaf_pivot(i, gh, slopes)
            right[:, leaf.start : leaf.stop] += share[:, :, None] * residual[:, self.planes(i)]
        return right

    def unfold_leaves(self, cells: np.ndarray, residual: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Return the change of all planes from that of the cells (S, nx, F)."""
        if not self.model.leaves:
            return cells
        parts = [cells]
        for i, leaf in enumerate(self.model.leaves):
            pivot = self.leaf_pivot(i, gh, slopes)
            change = residual[:, self.planes(i)] / self.area
            change += (gh * leaf.exchange)[:, :, None] * cells[:, leaf.start : leaf.stop]
            parts.append(change / pivot[:, :, None])
        return np.concatenate(parts, axis=1)

    # -- plane sums ------------------------------------------------------------------------------------------------------------

    def mean_defect(
        self, known: np.ndarray, sums: np.ndarray, through: np.ndarray, gh: float, slopes: list[np.ndarray]
    ) -> np.ndarray:
        """Return the residual sums (S, plane) that are left after a change with the area-weighted sums (S, plane)."""
        model = self.model
        nx = model.grid[0]
        out = known.copy()
        cells = sums[:, :nx]
        out[:, :nx] -= (model.mass + gh * (model.loss + model.inflow)) * cells
        flow = gh * model.link * (cells[:, :-1] - cells[:, 1:])
        out[:, : nx - 1] -= flow
        out[:, 1:nx] += flow
        for i, leaf in enumerate(model.leaves):
            own, x = self.planes(i), slice(leaf.start, leaf.stop)
            exchange = gh * leaf.exchange * (sums[:, x] - sums[:, own] / leaf.trapping[:, None])
            out[:, x] -= exchange
            out[:, own] += exchange - leaf.mass * sums[:, own]
        for slope, term in zip(slopes, model.reactions, strict=True):
            own = self.range_of(term)
            out[:, own] -= gh * slope * sums[:, own]
        for k, law in enumerate(model.laws):
            out[:, model.port_cell[law.head]] += gh * through[:, k]
            if law.tail != BLOOD:
                out[:, model.port_cell[law.tail]] -= gh * through[:, k]
        return out

    def fold_sums(self, defect: np.ndarray, gh: float, slopes: list[np.ndarray]) -> np.ndarray:
        """Eliminate the leaves from plane sums (S, plane); return those of the cells (S, nx)."""
        return self.fold_leaves(defect[:, :, None], gh, slopes)[:, :, 0]

    def unfold_sums(self, lift: np.ndarray, defect: np.ndarray, gh: float, slopes: list[np.ndarray], area: float) -> np.ndarray:
        """Return the uniform change of every plane (S, plane) from that of the cells (S, nx)."""
        parts = [lift]
        for i, leaf in enumerate(self.model.leaves):
            pivot = self.leaf_pivot(i, gh, slopes)
            parts.append((defect[:, self.planes(i)] / area + gh * leaf.exchange * lift[:, leaf.start : leaf.stop]) / pivot)
        return np.concatenate(parts, axis=1)

    # -- explicit steps --------------------------------------------------------------------------------------------------------

    def stability_limit_s(self) -> float:
        """Return the largest stable step of forward Euler [s]."""
        model = self.model
        slopes = self.mean_slopes(np.zeros((len(model.species), self.model.unknowns // model.faces, model.faces)))
        steepest = []
        for axis in (model.y, model.z):
            link = axis.link_1_m
            steepest.append(float(((link[1:] + link[:-1]) / axis.width_m).max()))
        out = model.loss + model.inflow + model.lateral * sum(steepest)
        out[:, :-1] += model.link
        out[:, 1:] += model.link
        for p, cell in enumerate(model.port_cell):
            out[:, cell] += 1.0 / model.port_half[p]
        for slope, term in zip(slopes, model.reactions, strict=True):
            if term.leaf is None:
                out[:, term.start : term.stop] += slope
        limit = float((model.mass / np.maximum(out, 1e-300)).min())
        for i, leaf in enumerate(model.leaves):
            out[:, leaf.start : leaf.stop] += leaf.exchange
            away = leaf.exchange / leaf.trapping[:, None] + self._added(i, slopes)
            limit = min(limit, float((leaf.mass / np.maximum(away, 1e-300)).min()))
        limit = min(limit, float((model.mass / np.maximum(out, 1e-300)).min()))
        return limit if math.isfinite(limit) else math.inf
