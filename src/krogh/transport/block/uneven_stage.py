"""Solve one linear system of an uneven block: membranes eliminated face by face, the volume by multigrid and a Krylov method.

For fixed cells the fluxes of a face answer a small system; so the linearised laws are a matrix ``gain`` per face between the
cells behind the ports, and the whole is symmetric wherever every law is. Then conjugate gradients serve; else (ion trapping,
saturable carriers, species that act on each other) GMRES with the same preconditioner.
"""

from __future__ import annotations

import numpy as np

from krogh.transport.block.gains import Gains
from krogh.transport.block.laws import Laws
from krogh.transport.block.lines import uneven_product
from krogh.transport.block.model import BLOOD
from krogh.transport.block.multigrid import Lateral, LineMultigrid
from krogh.transport.block.uneven import Uneven
from krogh.transport.linear.cg import conjugate_gradients
from krogh.transport.linear.gmres import gmres

__all__ = ["UnevenMatrix"]

_MOST_PRODUCTS = 1500
#: Preconditioned residuals estimate the error; they are asked to be this much smaller.
_MARGIN = 0.1


def _symmetric(laws: Laws, gains: Gains) -> bool:
    """Return whether the fluxes are a symmetric matrix between the cells behind the ports."""
    if gains.cell.shape[1] > 1:
        return False
    whole = np.einsum("pk,kqf->pqf", laws.sides, gains.cell[:, 0, :, 0])
    return bool(np.abs(whole - whole.transpose(1, 0, 2)).max(initial=0.0) <= 1e-12 * np.abs(whole).max(initial=0.0))


class UnevenMatrix:
    """Hold ``C + gh (L - membranes)`` of the cells at one state.

    Parameters
    ----------
    pivot : array (S, nx, F)
        Diagonal per area without couplings, leaves eliminated.
    """

    def __init__(self, laws: Laws, uneven: Uneven, gains: Gains, gh: float, pivot: np.ndarray) -> None:
        self.model = model = laws.model
        self.uneven, self.gains, self.gh = uneven, gains, gh
        self.symmetric = _symmetric(laws, gains)
        self.area = model.area_m2.ravel()
        self.shape = (len(model.species), *model.grid)
        self.pivot = (pivot * self.area).reshape(self.shape)

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return the matrix times x (S, nx, ny, nz)."""
        c, model = self.uneven, self.model
        out = np.empty_like(x)
        for s in range(self.shape[0]):
            uneven_product(x[s], self.pivot[s], self.gh, c.tx[s], c.ty[s], c.tz[s], out[s])
        flat = (*self.shape[:2], -1)
        if model.laws:
            self.add_laws(out.reshape(flat), x.reshape(flat))
        return out

    def add_laws(self, out: np.ndarray, x: np.ndarray) -> None:
        """Add what the membranes take at x (S, nx, F) to `out`."""
        through = self.through(x)
        for k, law in enumerate(self.model.laws):
            amount = self.gh * through[k] * self.area
            out[:, self.model.port_cell[law.head]] -= amount
            if law.tail != BLOOD:
                out[:, self.model.port_cell[law.tail]] += amount

    def through(self, x: np.ndarray) -> np.ndarray:
        """Return the fluxes (K, S, F) that a change x of the cells causes."""
        return self.gains.through(x.reshape(*self.shape[:2], -1)[:, self.model.port_cell].transpose(1, 0, 2))

    def grids(self, levels: list[list[Lateral]]) -> list[LineMultigrid]:
        """Return the preconditioner of every species."""
        return [LineMultigrid(levels[s], self.gh, *self.lines(s)) for s in range(self.shape[0])]

    def lines(self, s: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows of the lines along x: what a law couples past its neighbours is left to the Krylov method."""
        model, lower = self.model, self.gh * self.uneven.tx[s]
        upper, pivot = np.zeros_like(lower), self.pivot[s] + lower
        upper[:-1] = lower[1:]
        pivot[:-1] += lower[1:]
        area = self.gh * model.area_m2
        for k, law in enumerate(model.laws):
            rows = [(int(model.port_cell[law.head]), -area)]
            rows += [(int(model.port_cell[law.tail]), area)] if law.tail != BLOOD else []
            for p, cell in enumerate(model.port_cell):
                gain = self.gains.cell[k, s, p, s].reshape(area.shape)
                for row, weight in rows:
                    if cell == row:
                        pivot[row] += weight * gain
                    elif cell == row - 1:
                        lower[row] -= weight * gain
                    elif cell == row + 1:
                        upper[row] -= weight * gain
        return pivot, lower, upper

    def solve(
        self, right: np.ndarray, grids: list[LineMultigrid], held: np.ndarray, tolerance: float, share: float
    ) -> tuple[np.ndarray, int, bool]:
        """Return (x, products, converged): the error of x is below `tolerance` of the state, or `share` of x itself.

        Parameters
        ----------
        right : array (S, nx, ny, nz)
            Amounts.
        held : array (S,)
            Largest concentration of the state that x changes.
        """

        def precondition(r: np.ndarray) -> np.ndarray:
            return np.stack([grid(r[s]) for s, grid in enumerate(grids)])

        if self.symmetric:

            def enough(x: np.ndarray, z: np.ndarray) -> bool:
                moved = float(np.abs(x).max())
                return float(np.abs(z).max()) <= _MARGIN * max(tolerance * max(float(held[0]), moved), share * moved)

            return conjugate_gradients(self.product, right, precondition, enough=enough, most=_MOST_PRODUCTS)
        # species may differ by orders of magnitude: measure each by what it holds
        first = precondition(right)
        size = np.maximum(held, np.abs(first).max((1, 2, 3)))
        weight = np.where(size > 0, size, 1.0)[:, None, None, None]
        start = (first / weight).ravel()
        length = float(np.linalg.norm(start))
        goal = _MARGIN * max(tolerance * float(np.sqrt(start.size)) / max(length, 1e-300), share)
        if goal >= 1.0:
            return first, 1, True

        def apply(x: np.ndarray) -> np.ndarray:
            return (precondition(self.product(x.reshape(self.shape) * weight)) / weight).ravel()

        x, count, good = gmres(apply, start, None, tolerance=goal, restart=40, most=_MOST_PRODUCTS)
        return x.reshape(self.shape) * weight, count, good
