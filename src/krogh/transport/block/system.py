"""Serve a block to the steppers: residual in flux form, one pass through the volume per stage, Newton on the membranes."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from krogh.transport.block.alternating import Alternating
from krogh.transport.block.base import BlockBase, Known
from krogh.transport.block.flows import Flows, Linearised
from krogh.transport.block.forward import Forward
from krogh.transport.block.kernels import held_and_residual, plane_sums
from krogh.transport.block.laws import Laws, LawValues
from krogh.transport.block.model import BlockModel
from krogh.transport.block.modes import Modes
from krogh.transport.block.planes import PlaneResult, Planes, Reference
from krogh.transport.block.uneven import even_maps, spread_maps
from krogh.transport.system import Stage

if TYPE_CHECKING:
    from krogh.transport.adjoint.system import AdjointSystem

__all__ = ["BlockSystem"]

_KEPT_FACTORS = 4
_MOST_PASSES = 25


class BlockSystem(BlockBase):
    """Solve the stages of a block.

    Parameters
    ----------
    model : BlockModel
        The coefficients.
    tolerance : float
        Largest error of a membrane flux over the largest flux; mass is kept to round-off whatever it is.
    """

    def __init__(self, model: BlockModel, *, tolerance: float = 1e-7) -> None:
        super().__init__(model, Laws(model), Flows(model), tolerance)
        self.modes = Modes(model.y, model.z)
        self._factors: OrderedDict[float, tuple[Planes, list[np.ndarray]]] = OrderedDict()
        zero = np.zeros((self.laws.ports, self.shape[1], model.faces))
        self._reference = Reference.of(model, self.laws, self.laws.evaluate(zero, np.zeros(self.shape[1])))

    @cached_property
    def capacity(self) -> np.ndarray:
        """Return the amount per free concentration (1, S, N) [m3]."""
        model, area = self.model, self.model.area_m2.ravel()
        parts = [model.mass, *(leaf.mass for leaf in model.leaves)]
        return np.stack([np.concatenate([(p[s][:, None] * area).ravel() for p in parts]) for s in range(self.shape[1])])[None]

    # -- System ----------------------------------------------------------------------------------------------------------------

    def stage(self, gh: float, r: np.ndarray, guess: np.ndarray, blood: np.ndarray) -> Stage:
        """Solve ``C U - gh F(U) = r``: one pass where the bulk is linear, a few where reactions saturate or species follow."""
        c, u = blood[0], self.planes_of(guess)
        known = self._known if self._known is not None and self._known.u is guess else self._fluxes(guess, c)
        flux, right = known.flux, self.planes_of(r)
        iterations = products = 0
        for _ in range(_MOST_PASSES):
            planes, slopes = self.factor(gh, u)
            uptake = self.flows.uptake(u, slopes)
            residual = self.flows.residual(u, right, gh, c, flux, uptake)
            u, flux, values, result = self._pass(planes, slopes, residual, u, flux, c)
            iterations, products = iterations + result.newton, products + result.products
            self.work = (iterations, products)
            if not result.converged:
                return Stage(guess, np.zeros(0), False, iterations)
            left = self.flows.mismatch(u, uptake, slopes, gh)
            if left <= self.tolerance and self._kept(residual, u):
                return self._finish(u, flux, values, c, (uptake, slopes), iterations)
            if left > 1e6 or not np.isfinite(left):
                break
            self._watch(gh, u, slopes)
        return Stage(guess, np.zeros(0), False, iterations)

    def filter(self, gh: float, u: np.ndarray, blood: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return one linear solve, loose on the membranes."""
        known = self._known if self._known is not None and self._known.u is u else self._fluxes(u, blood[0])
        state = self.planes_of(u)
        planes, slopes = self.factor(gh, state)
        rest = self.planes_of(error).copy()
        right = self.flows.fold_leaves(rest, gh, slopes)
        modes, change = planes.inward(right)
        q = planes.linear(change, known.values, tolerance=0.1) if self.laws.count else np.zeros_like(known.flux)
        cells = planes.outward(modes, q)
        return self.flows.unfold_leaves(cells, rest, gh, slopes).reshape(self.shape)

    def alternating(self) -> Alternating:
        """Return steps by alternating directions."""
        return Alternating(self.model, spread_maps(self.model, even_maps(self.model)))

    def forward(self) -> Forward:
        """Return steps of forward Euler in one pass over the cells."""
        return Forward(self.model, self.laws, self.flows)

    def refresh(self) -> None:
        """Drop kept factors."""
        self._factors.clear()
        self._known = None

    def adjoint(self) -> AdjointSystem:
        """Return the transposed derivatives of F."""
        from krogh.transport.block.adjoint import BlockAdjoint

        return BlockAdjoint(self)

    # -- pieces ----------------------------------------------------------------------------------------------------------------

    def factor(self, gh: float, u: np.ndarray) -> tuple[Planes, list[np.ndarray]]:
        """Return the factors for gh, and the mean slopes of the reactions that are in them."""
        held = self._factors.get(gh)
        if held is None:
            slopes = self.flows.mean_slopes(u)
            diagonal = self.flows.diagonal(gh, slopes)
            held = (Planes(self.model, self.modes, self.laws, self._reference, gh, diagonal), slopes)
            self._factors[gh] = held
            if len(self._factors) > _KEPT_FACTORS:
                self._factors.popitem(last=False)
        self._factors.move_to_end(gh)
        return held

    def _watch(self, gh: float, u: np.ndarray, slopes: list[np.ndarray]) -> None:
        """Drop the factors for gh where the reactions have moved away from the slopes in them."""
        for now, then in zip(self.flows.mean_slopes(u), slopes, strict=True):
            if np.any(np.abs(now - then) > 0.05 * np.abs(then) + 1e-300):
                self._factors.pop(gh, None)
                return

    def _pass(
        self,
        planes: Planes,
        slopes: list[np.ndarray],
        residual: np.ndarray,
        u: np.ndarray,
        flux: np.ndarray,
        blood: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, LawValues, PlaneResult]:
        """Return the state after one linear pass with exact membranes: (u, fluxes, law values, how it went)."""
        gh, model = planes.gh, self.model
        cells = u[:, model.port_cell].transpose(1, 0, 2)
        right = self.flows.fold_leaves(residual, gh, slopes)
        modes, change = planes.inward(right)
        q, result = planes.newton(change, cells, flux, blood, tolerance=self.tolerance)
        step = self.flows.unfold_leaves(planes.outward(modes, q), residual, gh, slopes)
        lift, shift = self._balance(planes, slopes, residual, step, result.flux - flux)
        step += lift[:, :, None]
        step += u
        return step, result.flux + shift, result.values, result

    def _balance(
        self, planes: Planes, slopes: list[np.ndarray], residual: np.ndarray, step: np.ndarray, through: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the elimination lost to round-off, plane by plane: no mass is lost at any step size.

        A uniform change of every plane (S, plane) and of every flux (K, S, 1) that closes the sums of the residual.
        """
        gh, area = planes.gh, planes.area
        total, ones = float(area.sum()), np.ones_like(area)
        sums = np.stack([plane_sums(step[s], area) for s in range(step.shape[0])])
        known = np.stack([plane_sums(residual[s], ones) for s in range(step.shape[0])])
        crossed = np.stack([plane_sums(d, area) for d in through.transpose(1, 0, 2)])
        lift, shift = np.zeros_like(sums), np.zeros((through.shape[0], through.shape[1], 1))
        for _ in range(2):
            defect = self.flows.mean_defect(known, sums + lift * total, crossed + shift[:, :, 0].T * total, gh, slopes)
            cells = planes.solve_mean(self.flows.fold_sums(defect, gh, slopes))
            shift += planes.reference_flux(cells[:, self.model.port_cell].T[:, :, None])
            lift += self.flows.unfold_sums(cells, defect, gh, slopes, total)
        return lift, shift

    def _kept(self, residual: np.ndarray, u: np.ndarray) -> bool:
        """Return whether the round-off of `residual` is small against what the block holds; else another pass is due."""
        mass, area = self.plane_capacity, self.flows.area
        sizes = [held_and_residual(u[s], residual[s], mass[s], area) for s in range(u.shape[0])]
        return all(1e-16 * lost <= 1e-15 * held + 1e-300 for held, lost in sizes)

    def _finish(
        self,
        u: np.ndarray,
        flux: np.ndarray,
        values: LawValues,
        blood: np.ndarray,
        linearised: Linearised,
        iterations: int,
    ) -> Stage:
        state = u.reshape(self.shape)
        self._known = Known(state, flux, values)
        rows = self.flows.ledger(u, blood, flux, self._ports_of(self._known, state), linearised)
        return Stage(state, rows[None], True, iterations)
