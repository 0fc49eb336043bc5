"""Take one step of a block by alternating directions: all that happens along x, then diffusion along y, then along z.

Douglas & Gunn 1964, doi:10.1007/BF01386093, in delta form: with ``a = h/2`` and the Jacobian ``A_x`` (links, membranes, losses,
reactions, cells inside the tissue) at the state that the step starts from,

    (C - a A_x) d1 = h F(u, blood half-way),   (C - a A_y) d2 = C d1,   (C - a A_z) d3 = C d2,   u' = u + d3.

Diffusion along y and z moves no mass out of the block, so what came and went is that of the first stage: the ledger is exact.
"""

from __future__ import annotations

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.block.gains import Gains, gains_of
from krogh.transport.block.laws import Laws, apply_faces, invert_faces
from krogh.transport.block.model import BLOOD, BlockModel
from krogh.transport.block.sides import along_x, along_y, along_z
from krogh.transport.block.uneven import Uneven
from krogh.transport.block.uneven_flows import UnevenFlows

__all__ = ["Alternating"]


class Alternating:
    """Hold what the steps share.

    Parameters
    ----------
    model, uneven : BlockModel, Uneven
        Coefficients by layer, and cell by cell.
    """

    def __init__(self, model: BlockModel, uneven: Uneven) -> None:
        self.model, self.uneven = model, uneven
        self.laws, self.flows = Laws(model, uneven.port_half), UnevenFlows(model, uneven)
        self.area = model.area_m2.ravel()
        self.grid = (len(model.species), *model.grid)
        self._mass = (uneven.mass * self.area).reshape(self.grid)
        self._flux = np.zeros((self.laws.count, self.grid[0], model.faces))
        self._kept: tuple[float, np.ndarray] | None = None
        forming = [any(p is not None for p in term.law.product) for term in model.reactions]
        self._rounds = 1 + sum(forming)

    def step(self, h: float, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the state (S, plane, F) after a step from `u`, and what the ledger's rows gained (S, row).

        Parameters
        ----------
        blood : array (S,)
            Free concentration in blood half-way.

        Raises
        ------
        ConvergenceError
            If the membranes find no balance, or the state is not finite.
        """
        flows, nx, half = self.flows, self.grid[1], 0.5 * h
        flux, values, good = self.laws.solve_traces(self._ports(u), blood, self._flux)
        if not good:
            raise ConvergenceError("membrane faces", got="no balance of the fluxes", hint="use a smaller --step")
        self._flux = flux
        gains, slopes = gains_of(self.laws, values, values.flux - flux), flows.slopes(u)
        rate = h * flows.rate(u, blood, flux)
        pivot = (flows.diagonal(half, slopes) * self.area).reshape(self.grid)
        change, right = np.zeros_like(u), rate
        for _ in range(self._rounds):
            right = rate + half * flows.formed(change, slopes)
            cells, through = self._across(flows.fold_leaves(right, half, slopes), pivot, gains, half)
            change = flows.unfold_leaves(cells, right, half, slopes)
        middle, passing = u + 0.5 * change, flux + 0.5 * through
        ports = self.laws.traces(self._ports(middle), passing)
        rows = flows.ledger(middle, blood, passing, ports, (flows.uptake(u, slopes), slopes))
        flows.add_formed(rows, 0.5 * change, slopes)
        inner = np.ascontiguousarray(change[:, :nx]).reshape(self.grid)
        for s in range(self.grid[0]):
            along_y(inner[s], self._mass[s], self.uneven.ty[s], half)
            along_z(inner[s], self._mass[s], self.uneven.tz[s], half)
        new = u + change
        new[:, :nx] = u[:, :nx] + inner.reshape(self.grid[0], nx, -1)
        if not np.all(np.isfinite(new)):
            raise ConvergenceError(
                "alternating directions", got="a concentration that is not finite", hint="use a smaller --step"
            )
        return new, h * rows

    def _ports(self, u: np.ndarray) -> np.ndarray:
        return u[:, self.model.port_cell].transpose(1, 0, 2)

    def _lines(self, right: np.ndarray, pivot: np.ndarray, half: float) -> np.ndarray:
        """Return the solution along x without membranes, (S, nx, F)."""
        out = np.empty(self.grid)
        for s in range(self.grid[0]):
            along_x(np.ascontiguousarray(right[s]).reshape(self.grid[1:]), pivot[s], self.uneven.tx[s], half, out[s])
        return out.reshape(right.shape)

    def _across(self, right: np.ndarray, pivot: np.ndarray, gains: Gains, half: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the change of the cells along x (S, nx, F) and of the fluxes (K, S, F) by the answers of the ports to fluxes."""
        k, s, faces = gains.own.shape
        if not k:
            return self._lines(right, pivot, half), gains.own
        answers = self._answers(pivot, half)  # (P, K, S, F)
        free = self._ports(self._lines(right, pivot, half))
        own = np.einsum("kipjf,pljf->fkilj", gains.cell, answers).reshape(faces, k * s, k * s)
        inverse = invert_faces(np.eye(k * s) - half * own)
        q = apply_faces(inverse, gains.through(free).reshape(k * s, faces)).reshape(k, s, faces)
        loaded = right.copy()
        for n, law in enumerate(self.model.laws):
            amount = half * q[n] * self.area
            loaded[:, self.model.port_cell[law.head]] += amount
            if law.tail != BLOOD:
                loaded[:, self.model.port_cell[law.tail]] -= amount
        return self._lines(loaded, pivot, half), q

    def _answers(self, pivot: np.ndarray, half: float) -> np.ndarray:
        """Return how the cells behind the ports answer unit fluxes, (P, K, S, F); kept while the lines stay the same."""
        if self._kept is not None and self._kept[0] == half and not self.model.reactions:
            return self._kept[1]
        found = []
        for law in self.model.laws:
            unit = np.zeros((self.grid[0], self.grid[1], self.model.faces))
            unit[:, self.model.port_cell[law.head]] += self.area
            if law.tail != BLOOD:
                unit[:, self.model.port_cell[law.tail]] -= self.area
            found.append(self._ports(self._lines(unit, pivot, half)))
        self._kept = (half, np.stack(found, axis=1))
        return self._kept[1]
