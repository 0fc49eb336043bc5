"""Solve one implicit system of a layered block with any laws on its membranes.

The bulk, with a uniform linear part T0 of every law in it, falls apart into one tridiagonal system per mode of (y, z). What is
left of the laws is an unknown flux q on the membranes alone: the cells behind the ports answer it by ``t = t0 + H q`` with H a
small matrix per mode. So Newton's method runs on planes, and the volume is passed once before and once after. Any q keeps mass,
since it leaves one cell and enters another: the tolerance of the iteration never shows in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.transport.block.gains import gains_of
from krogh.transport.block.kernels import eliminate, factor, substitute, window_solve
from krogh.transport.block.laws import Laws, LawValues, apply_faces, invert_faces
from krogh.transport.block.model import BLOOD, BlockModel
from krogh.transport.block.modes import Modes
from krogh.transport.linear.gmres import gmres

__all__ = ["PlaneResult", "Planes", "Reference", "bands"]

_MOST_NEWTON = 30


@dataclass(frozen=True)
class Reference:
    """The uniform linear part ``tail u_tail - head u_head`` of every law, arrays (K, S) [m/s], half cells included."""

    tail: np.ndarray
    head: np.ndarray

    @classmethod
    def of(cls, model: BlockModel, laws: Laws, values: LawValues) -> Reference:
        """Return the reference from the median slopes of `values`; a law that joins cells far apart has none."""
        k, s = laws.count, values.flux.shape[1]
        tail, head = np.zeros((k, s)), np.zeros((k, s))
        for i, law in enumerate(model.laws):
            cell = model.port_cell[law.head]
            if law.tail != BLOOD and model.port_cell[law.tail] != cell - 1:
                continue
            a = np.maximum(np.median(np.einsum("iif->if", values.by_tail[i]), axis=-1), 0.0)
            b = np.maximum(np.median(-np.einsum("iif->if", values.by_head[i]), axis=-1), 0.0)
            before = model.port_half[law.tail] if law.tail != BLOOD else 0.0
            whole = 1.0 + a * before + b * model.port_half[law.head]
            tail[i], head[i] = a / whole, b / whole
        return cls(tail, head)


@dataclass(frozen=True, slots=True)
class PlaneResult:
    """Hold the fluxes (K, S, F), the port concentrations (P, S, F) with their laws, and how the iteration went."""

    flux: np.ndarray
    values: LawValues
    converged: bool
    newton: int
    products: int


def bands(model: BlockModel, reference: Reference, gh: float, diagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (diagonal, lower, upper), each (S, nx), of the rows along x: links and references added to `diagonal`."""
    diagonal = diagonal.copy()
    lower, upper = np.zeros_like(diagonal), np.zeros_like(diagonal)
    upper[:, :-1] = gh * model.link
    lower[:, 1:] = gh * model.link
    diagonal[:, :-1] += gh * model.link
    diagonal[:, 1:] += gh * model.link
    for k, law in enumerate(model.laws):
        b = model.port_cell[law.head]
        diagonal[:, b] += gh * reference.head[k]
        if law.tail != BLOOD and np.any(reference.tail[k] > 0):
            a = model.port_cell[law.tail]
            diagonal[:, a] += gh * reference.tail[k]
            upper[:, a] += gh * reference.head[k]
            lower[:, b] += gh * reference.tail[k]
    return diagonal, lower, upper


class Planes:
    """Hold the factors for one gh: pivots (S, nx, F) and the answer H (S, P, K, F) of the ports to unit fluxes.

    Parameters
    ----------
    diagonal : array (S, nx)
        Per-area diagonal ``mass + gh (loss + ...)`` without links, membranes and modes.
    """

    def __init__(
        self, model: BlockModel, modes: Modes, laws: Laws, reference: Reference, gh: float, diagonal: np.ndarray
    ) -> None:
        self.model, self.modes, self.laws, self.reference, self.gh = model, modes, laws, reference, gh
        self.area = model.area_m2.ravel()
        s, nx = diagonal.shape
        self.diagonal, self.lower, self.upper = bands(model, reference, gh, diagonal)
        cells = model.port_cell
        self.w0, self.w1 = (int(cells.min()), int(cells.max())) if cells.size else (0, 0)
        self.inverse = np.empty((s, nx, model.faces))
        for i in range(s):
            factor(self.diagonal[i], gh * model.lateral[i], modes.values, self.lower[i], self.upper[i], self.w0, self.w1,
                   self.inverse[i])  # fmt: skip
        self._answers()

    def _answers(self) -> None:
        model, laws = self.model, self.laws
        s = self.diagonal.shape[0]
        self.answers = np.zeros((s, laws.ports, laws.count, model.faces))
        local = model.port_cell - self.w0
        for i in range(s):
            for k, law in enumerate(model.laws):
                y = np.zeros((self.w1 - self.w0 + 1, model.faces))
                y[local[law.head]] += self.gh
                if law.tail != BLOOD:
                    y[local[law.tail]] -= self.gh
                window_solve(y, self.inverse[i], self.lower[i], self.upper[i], self.w0)
                self.answers[i, :, k] = y[local]
        self.mean_answer = self.answers.mean(-1).transpose(1, 0, 2)  # (P, S, K)

    # -- on the planes ---------------------------------------------------------------------------------------------------------

    def respond(self, q: np.ndarray) -> np.ndarray:
        """Return the change of the cells behind the ports (P, S, F) by the fluxes q (K, S, F)."""
        k, s, faces = q.shape
        hat = self.modes.forward((q * self.area).reshape(k * s, faces)).reshape(k, s, faces)
        answer = np.empty((self.laws.ports, s, faces))
        for i in range(s):
            answer[:, i] = apply_faces(self.answers[i], hat[:, i])
        return self.modes.backward(answer.reshape(-1, faces)).reshape(answer.shape)

    def reference_flux(self, change: np.ndarray) -> np.ndarray:
        """Return the linear part (K, S, F) for a change of the port cells (P, S, F)."""
        laws, ref = self.laws, self.reference
        out = -ref.head[:, :, None] * change[laws.heads]
        inner = laws.tails != BLOOD
        out[inner] += ref.tail[inner][:, :, None] * change[laws.tails[inner]]
        return out

    def _ports(self, change: np.ndarray, flux: np.ndarray) -> np.ndarray:
        return change + self.laws.half * np.tensordot(self.laws.sides, flux, axes=1)

    def newton(
        self, change0: np.ndarray, cells: np.ndarray, flux0: np.ndarray, blood: np.ndarray, *, tolerance: float
    ) -> tuple[np.ndarray, PlaneResult]:
        """Return q and the fluxes such that every law holds at its ports.

        Parameters
        ----------
        change0 : array (P, S, F)
            Change of the cells behind the ports for q = 0.
        cells, flux0 : arrays (P, S, F), (K, S, F)
            Concentrations of these cells and the fluxes before the change.
        blood : array (S,)
            Free concentration in blood.
        tolerance : float
            Largest error of a flux over the largest flux.
        """
        q = np.zeros_like(flux0)
        change, products = change0, 0
        previous = np.inf
        for iteration in range(1, _MOST_NEWTON + 1):
            flux = flux0 + self.reference_flux(change) + q
            values = self.laws.evaluate(self._ports(cells + change, flux), blood)
            miss = values.flux - flux
            scale = max(float(np.abs(values.flux).max()), 1e-4 * values.size, 1e-300)
            error = float(np.abs(miss).max()) / scale
            if not np.isfinite(error):
                return q, PlaneResult(flux, values, False, iteration, products)
            stuck = error > 0.5 * previous and error <= 1e-7
            if error <= tolerance or stuck:
                return q, PlaneResult(flux, values, True, iteration, products)
            previous = error
            # no more digits than the next linearisation keeps
            wanted = max(min(1e-4, error), 0.3 * tolerance / error, 1e-12)
            step, count = self._linear(values, miss, wanted)
            products += count
            q = q + step
            change = change0 + self.respond(q)
        return q, PlaneResult(flux, values, False, _MOST_NEWTON, products)

    def _linear(self, values: LawValues, miss: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
        """Solve for the fluxes v that the laws, linearised at `values`, exceed the references by: ``v + (R - G) H v = own``.

        R is the reference, G the answer of the laws to the cells, H that of the cells to the fluxes. As preconditioner H is the
        same for all modes, their mean, and so a small matrix per face.
        """
        (k, s, faces), laws, ref = miss.shape, self.laws, self.reference
        gains = gains_of(laws, values, miss)
        away = -gains.cell
        for j in range(s):
            for law in range(k):
                away[law, j, laws.heads[law], j] -= ref.head[law, j]
                if laws.tails[law] != BLOOD:
                    away[law, j, laws.tails[law], j] += ref.tail[law, j]
        mean = np.einsum("kipjf,pjl->fkilj", away, self.mean_answer).reshape(faces, k * s, k * s)
        inverse = invert_faces(np.eye(k * s) + mean)
        away = away.reshape(k * s, -1, faces)

        def apply(x: np.ndarray) -> np.ndarray:
            change = self.respond(x.reshape(k, s, faces)).reshape(-1, faces)
            return x + apply_faces(away, change).ravel()

        def precondition(x: np.ndarray) -> np.ndarray:
            return apply_faces(inverse, x.reshape(k * s, faces)).ravel()

        x, count, _ = gmres(apply, gains.own.ravel(), precondition, tolerance=tolerance)
        return x.reshape(k, s, faces), count

    def linear(self, change0: np.ndarray, values: LawValues, *, tolerance: float) -> np.ndarray:
        """Return q for laws that are linear with the slopes of `values` (filter of the error estimate)."""
        flux = self.reference_flux(change0)
        right = self.laws.along(values, self._ports(change0, flux)) - flux
        return self._linear(values, right, tolerance)[0]

    # -- through the volume ----------------------------------------------------------------------------------------------------

    def inward(self, right: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Carry right-hand sides (S, nx, F) to the window; return the modes and the change of the port cells for q = 0.

        The modes are overwritten by the next call.
        """
        local = self.model.port_cell - self.w0
        modes, ports = [], []
        for i in range(right.shape[0]):
            y = self.modes.forward(right[i], out=self.modes.kept(i, right[i].shape))
            eliminate(y, self.inverse[i], self.lower[i], self.upper[i], self.w0, self.w1)
            window = y[self.w0 : self.w1 + 1].copy()
            window_solve(window, self.inverse[i], self.lower[i], self.upper[i], self.w0)
            modes.append(y)
            ports.append(window[local])
        change = np.stack(ports, axis=1) if ports else np.zeros((0, 0, 0))
        return modes, self.modes.backward(change.reshape(-1, change.shape[-1])).reshape(change.shape)

    def outward(self, modes: list[np.ndarray], q: np.ndarray) -> np.ndarray:
        """Return the change of every cell (S, nx, F) for the fluxes q; the modes of `inward` are used up."""
        out = np.empty((len(modes), *modes[0].shape))
        k, s, faces = q.shape
        hat = self.gh * self.modes.forward((q * self.area).reshape(k * s, faces)).reshape(k, s, faces)
        for i, y in enumerate(modes):
            for k_law, law in enumerate(self.model.laws):
                y[self.model.port_cell[law.head]] += hat[k_law, i]
                if law.tail != BLOOD:
                    y[self.model.port_cell[law.tail]] -= hat[k_law, i]
            window_solve(y[self.w0 : self.w1 + 1], self.inverse[i], self.lower[i], self.upper[i], self.w0)
            substitute(y, self.inverse[i], self.lower[i], self.upper[i], self.w0, self.w1)
            self.modes.backward(y, out=out[i])
        return out

    def solve_mean(self, right: np.ndarray) -> np.ndarray:
        """Return the uniform change (S, nx) for plane sums (S, nx) of a right-hand side, references in place of the laws."""
        out = np.empty_like(right)
        for i in range(right.shape[0]):
            y = (right[i] / self.area.sum())[:, None].copy()
            inverse = np.ascontiguousarray(self.inverse[i][:, :1])
            eliminate(y, inverse, self.lower[i], self.upper[i], self.w0, self.w1)
            window_solve(y[self.w0 : self.w1 + 1], inverse, self.lower[i], self.upper[i], self.w0)
            substitute(y, inverse, self.lower[i], self.upper[i], self.w0, self.w1)
            out[i] = y[:, 0]
        return out
