"""Name and count what enters, leaves, is used and formed in a block: the rows of its ledger.

Arrays of a state are planes (S, plane, F): the x cells first, then those of every leaf (neurons, astrocytes).
"""

from __future__ import annotations

import numpy as np

from krogh.transport.block.kernels import add_uptake, plane_sums
from krogh.transport.block.model import BLOOD, BlockModel, ReactionTerm

__all__ = ["Ledger", "Linearised", "Uptake", "Ways"]

#: What every reaction takes at each of its cells, (S, n, F), and its linearisation point.
Uptake = list[tuple[np.ndarray, np.ndarray]]
#: How the last pass treated the reactions: their uptake and the slopes by which they were continued.
Linearised = tuple[Uptake, list[np.ndarray]]
#: What every route of every law carries inward and outward, summed over the plane, two (S,) each.
Ways = list[tuple[np.ndarray, np.ndarray]]


class Ledger:
    """Count the flows of a model."""

    def __init__(self, model: BlockModel) -> None:
        self.model = model
        self.area = model.area_m2.ravel()
        self.names = self._names()
        self.signs = np.array([sign for _, sign in self.names], dtype=float)

    def planes(self, leaf: int) -> slice:
        """Return where the planes of a leaf are."""
        start = self.model.leaf_offset(leaf)
        return slice(start, start + self.model.leaves[leaf].stop - self.model.leaves[leaf].start)

    def range_of(self, term: ReactionTerm) -> slice:
        """Return the planes of a reaction."""
        return slice(term.start, term.stop) if term.leaf is None else self.planes(term.leaf)

    def _names(self) -> tuple[tuple[str, int], ...]:
        names: list[tuple[str, int]] = []
        for law in self.model.laws:
            for route in law.routes:
                key, sign = f"{route.name}@{law.where}", int(law.crosses_blood)
                names += [(f"in:{key}", sign), (f"out:{key}", -sign)]
        names += [("in:blood flow", 1), ("out:blood flow", -1)]
        names += [(f"loss:{medium}", -1) for medium in self.model.media]
        for term in self.model.reactions:
            names += [(f"used:{term.law.name}@{term.where}", -1), (f"formed:{term.law.name}@{term.where}", 1)]
        return tuple(names)

    def ledger(
        self, u: np.ndarray, blood: np.ndarray, flux: np.ndarray, ports: np.ndarray, linearised: Linearised | None = None
    ) -> np.ndarray:
        """Return the rate of every row (S, row) [mol/s]; the routes of a law add up to the flux that the stage used."""
        out, row = self._crossed(flux, self._ways(blood, ports))
        row = self._ledger_first_order(out, row, u, blood)
        self._ledger_reactions(out, row, u, linearised)
        return out

    def rows(self, u: np.ndarray, blood: np.ndarray, flux: np.ndarray, ways: Ways, sums: np.ndarray) -> np.ndarray:
        """Return the same of a layered block where the routes' flows and the plane sums of the cells (S, nx) are known."""
        out, row = self._crossed(flux, ways)
        row = self.first_order(out, row, sums, blood)
        self._ledger_reactions(out, row, u, None)
        return out

    def _ways(self, blood: np.ndarray, ports: np.ndarray) -> Ways:
        found: Ways = []
        for law in self.model.laws:
            tail = np.broadcast_to(blood[:, None], ports.shape[1:]) if law.tail == BLOOD else ports[law.tail]
            for route in law.routes:
                inward, outward, _, _ = route.flux(tail[None], ports[law.head][None])
                found.append(((np.asarray(inward)[0] * self.area).sum(-1), (np.asarray(outward)[0] * self.area).sum(-1)))
        return found

    def _crossed(self, flux: np.ndarray, ways: Ways) -> tuple[np.ndarray, int]:
        """Return a new table (S, row) with the rows of the routes, and the next row."""
        out, row = np.zeros((flux.shape[1], len(self.names))), 0
        for k, law in enumerate(self.model.laws):
            net, first = np.zeros(flux.shape[1]), row
            for _ in law.routes:
                out[:, row], out[:, row + 1] = ways[row // 2]
                net += out[:, row] - out[:, row + 1]
                row += 2
            # the law holds to the tolerance of Newton's method; the rest belongs to its first route
            rest = (flux[k] * self.area).sum(-1) - net
            out[:, first] += np.maximum(rest, 0.0)
            out[:, first + 1] += np.maximum(-rest, 0.0)
        return out, row

    def _ledger_first_order(self, out: np.ndarray, row: int, u: np.ndarray, blood: np.ndarray) -> int:
        nx = self.model.grid[0]
        return self.first_order(out, row, np.stack([plane_sums(x[:nx], self.area) for x in u]), blood)

    def first_order(self, out: np.ndarray, row: int, sums: np.ndarray, blood: np.ndarray) -> int:
        """Add exchange with the blood reservoir and losses for plane sums (S, nx); return the next row."""
        model, nx = self.model, self.model.grid[0]
        out[:, row] = (model.inflow * blood[:, None]).sum(-1) * self.area.sum()
        out[:, row + 1] = (model.inflow * sums).sum(-1)
        row += 2
        for planes in model.media.values():
            own = planes[planes < nx]
            out[:, row] = (model.loss[:, own] * sums[:, own]).sum(-1)
            row += 1
        return row

    def _ledger_reactions(self, out: np.ndarray, row: int, u: np.ndarray, linearised: Linearised | None) -> None:
        """Add what reactions take, by the linearisation that the last pass used, and form, by the state before it."""
        for i, term in enumerate(self.model.reactions):
            own = self.range_of(term)
            for s, product in enumerate(term.law.product):
                if linearised is None:
                    taken = formed = self._sums(term, s, u[s, own]).sum()
                else:
                    before, state = linearised[0][i]
                    change = self._changed(linearised[1][i][s], u[s, own], state[s])
                    formed = before[s].sum()
                    taken = formed + change
                out[s, row] += taken
                if product is not None:
                    out[product, row + 1] += formed
            row += 2

    def _changed(self, slope: np.ndarray, new: np.ndarray, old: np.ndarray) -> float:
        """Return by how much a reaction with these slopes takes more from `new` (n, F) than from `old`."""
        return float((slope * (plane_sums(new, self.area) - plane_sums(old, self.area))).sum())

    def _sums(self, term: ReactionTerm, s: int, u: np.ndarray) -> np.ndarray:
        if not np.any(term.rate[s] > 0):
            return np.zeros(u.shape[0])
        taken = np.zeros_like(u)
        add_uptake(u, term.rate[s], term.inverse_km[s], self.area, 1.0, taken)
        return plane_sums(taken, np.ones_like(self.area))
