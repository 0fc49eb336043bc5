"""Serve a block to the steppers from a torch device: the stages of :class:`~krogh.transport.block.system.BlockSystem`.

States stay on the device as :class:`~krogh.transport.block.device.arrays.DeviceArray`; the processor sees sums over planes and
the few numbers that decide when an iteration ends.

With float32 the solves through the volume have seven digits. States, residuals, fluxes and the balance are float64, and a pass is
repeated on the residual of the last one until the correction is below the tolerance: iterative refinement.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch

from krogh.errors import ConvergenceError, InputError
from krogh.transport.block.base import BlockBase
from krogh.transport.block.device.arrays import DeviceArray, on_device
from krogh.transport.block.device.flows import DeviceFlows
from krogh.transport.block.device.laws import DeviceLaws, DeviceValues
from krogh.transport.block.device.place import Place
from krogh.transport.block.device.planes import DeviceModes, DevicePlanes, DeviceResult
from krogh.transport.block.flows import Flows
from krogh.transport.block.laws import Laws
from krogh.transport.block.model import BlockModel
from krogh.transport.block.planes import Reference
from krogh.transport.system import Stage

__all__ = ["DeviceSystem"]

_KEPT_FACTORS = 4
_MOST_PASSES = 25


@dataclass(frozen=True)
class _Known:
    """A state with the membrane fluxes that belong to it."""

    u: DeviceArray
    flux: torch.Tensor
    values: DeviceValues


class DeviceSystem(BlockBase):
    """Solve the stages of a layered block on a device.

    Parameters
    ----------
    model : BlockModel
        The coefficients.
    place : Place
        Device and precision.
    tolerance : float
        Largest error of a membrane flux over the largest flux, and with float32 the largest last correction of a concentration
        over the largest; mass is kept to round-off whatever it is.
    """

    def __init__(self, model: BlockModel, place: Place, *, tolerance: float = 1e-7) -> None:
        super().__init__(model, Laws(model), Flows(model), tolerance)
        self.place, self.device = place, torch.device(place.device)
        self.refined = place.precision == "float32"
        self.modes = DeviceModes(model.y, model.z, self.device, place.work)
        self._laws = DeviceLaws(self.laws, self.device)
        self._flows = DeviceFlows(self.flows, self._laws)
        self._factors: OrderedDict[float, tuple[DevicePlanes, list[np.ndarray]]] = OrderedDict()
        zero = np.zeros((self.laws.ports, self.shape[1], model.faces))
        self._reference = Reference.of(model, self.laws, self.laws.evaluate(zero, np.zeros(self.shape[1])))
        self._last: _Known | None = None
        #: Largest residual of a stage, sum |r - C u + gh F| over sum |C u|; formed with float32 only, where it says something.
        self.worst_residual = 0.0

    @cached_property
    def capacity(self) -> Any:
        """Return the amount per free concentration (1, S, N) [m3]."""
        mass = torch.tensor(self.plane_capacity, device=self.device)
        return DeviceArray((mass[:, :, None] * self._flows.area).reshape(self.shape))

    def plane_means(self, u: Any) -> np.ndarray:
        """Return the means over each plane, weighted by capacity, of a state: (1, S, plane)."""
        return self._flows.sums(self._planes(u)).cpu().numpy()[None] / self.model.area_m2.sum()

    def return_deficits(self, u: DeviceArray) -> float:
        """Do what :func:`krogh.transport.flows.return_deficits` does; return NaN where a value is not finite, else 0."""
        planes, mass, parent = self._planes(u), self.plane_capacity, self.parent_plane
        for p in range(planes.shape[1] - 1, 0, -1):
            deficit = planes[:, p].clamp(max=0.0)
            planes[:, parent[p]] += deficit * self._send(mass[:, p] / mass[:, parent[p]])[:, None]
            planes[:, p] -= deficit
        return 0.0 if bool(torch.isfinite(planes).all()) else np.nan

    # -- System ----------------------------------------------------------------------------------------------------------------

    def consistent(self, u: Any, blood: np.ndarray) -> Any:
        """Return `u` on the device: a block has no unknown without storage."""
        return on_device(u, self.device)

    def start(self, u: Any, blood: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return F and the ledger rates, with every law solved face by face."""
        state = on_device(u, self.device)
        known, planes = self._fluxes(state, blood[0]), self._planes(state)
        f = self._flows.residual(planes, None, 1.0, self._send(blood[0]), known.flux)
        flows = self._flows.ledger(planes, blood[0], known.flux, self._laws.traces(self._ports(planes), known.flux))
        return DeviceArray(f.reshape(self.shape)), flows[None]

    def stage(self, gh: float, r: Any, guess: Any, blood: np.ndarray) -> Stage:
        """Solve ``C U - gh F(U) = r``: one pass where the bulk is linear, more where it is not, or where digits are added."""
        guess = on_device(guess, self.device)
        c, u, right = self._send(blood[0]), self._planes(guess), self._planes(on_device(r, self.device))
        flux = self._known_of(guess, blood[0]).flux
        iterations = products = 0
        failed = Stage(cast(Any, guess), np.zeros(0), False, iterations)
        for _ in range(_MOST_PASSES):
            planes, slopes = self.factor(gh, u)
            uptake = self._flows.uptake(u)
            residual = self._flows.residual(u, right, gh, c, flux)
            u, step, flux, result = self._pass(planes, slopes, residual, u, flux, c)
            iterations, products = iterations + result.newton, products + result.products
            self.work = (iterations, products)
            if not result.converged:
                return failed
            left = self._flows.mismatch(u, uptake, slopes, gh)
            values = result.values
            if self.refined:
                values = self._laws.evaluate(self._laws.traces(self._ports(u), flux), c)
                left = max(left, self._moved(step, u), self._laws.misfit(values, flux))
            if left <= self.tolerance and self._kept(residual, u):
                if self.refined:
                    self._note_residual(self._flows.residual(u, right, gh, c, flux), u)
                return self._finish(u, flux, values, blood[0], (uptake, slopes), iterations)
            if left > 1e6 or not np.isfinite(left):
                break
            self._watch(gh, u, slopes)
        return failed

    def filter(self, gh: float, u: Any, blood: np.ndarray, error: Any) -> Any:
        """Return one linear solve, loose on the membranes."""
        state = on_device(u, self.device)
        known, rest = self._known_of(state, blood[0]), self._planes(on_device(error, self.device))
        planes, slopes = self.factor(gh, self._planes(state))
        modes, change = planes.inward(self._flows.fold_leaves(rest, gh, slopes))
        q = planes.linear(change, known.values, tolerance=0.1) if self._laws.count else torch.zeros_like(known.flux)
        return DeviceArray(self._flows.unfold_leaves(planes.outward(modes, q), rest, gh, slopes).reshape(self.shape))

    def refresh(self) -> None:
        """Drop kept factors."""
        self._factors.clear()
        self._last = None

    def adjoint(self) -> Any:
        """Refuse: gradients run on the processor."""
        raise InputError("gradient", got="a block on a torch device", expected="the processor", hint="leave --device out")

    # -- pieces ----------------------------------------------------------------------------------------------------------------

    def factor(self, gh: float, u: torch.Tensor) -> tuple[DevicePlanes, list[np.ndarray]]:
        """Return the factors for gh, and the mean slopes of the reactions that are in them."""
        held = self._factors.get(gh)
        if held is None:
            slopes = self._flows.mean_slopes(u)
            if len(self._factors) >= _KEPT_FACTORS:
                self._factors.popitem(last=False)
            diagonal = self.flows.diagonal(gh, slopes)
            held = (DevicePlanes(self.model, self.modes, self._laws, self._reference, gh, diagonal), slopes)
            self._factors[gh] = held
        self._factors.move_to_end(gh)
        return held

    def _watch(self, gh: float, u: torch.Tensor, slopes: list[np.ndarray]) -> None:
        """Drop the factors for gh where the reactions have moved away from the slopes in them."""
        for now, then in zip(self._flows.mean_slopes(u), slopes, strict=True):
            if np.any(np.abs(now - then) > 0.05 * np.abs(then) + 1e-300):
                self._factors.pop(gh, None)
                return

    def _pass(
        self, planes: DevicePlanes, slopes: list[np.ndarray], residual: torch.Tensor, u: torch.Tensor, flux: torch.Tensor,
        blood: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, DeviceResult]:  # fmt: skip
        """Return (state, its change, fluxes, how it went) after one linear pass with exact membranes."""
        modes, change = planes.inward(self._flows.fold_leaves(residual, planes.gh, slopes))
        q, result = planes.newton(change, self._ports(u), flux, blood, tolerance=self.tolerance)
        step = self._flows.unfold_leaves(planes.outward(modes, q), residual, planes.gh, slopes)
        lift, shift = self._balance(planes, slopes, residual, step, result.flux - flux)
        step += self._send(lift)[:, :, None]
        return u + step, step, result.flux + self._send(shift), result

    def _balance(
        self, planes: DevicePlanes, slopes: list[np.ndarray], residual: torch.Tensor, step: torch.Tensor, through: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the uniform change of every plane (S, plane) and flux (K, S, 1) that closes the sums of the residual."""
        gh, total, count = planes.gh, float(self.model.area_m2.sum()), step.shape[1]
        parts = [self._flows.sums(step), residual.sum(-1), self._flows.sums(through).T]
        sums, known, crossed = np.split(torch.cat(parts, dim=1).cpu().numpy(), [count, 2 * count], axis=1)
        lift, shift = np.zeros_like(sums), np.zeros((*through.shape[:2], 1))
        ref = planes.reference
        for _ in range(2):
            defect = self.flows.mean_defect(known, sums + lift * total, crossed + shift[:, :, 0].T * total, gh, slopes)
            cells = planes.solve_mean(self.flows.fold_sums(defect, gh, slopes))
            ports = cells[:, self.model.port_cell].T
            inside = (self.laws.tails >= 0)[:, None]
            flow = inside * ref.tail * ports[np.maximum(self.laws.tails, 0)] - ref.head * ports[self.laws.heads]
            shift += flow[:, :, None]
            lift += self.flows.unfold_sums(cells, defect, gh, slopes, total)
        return lift, shift

    def _finish(
        self, u: torch.Tensor, flux: torch.Tensor, values: DeviceValues, blood: np.ndarray, linearised: Any, iterations: int
    ) -> Stage:
        state = DeviceArray(u.reshape(self.shape))
        self._last = _Known(state, flux, values)
        rows = self._flows.ledger(u, blood, flux, self._laws.traces(self._ports(u), flux), linearised)
        return Stage(cast(Any, state), rows[None], True, iterations)

    # -- measures --------------------------------------------------------------------------------------------------------------

    def _kept(self, residual: torch.Tensor, u: torch.Tensor) -> bool:
        """Return whether the round-off of `residual` is small against what the block holds; else another pass is due."""
        mass = torch.tensor(self.plane_capacity, device=self.device)
        held = (self._flows.sums(u.abs()) * mass).sum(-1)
        lost = torch.linalg.vector_norm(residual, dim=(1, 2))
        return bool((1e-16 * lost <= 1e-15 * held + 1e-300).all())

    @staticmethod
    def _moved(step: torch.Tensor, u: torch.Tensor) -> float:
        """Return the largest change over the largest value, worst species."""
        return float((step.abs().amax((1, 2)) / u.abs().amax((1, 2)).clamp(min=1e-300)).max())

    def _note_residual(self, residual: torch.Tensor, u: torch.Tensor) -> None:
        mass = torch.tensor(self.plane_capacity, device=self.device)
        held = (self._flows.sums(u.abs()) * mass).sum(-1)
        share = residual.abs().sum((1, 2)) / held.clamp(min=1e-300)
        self.worst_residual = max(self.worst_residual, float(share.max()))

    # -- small things ----------------------------------------------------------------------------------------------------------

    def _planes(self, u: DeviceArray) -> torch.Tensor:
        return u.tensor.reshape(self.shape[1], -1, self.model.faces)

    def _ports(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[:, self._laws.cells].transpose(0, 1)

    def _send(self, values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def _known_of(self, u: DeviceArray, blood: np.ndarray) -> _Known:
        return self._last if self._last is not None and self._last.u is u else self._fluxes(u, blood)

    def _fluxes(self, u: Any, blood: np.ndarray) -> Any:
        cells, c = self._ports(self._planes(u)), self._send(blood)
        zero = cells.new_zeros(self._laws.count, *cells.shape[1:])
        flux, values, good = self._laws.solve_traces(cells, c, self._last.flux if self._last is not None else zero)
        if not good:
            flux, values, good = self._laws.solve_traces(cells, c, zero)
        if not good:
            raise ConvergenceError("membrane faces", got="no balance of the fluxes", hint="check the kinetics of the routes")
        self._last = _Known(u, flux, values)
        return self._last
