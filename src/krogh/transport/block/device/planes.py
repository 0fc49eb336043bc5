"""Solve one implicit system of a layered block on a device; the method of :mod:`krogh.transport.block.planes`.

What goes through the volume (factors, transforms) has the working precision; fluxes, laws and their iteration are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from krogh.transport.block import kernels
from krogh.transport.block.axis import Axis
from krogh.transport.block.device.krylov import gmres
from krogh.transport.block.device.laws import DeviceLaws, DeviceValues, apply_faces, invert_faces
from krogh.transport.block.device.lines import Lines
from krogh.transport.block.model import BLOOD, BlockModel
from krogh.transport.block.planes import Reference, bands

__all__ = ["DeviceModes", "DevicePlanes", "DeviceResult"]

_MOST_NEWTON = 30


class DeviceModes:
    """Transform arrays (n, ny * nz) between cells and diffusion modes; float64 in, working precision between, float64 out."""

    def __init__(self, y: Axis, z: Axis, device: torch.device, work: torch.dtype) -> None:
        (lam_y, qy), (lam_z, qz) = y.modes, z.modes
        self.work = work
        #: Eigenvalues of every mode, shape (ny * nz,) [1/m2].
        self.values = torch.tensor((lam_y[:, None] + lam_z[None, :]).ravel(), device=device)
        self._qy, self._qz = (torch.tensor(q, device=device, dtype=work) for q in (qy, qz))

    def forward(self, amount: torch.Tensor) -> torch.Tensor:
        """Return the modes (n, F) of amounts per cell (n, F): ``Qy^T f Qz``."""
        cubes = amount.to(self.work).reshape(amount.shape[0], self._qy.shape[0], self._qz.shape[0])
        return torch.matmul(self._qy.T, cubes @ self._qz).reshape(amount.shape)

    def backward(self, modes: torch.Tensor) -> torch.Tensor:
        """Return the concentrations (n, F) of modes (n, F): ``Qy f Qz^T``."""
        cubes = modes.reshape(modes.shape[0], self._qy.shape[0], self._qz.shape[0])
        return torch.matmul(self._qy, cubes @ self._qz.T).reshape(modes.shape).to(torch.float64)


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """Hold the fluxes (K, S, F), the laws at the ports, and how the iteration went."""

    flux: torch.Tensor
    values: DeviceValues
    converged: bool
    newton: int
    products: int


class DevicePlanes:
    """Hold the factors for one gh, and the answer H (S, P, K, F) of the ports to unit fluxes.

    Parameters
    ----------
    diagonal : array (S, nx)
        Per-area diagonal ``mass + gh (loss + ...)`` without links, membranes and modes.
    """

    def __init__(
        self, model: BlockModel, modes: DeviceModes, laws: DeviceLaws, reference: Reference, gh: float, diagonal: np.ndarray
    ) -> None:
        self.model, self.modes, self.laws, self.gh = model, modes, laws, gh
        self.reference = reference
        self._tail, self._head = (torch.tensor(x, device=laws.device) for x in (reference.tail, reference.head))
        self.area = torch.tensor(model.area_m2.ravel(), device=laws.device)
        self.cells = model.port_cell.tolist()
        window = (min(self.cells), max(self.cells)) if self.cells else (0, 0)
        self._bands = bands(model, reference, gh, diagonal)
        middle, lower, upper = self._bands
        spread = gh * model.lateral
        self.lines = [
            Lines(middle[s], spread[s], modes.values, lower[s], upper[s], window, modes.work) for s in range(len(model.species))
        ]
        self.answers = self._answers()
        self._mean_answer = self.answers.to(torch.float64).mean(-1).permute(1, 0, 2)  # (P, S, K)

    def _answers(self) -> torch.Tensor:
        found = []
        for lines in self.lines:
            per_law = []
            for law in self.model.laws:
                unit = [(int(self.model.port_cell[law.head]), self.gh)]
                unit += [(int(self.model.port_cell[law.tail]), -self.gh)] if law.tail != BLOOD else []
                per_law.append(lines.answer(unit, self.cells))
            empty = self.modes.values.new_zeros(len(self.cells), 0, self.model.faces)
            found.append(torch.stack(per_law, dim=1) if per_law else empty)
        return torch.stack(found)

    # -- on the planes ---------------------------------------------------------------------------------------------------------

    def respond(self, q: torch.Tensor) -> torch.Tensor:
        """Return the change of the cells behind the ports (P, S, F) by the fluxes q (K, S, F)."""
        k, s, faces = q.shape
        hat = self.modes.forward((q * self.area).reshape(k * s, faces)).reshape(k, s, faces)
        answer = (self.answers * hat.transpose(0, 1)[:, None]).sum(2).transpose(0, 1)  # (P, S, F)
        return self.modes.backward(answer.flatten(0, 1)).reshape(answer.shape)

    def reference_flux(self, change: torch.Tensor) -> torch.Tensor:
        """Return the linear part (K, S, F) for a change of the port cells (P, S, F)."""
        return self.laws.tails_less_heads(change, self._tail, self._head)

    def newton(
        self, change0: torch.Tensor, cells: torch.Tensor, flux0: torch.Tensor, blood: torch.Tensor, *, tolerance: float
    ) -> tuple[torch.Tensor, DeviceResult]:
        """Return q and the fluxes such that every law holds at its ports; arguments as in ``Planes.newton``."""
        digits = 1e-12 if self.modes.work == torch.float64 else 1e-5
        stalled = 1e-7 if self.modes.work == torch.float64 else 0.1  # another pass follows there
        q, change, products, previous = torch.zeros_like(flux0), change0, 0, np.inf
        for iteration in range(1, _MOST_NEWTON + 1):
            flux = flux0 + self.reference_flux(change) + q
            values = self.laws.evaluate(self.laws.traces(cells + change, flux), blood)
            error = self.laws.misfit(values, flux)
            if not np.isfinite(error):
                return q, DeviceResult(flux, values, False, iteration, products)
            if error <= tolerance or 0.5 * previous < error <= stalled:
                return q, DeviceResult(flux, values, True, iteration, products)
            previous = error
            # no more digits than the next linearisation keeps
            wanted = max(min(1e-4, error), 0.3 * tolerance / error, digits)
            step, count = self._linear(values, values.flux - flux, wanted)
            products += count
            q = q + step
            change = change0 + self.respond(q)
        return q, DeviceResult(flux, values, False, _MOST_NEWTON, products)

    def _linear(self, values: DeviceValues, miss: torch.Tensor, tolerance: float) -> tuple[torch.Tensor, int]:
        """Solve ``v + (R - G) H v = own`` for the fluxes v that the laws, linearised, exceed the references by."""
        (k, s, faces), laws, p = miss.shape, self.laws, len(self.cells)
        inverse = invert_faces(laws.identity(miss) - laws.matrix(values, laws.own_weight))
        unit = torch.eye(p, dtype=miss.dtype, device=miss.device)[:, None, :, None].expand(p, s, p, 1)
        by_cell = laws.matrix(values, unit)  # (K S, P S, F)
        away = -(inverse[:, :, None] * by_cell[None]).sum(1).reshape(k, s, p, s, faces)
        for law in range(k):
            for j in range(s):
                away[law, j, laws.heads[law], j] -= self._head[law, j]
                if laws.tails[law] != BLOOD:
                    away[law, j, laws.tails[law], j] += self._tail[law, j]
        mean = torch.einsum("kipjf,pjl->kiljf", away, self._mean_answer).reshape(k * s, k * s, faces)
        near = invert_faces(laws.identity(miss) + mean)
        away = away.reshape(k * s, p * s, faces)

        def apply(x: torch.Tensor) -> torch.Tensor:
            return x + apply_faces(away, self.respond(x).reshape(p * s, faces)).reshape(x.shape)

        def precondition(x: torch.Tensor) -> torch.Tensor:
            return apply_faces(near, x.reshape(k * s, faces)).reshape(x.shape)

        own = apply_faces(inverse, miss.reshape(k * s, faces)).reshape(miss.shape)
        return gmres(apply, own, precondition, tolerance=tolerance)

    def linear(self, change0: torch.Tensor, values: DeviceValues, *, tolerance: float) -> torch.Tensor:
        """Return q for laws that are linear with the slopes of `values` (filter of the error estimate)."""
        flux = self.reference_flux(change0)
        right = self.laws.along(values, self.laws.traces(change0, flux)) - flux
        return self._linear(values, right, tolerance)[0]

    # -- through the volume ----------------------------------------------------------------------------------------------------

    def inward(self, right: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Carry right-hand sides (S, nx, F) to the window; return the modes and the change of the port cells for q = 0."""
        modes, ports = [], []
        for s, lines in enumerate(self.lines):
            y = self.modes.forward(right[s])
            lines.eliminate(y)
            window = y[lines.w0 : lines.w1 + 1].clone()
            lines.solve_window(window)
            modes.append(y)
            ports.append(window[[cell - lines.w0 for cell in self.cells]])
        change = torch.stack(ports, dim=1)
        return modes, self.modes.backward(change.flatten(0, 1)).reshape(change.shape)

    def outward(self, modes: list[torch.Tensor], q: torch.Tensor) -> torch.Tensor:
        """Return the change of every cell (S, nx, F) for the fluxes q; the modes of `inward` are used up."""
        k, s, faces = q.shape
        hat = self.gh * self.modes.forward((q * self.area).reshape(k * s, faces)).reshape(k, s, faces)
        found = []
        for i, (y, lines) in enumerate(zip(modes, self.lines, strict=True)):
            for k_law, law in enumerate(self.model.laws):
                y[self.cells[law.head]] += hat[k_law, i]
                if law.tail != BLOOD:
                    y[self.cells[law.tail]] -= hat[k_law, i]
            lines.solve_window(y[lines.w0 : lines.w1 + 1])
            lines.substitute(y)
            found.append(self.modes.backward(y))
        return torch.stack(found) if len(found) > 1 else found[0][None]

    def solve_mean(self, right: np.ndarray) -> np.ndarray:
        """Return the uniform change (S, nx) for plane sums (S, nx), in float64 on the processor: it closes the balance."""
        area, out, zero = float(self.model.area_m2.sum()), np.empty_like(right), np.zeros(1)
        for s, lines in enumerate(self.lines):
            diagonal, lower, upper = (x[s] for x in self._bands)
            inverse, y, spread = np.empty((right.shape[1], 1)), (right[s] / area)[:, None].copy(), np.zeros(right.shape[1])
            kernels.factor(diagonal, spread, zero, lower, upper, lines.w0, lines.w1, inverse)
            kernels.eliminate(y, inverse, lower, upper, lines.w0, lines.w1)
            kernels.window_solve(y[lines.w0 : lines.w1 + 1], inverse, lower, upper, lines.w0)
            kernels.substitute(y, inverse, lower, upper, lines.w0, lines.w1)
            out[s] = y[:, 0]
        return out
