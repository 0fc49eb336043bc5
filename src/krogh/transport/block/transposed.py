"""Solve the transposed linear system of a block: the same factors and modes, the same planes, run the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from krogh.transport.block.kernels import eliminate, substitute, window_solve
from krogh.transport.block.laws import invert_faces
from krogh.transport.block.model import BLOOD
from krogh.transport.linear.gmres import gmres

if TYPE_CHECKING:
    from krogh.transport.block.adjoint import Point

__all__ = ["Transposed"]


class Transposed:
    r"""Solve ``(C + gh L)^T x = right`` at one state, reactions by the mean slopes that are in the factors.

    With T the bulk and the reference part R of the laws, E what leaves and enters by a flux, and the laws
    ``G q + (G R - J) P x = 0`` for what is left of the fluxes (J: slopes by the traces, G = 1 - J half cells), the transpose is

        T^T x + P^T (G R - J)^T mu = right,    G^T mu = gh E^T x.

    T^T has the pivots of T with its two off-diagonals exchanged; mu lives on the membranes and is found there.
    """

    def __init__(self, point: Point, gh: float) -> None:
        self.point, self.gh = point, gh
        planes, self.slopes = point.system.factor(gh, point.u)
        self.planes = planes
        self.lower, self.upper = np.zeros_like(planes.lower), np.zeros_like(planes.upper)
        self.lower[:, 1:], self.upper[:, :-1] = planes.upper[:, :-1], planes.lower[:, 1:]
        if planes.laws.count:
            self._inner, self._by_ports = self._matrices()
            self._near = self._mean_inverse()

    def solve(self, right: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the solution (1, S, N), the membranes to a relative tolerance."""
        given = self.point.system.planes_of(right)
        cells = self._cells(self._fold(given), tolerance)
        return self._unfold(given, cells).reshape(right.shape)

    def _cells(self, right: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the cells (S, nx, F)."""
        planes, point = self.planes, self.point
        modes = [planes.modes.forward(r) for r in right]
        for i, y in enumerate(modes):
            eliminate(y, planes.inverse[i], self.lower[i], self.upper[i], planes.w0, planes.w1)
        if planes.laws.count:
            mu = self._laws(self._gain(modes), tolerance)
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
        return np.einsum("abf,bf->af", self._by_ports, mu.reshape(-1, mu.shape[-1])).reshape(self.point.traces.shape)

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``G^T`` (K S, K S, F) and ``(G R - J)^T`` (P S, K S, F)."""
        laws, ref, values = self.planes.laws, self.planes.reference, self.point.values
        k, s, faces = values.flux.shape
        inner = np.ascontiguousarray(self.point.inner.transpose(2, 1, 0))
        own = inner.reshape(k, s, k, s, faces)
        back = np.zeros((laws.ports, s, k, s, faces))
        for i in range(k):
            head, tail = laws.heads[i], laws.tails[i]
            back[head, :, i] -= values.by_head[i].transpose(1, 0, 2)
            back[head] -= ref.head[i][:, None, None, None] * own[i]
            if tail != BLOOD:
                back[tail, :, i] -= values.by_tail[i].transpose(1, 0, 2)
                back[tail] += ref.tail[i][:, None, None, None] * own[i]
        return inner, back.reshape(laws.ports * s, k * s, faces)

    def _mean_inverse(self) -> np.ndarray:
        """Return the inverse (K S, K S, F) of what the laws solve, with the mean answer of all modes in place of each."""
        mean = self.planes.mean_answer  # (P, S, K)
        p, s, k = mean.shape
        answer = np.zeros((k, s, p, s))
        for j in range(s):
            answer[:, j, :, j] = mean[:, j].T
        whole = self._inner + np.einsum("ap,pbf->abf", answer.reshape(k * s, p * s), self._by_ports)
        return invert_faces(whole.transpose(2, 0, 1))

    def _answered(self, ports: np.ndarray) -> np.ndarray:
        """Return what the fluxes (K, S, F) see of a right-hand side at the ports (P, S, F)."""
        planes = self.planes
        p, s, faces = ports.shape
        hat = planes.modes.forward(ports.reshape(p * s, faces)).reshape(p, s, faces)
        answer = np.einsum("spkf,psf->ksf", planes.answers, hat)
        return planes.area * planes.modes.backward(answer.reshape(-1, faces)).reshape(answer.shape)

    def _laws(self, gain: np.ndarray, tolerance: float) -> np.ndarray:
        """Return mu for ``G^T mu + (answers)^T (G R - J)^T mu = gain``."""
        shape = gain.shape

        def apply(x: np.ndarray) -> np.ndarray:
            mu = x.reshape(shape)
            own = np.einsum("abf,bf->af", self._inner, x.reshape(-1, shape[-1]))
            return own.ravel() + self._answered(self._back(mu)).ravel()

        def precondition(x: np.ndarray) -> np.ndarray:
            return np.einsum("abf,bf->af", self._near, x.reshape(-1, shape[-1])).ravel()

        found, _, _ = gmres(apply, gain.ravel(), precondition, tolerance=tolerance)
        return found.reshape(shape)

    # -- leaves ----------------------------------------------------------------------------------------------------------------

    def _fold(self, given: np.ndarray) -> np.ndarray:
        """Return the right-hand sides of the cells (S, nx, F) after the leaves' rows of the transpose have been eliminated."""
        model, flows = self.point.system.model, self.point.system.flows
        right = given[:, : model.grid[0]].copy()
        for i, leaf in enumerate(model.leaves):
            share = self.gh * leaf.exchange / flows.leaf_pivot(i, self.gh, self.slopes)
            right[:, leaf.start : leaf.stop] += share[:, :, None] * given[:, flows.planes(i)]
        return right

    def _unfold(self, given: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return all planes from the cells (S, nx, F)."""
        model, flows = self.point.system.model, self.point.system.flows
        parts = [cells]
        for i, leaf in enumerate(model.leaves):
            back = self.gh * leaf.exchange / leaf.trapping[:, None]
            part = given[:, flows.planes(i)] / flows.area + back[:, :, None] * cells[:, leaf.start : leaf.stop]
            parts.append(part / flows.leaf_pivot(i, self.gh, self.slopes)[:, :, None])
        return np.concatenate(parts, axis=1)
