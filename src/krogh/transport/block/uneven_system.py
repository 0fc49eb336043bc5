"""Serve a block whose tissue differs from cell to cell: Newton's method on cells and fluxes, mass closed at the end."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from krogh.transport.block.base import BlockBase, Known
from krogh.transport.block.flows import Linearised
from krogh.transport.block.gains import gains_of
from krogh.transport.block.laws import Laws
from krogh.transport.block.model import BlockModel
from krogh.transport.block.multigrid import LineMultigrid
from krogh.transport.block.uneven import TissueMaps, spread_maps
from krogh.transport.block.uneven_flows import UnevenFlows
from krogh.transport.block.uneven_stage import UnevenMatrix
from krogh.transport.system import Stage

if TYPE_CHECKING:
    from krogh.transport.adjoint.system import AdjointSystem

__all__ = ["UnevenSystem"]

_MOST_PASSES = 30
#: Accuracy of linear solves, over the change that they find, while fluxes or reactions still move.
_LOOSE = 1e-2


class UnevenSystem(BlockBase):
    """Solve the stages of a block with maps on its tissue.

    Parameters
    ----------
    model : BlockModel
        The layered coefficients.
    maps : TissueMaps
        How the cells differ.
    tolerance : float
        Largest error of a concentration, and of a membrane flux, over the largest; mass is kept to round-off whatever it is.
    """

    def __init__(self, model: BlockModel, maps: TissueMaps, *, tolerance: float = 1e-7) -> None:
        self.uneven = spread_maps(model, maps)
        self.tissue = UnevenFlows(model, self.uneven)
        super().__init__(model, Laws(model, self.uneven.port_half), self.tissue, tolerance)
        c, y, z = self.uneven, model.y.width_m, model.z.width_m
        self._levels = [LineMultigrid.levels_of(c.ty[s], c.tz[s], y, z) for s in range(self.shape[1])]
        self._grids: tuple[float, list[LineMultigrid]] | None = None
        self._usual = 0
        #: Whether the laws of the last stage held after its first linear solve: then the next is solved to the end at once.
        self._gentle = True

    @cached_property
    def capacity(self) -> np.ndarray:
        """Return the amount per free concentration (1, S, N) [m3]."""
        whole = np.concatenate([self.uneven.mass, *self.uneven.leaf_mass], axis=1) * self.model.area_m2.ravel()
        return whole.reshape(self.shape)

    @cached_property
    def plane_capacity(self) -> np.ndarray:
        """Return the capacity of the planes per barrier area (S, plane) [m]."""
        return np.asarray(self.planes_of(self.capacity).sum(-1) / self.model.area_m2.sum())

    def plane_means(self, u: np.ndarray) -> np.ndarray:
        """Return the means over each plane, weighted by capacity, of a state: (1, S, plane)."""
        held = np.einsum("spf,spf->sp", self.planes_of(self.capacity), self.planes_of(u))
        return (held / (self.plane_capacity * self.model.area_m2.sum()))[None]

    # -- System ----------------------------------------------------------------------------------------------------------------

    def stage(self, gh: float, r: np.ndarray, guess: np.ndarray, blood: np.ndarray) -> Stage:
        """Solve ``C U - gh F(U) = r``: one linear solve where everything is linear, a few where not."""
        c, u = blood[0], self.planes_of(guess)
        known = self._known if self._known is not None and self._known.u is guess else self._fluxes(guess, c)
        flux, values, right = known.flux, known.values, self.planes_of(r)
        share, products = (0.0 if self._gentle else _LOOSE), 0
        for iteration in range(1, _MOST_PASSES + 1):
            slopes = self.tissue.slopes(u)
            uptake = self.tissue.uptake(u, slopes)
            residual = self.tissue.residual(u, right, gh, c, flux, uptake)
            gains = gains_of(self.laws, values, values.flux - flux)
            matrix = UnevenMatrix(self.laws, self.uneven, gains, gh, self.tissue.diagonal(gh, slopes))
            step, count, good = self._solve(matrix, residual, slopes, u, share)
            products += count
            self.work = (iteration, products)
            if not (good and np.all(np.isfinite(step))):
                break
            flux = flux + gains.own + matrix.through(step[:, : self.model.grid[0]])
            u = u + step
            ports = self._cells(u)
            values = self.laws.evaluate(self.laws.traces(ports, flux), c)
            holds = self._holds(values.flux, flux, values.size) and self.tissue.mismatch(u, uptake, slopes, gh) <= self.tolerance
            if iteration == 1:
                self._gentle = holds
            # a share of a small change is as little as the tolerance of the state
            if holds and np.all(share * np.abs(step).max((1, 2)) <= self.tolerance * np.abs(u).max((1, 2))):
                return self._finish(gh, right, u, matrix, flux, c, (uptake, slopes), iteration)
            share = _LOOSE
        return Stage(guess, np.zeros(0), False, iteration)

    def filter(self, gh: float, u: np.ndarray, blood: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return one loose linear solve."""
        known = self._known if self._known is not None and self._known.u is u else self._fluxes(u, blood[0])
        slopes = self.tissue.slopes(self.planes_of(u))
        gains = gains_of(self.laws, known.values, np.zeros_like(known.flux))
        matrix = UnevenMatrix(self.laws, self.uneven, gains, gh, self.tissue.diagonal(gh, slopes))
        step, _, _ = self._solve(matrix, self.planes_of(error), slopes, np.zeros_like(self.planes_of(u)), 0.1)
        return step.reshape(self.shape)

    def refresh(self) -> None:
        """Drop what is kept."""
        self._grids, self._known = None, None

    def adjoint(self) -> AdjointSystem:
        """Return the transposed derivatives of F."""
        from krogh.transport.block.uneven_adjoint import UnevenAdjoint

        return UnevenAdjoint(self, self._levels)

    # -- pieces ----------------------------------------------------------------------------------------------------------------

    def _cells(self, u: np.ndarray) -> np.ndarray:
        return u[:, self.model.port_cell].transpose(1, 0, 2)

    def _holds(self, law: np.ndarray, flux: np.ndarray, size: float) -> bool:
        scale = max(float(np.abs(law).max(initial=0.0)), 1e-4 * size, 1e-300)
        return float(np.abs(law - flux).max(initial=0.0)) <= self.tolerance * scale

    def _solve(
        self, matrix: UnevenMatrix, residual: np.ndarray, slopes: list[np.ndarray], u: np.ndarray, share: float
    ) -> tuple[np.ndarray, int, bool]:
        """Return the change of all planes (S, plane, F); the preconditioner is kept as long as it serves."""
        gh, model, nx = matrix.gh, self.model, self.model.grid[0]
        right = self.tissue.fold_leaves(residual, gh, slopes).copy()
        for k, law in enumerate(model.laws):
            amount = gh * matrix.gains.own[k] * matrix.area
            right[:, model.port_cell[law.head]] += amount
            if law.tail >= 0:
                right[:, model.port_cell[law.tail]] -= amount
        if self._grids is None or self._grids[0] != gh:
            self._grids, self._usual = (gh, matrix.grids(self._levels)), 0
        held = np.abs(u[:, :nx]).max((1, 2))
        x, count, good = matrix.solve(right.reshape(matrix.shape), self._grids[1], held, self.tolerance, share)
        if not good or count > 2 * self._usual + 10 > 10:  # the state has moved away from it
            self._grids = None
            if not good:
                self._grids = (gh, matrix.grids(self._levels))
                x, count, good = matrix.solve(right.reshape(matrix.shape), self._grids[1], held, self.tolerance, share)
        self._usual = max(self._usual, count)
        return self.tissue.unfold_leaves(x.reshape(right.shape), residual, gh, slopes), count, good

    def _finish(
        self,
        gh: float,
        right: np.ndarray,
        u: np.ndarray,
        matrix: UnevenMatrix,
        flux: np.ndarray,
        blood: np.ndarray,
        linearised: Linearised,
        iterations: int,
    ) -> Stage:
        """Close the mass balance that the Krylov method left open to its tolerance, and count the flows that belong to it.

        Every species is multiplied by one number near 1, fluxes and reactions following in their linearised form: what the block
        holds then equals what came in and went out.
        """
        signs, before = self.flows.signs, right.sum((1, 2))
        capacity = self.capacity[0].reshape(u.shape)
        for _ in range(4):
            ports = self.laws.traces(self._cells(u), flux)
            rows = self.flows.ledger(u, blood, flux, ports, linearised)
            held = np.einsum("spf,spf->s", capacity, u)
            defect = before + gh * rows @ signs - held
            if np.all(np.abs(defect) <= 2e-16 * np.abs(held)):
                break
            through = matrix.through(u[:, : self.model.grid[0]])
            weight = held + gh * self.tissue.outflow(u, linearised[1], through)
            part = np.where(weight > 0, defect / np.where(weight > 0, weight, 1.0), 0.0)[:, None, None]
            flux = flux + matrix.through(part * u[:, : self.model.grid[0]])
            u = u + part * u
        state = u.reshape(self.shape)
        values = self.laws.evaluate(self.laws.traces(self._cells(u), flux), blood)
        self._known = Known(state, flux, values)
        return Stage(state, rows[None], True, iterations)
