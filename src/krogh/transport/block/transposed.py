"""Solve the transposed linear system of a block: the same factors and modes, the same planes, run the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from krogh.transport.block.kernels import eliminate, substitute, window_solve
from krogh.transport.block.laws import LawValues
from krogh.transport.block.model import BLOOD
from krogh.transport.block.planes import Planes
from krogh.transport.linear.gmres import gmres

if TYPE_CHECKING:
    from krogh.transport.block.adjoint import _Point

__all__ = ["solve_transposed"]


def solve_transposed(point: _Point, gh: float, right: np.ndarray) -> np.ndarray:
    r"""Return ``(C + gh L)^-T right`` (1, S, N), reactions by their mean slopes.

    With T the bulk and the reference part R of the laws, E what leaves and enters by a flux, and the laws ``G q + (G R - J) P x = 0``
    for what is left of the fluxes (J their slopes by the traces, G = 1 - J half cells), the transpose is

        T^T x + P^T (G R - J)^T mu = right,    G^T mu = gh E^T x.

    T^T has the pivots of T with its two off-diagonals exchanged; mu lives on the membranes and is found there.
    """
    system = point.system
    planes, slopes = system._factor(gh, point.u)
    given = system.planes_of(right)
    transposed = _Transposed(planes, point)
    x = transposed.solve(_fold(point, gh, slopes, given))
    return _unfold(point, gh, slopes, given, x).reshape(right.shape)


class _Transposed:
    """Hold the exchanged off-diagonals of the factors for one gh."""

    def __init__(self, planes: Planes, point: _Point) -> None:
        self.planes, self.point = planes, point
        self.lower, self.upper = np.zeros_like(planes.lower), np.zeros_like(planes.upper)
        self.lower[:, 1:], self.upper[:, :-1] = planes.upper[:, :-1], planes.lower[:, 1:]

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return the cells (S, nx, F)."""
        planes, point = self.planes, self.point
        modes = [planes.modes.forward(r) for r in right]
        for i, y in enumerate(modes):
            eliminate(y, planes.inverse[i], self.lower[i], self.upper[i], planes.w0, planes.w1)
        if planes.laws.count:
            mu = self._laws(self._gain(modes))
            ports = planes.modes.forward(self._back(mu).reshape(-1, right.shape[2])).reshape(point.traces.shape)
            for p, cell in enumerate(planes.model.port_cell):  # the window holds every port: nothing to carry there
                for i, y in enumerate(modes):
                    y[cell] -= ports[p, i]
        out = np.empty_like(right)
        for i, y in enumerate(modes):
            window_solve(y[planes.w0 : planes.w1 + 1], planes.inverse[i], self.lower[i], self.upper[i], planes.w0)
            substitute(y, planes.inverse[i], self.lower[i], self.upper[i], planes.w0, planes.w1)
            out[i] = planes.modes.backward(y)
        return out

    def _gain(self, modes: list[np.ndarray]) -> np.ndarray:
        """Return ``gh E^T x`` (K, S, F) for mu = 0."""
        planes = self.planes
        local = planes.model.port_cell - planes.w0
        ports = []
        for i, y in enumerate(modes):
            window = y[planes.w0 : planes.w1 + 1].copy()
            window_solve(window, planes.inverse[i], self.lower[i], self.upper[i], planes.w0)
            ports.append(planes.modes.backward(window[local]))
        x = np.stack(ports, axis=1)
        out = np.stack([x[law.head] - (x[law.tail] if law.tail != BLOOD else 0.0) for law in planes.model.laws])
        return planes.gh * planes.area * out

    def _back(self, mu: np.ndarray) -> np.ndarray:
        """Return ``(G R - J)^T mu`` (P, S, F)."""
        laws, ref = self.planes.laws, self.planes.reference
        through = self._inner(mu)
        out = -self.point.to_ports(mu)
        for k in range(laws.count):
            out[laws.heads[k]] -= ref.head[k][:, None] * through[k]
            if laws.tails[k] != BLOOD:
                out[laws.tails[k]] += ref.tail[k][:, None] * through[k]
        return out

    def _inner(self, mu: np.ndarray) -> np.ndarray:
        """Return ``G^T mu``."""
        laws, half = self.planes.laws, self.planes.model.port_half
        return mu - np.tensordot(laws.sides.T, half[:, :, None] * self.point.to_ports(mu), axes=1)

    def _answered(self, ports: np.ndarray) -> np.ndarray:
        """Return what the fluxes (K, S, F) see of a right-hand side at the ports (P, S, F)."""
        planes = self.planes
        p, s, faces = ports.shape
        hat = planes.modes.forward(ports.reshape(p * s, faces)).reshape(p, s, faces)
        answer = np.einsum("spkf,psf->ksf", planes.answers, hat)
        return planes.area * planes.modes.backward(answer.reshape(-1, faces)).reshape(answer.shape)

    def _laws(self, gain: np.ndarray) -> np.ndarray:
        """Return mu for ``G^T mu + (answers)^T (G R - J)^T mu = gain``."""
        shape = gain.shape
        values: LawValues = self.point.values
        inverse = self.planes._preconditioner(values)

        def apply(x: np.ndarray) -> np.ndarray:
            mu = x.reshape(shape)
            return (self._inner(mu) + self._answered(self._back(mu))).ravel()

        def precondition(x: np.ndarray) -> np.ndarray:
            return self.point.apply_transposed(inverse, x.reshape(shape)).ravel()

        found, _, _ = gmres(apply, gain.ravel(), precondition, tolerance=0.1 * self.point.owner.tolerance)
        return found.reshape(shape)


def _fold(point: _Point, gh: float, slopes: list[np.ndarray], given: np.ndarray) -> np.ndarray:
    """Return the right-hand sides of the cells (S, nx, F) after the leaves' rows of the transpose have been eliminated."""
    model, flows = point.system.model, point.system.flows
    right = given[:, : model.grid[0]].copy()
    for i, leaf in enumerate(model.leaves):
        share = gh * leaf.exchange / flows.leaf_pivot(i, gh, slopes)
        right[:, leaf.start : leaf.stop] += share[:, :, None] * given[:, flows.planes(i)]
    return right


def _unfold(point: _Point, gh: float, slopes: list[np.ndarray], given: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return all planes from the cells (S, nx, F)."""
    model, flows = point.system.model, point.system.flows
    parts = [cells]
    for i, leaf in enumerate(model.leaves):
        back = gh * leaf.exchange / leaf.trapping[:, None]
        part = given[:, flows.planes(i)] / flows.area + back[:, :, None] * cells[:, leaf.start : leaf.stop]
        parts.append(part / flows.leaf_pivot(i, gh, slopes)[:, :, None])
    return np.concatenate(parts, axis=1)
