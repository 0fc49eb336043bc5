"""Evaluate the flux laws of a block on its ports, with the slopes that Newton's method needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from krogh.transport.block.model import BLOOD, BlockModel

__all__ = ["LawValues", "Laws", "invert_faces"]


@dataclass(frozen=True, slots=True)
class LawValues:
    """Hold the net flux densities (K, S, F) [mol/(m2 s)] and their derivatives (K, S, S, F) by the tail and head ports.

    `size` is the largest one-way flux: where two large fluxes cancel, no more digits are to be had.
    """

    flux: np.ndarray
    by_tail: np.ndarray
    by_head: np.ndarray
    size: float


class Laws:
    """Evaluate all laws of a model at once; K laws, P ports, S species, F faces.

    Attributes
    ----------
    sides : array (P, K)
        +1 where a law arrives at a port, -1 where it leaves from it.
    half : array (P, S, 1 or F)
        Resistance of the half cell behind each port [s/m]; by default that of the model, the same everywhere.
    """

    def __init__(self, model: BlockModel, half: np.ndarray | None = None) -> None:
        self.model = model
        self.half = model.port_half[:, :, None] if half is None else half
        self.count, self.ports = len(model.laws), model.port_cell.size
        self.tails = np.array([law.tail for law in model.laws], dtype=int)
        self.heads = np.array([law.head for law in model.laws], dtype=int)
        self.sides = np.zeros((self.ports, self.count))
        for k, law in enumerate(model.laws):
            self.sides[law.head, k] += 1.0
            if law.tail != BLOOD:
                self.sides[law.tail, k] -= 1.0

    def traces(self, cells: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return the concentrations at the ports (P, S, F) for those of the cells behind them and the fluxes (K, S, F)."""
        return cells + self.half * np.tensordot(self.sides, flux, axes=1)

    def evaluate(self, traces: np.ndarray, blood: np.ndarray) -> LawValues:
        """Return every law at the port concentrations (P, S, F) and the blood (S,)."""
        s, faces = traces.shape[1], traces.shape[2]
        flux = np.zeros((self.count, s, faces))
        by_tail, by_head = np.zeros((self.count, s, s, faces)), np.zeros((self.count, s, s, faces))
        size = 0.0
        for k, law in enumerate(self.model.laws):
            tail = np.broadcast_to(blood[:, None], (s, faces)) if law.tail == BLOOD else traces[law.tail]
            for route in law.routes:
                inward, outward, d_tail, d_head = route.flux(tail[None], traces[law.head][None])
                flux[k] += (inward - outward)[0]
                _add_slope(by_tail[k], d_tail)
                _add_slope(by_head[k], d_head)
                size = max(size, float(np.abs(inward).max()), float(np.abs(outward).max()))
        return LawValues(flux, by_tail, by_head, size)

    def along(self, values: LawValues, change: np.ndarray) -> np.ndarray:
        """Return the change of the fluxes (K, S, F) for a change of the port concentrations (P, S, F)."""
        out = (values.by_head * change[self.heads][:, None]).sum(2)
        inner = self.tails != BLOOD
        if np.any(inner):
            out[inner] += (values.by_tail[inner] * change[self.tails[inner]][:, None]).sum(2)
        return out

    def solve_traces(self, cells: np.ndarray, blood: np.ndarray, flux: np.ndarray) -> tuple[np.ndarray, LawValues, bool]:
        """Return the fluxes that the laws give for fixed cell concentrations (P, S, F), starting from `flux`; face by face.

        The returned values belong to the traces of the returned fluxes; the flag says whether Newton's method converged.
        """
        s = cells.shape[1]
        eye = np.eye(self.count * s)
        for _ in range(40):
            values = self.evaluate(self.traces(cells, flux), blood)
            miss = values.flux - flux
            scale = max(float(np.abs(values.flux).max(initial=0.0)), 1e-3 * values.size, 1e-300)
            if float(np.abs(miss).max(initial=0.0)) <= 1e-12 * scale:
                return flux, values, True
            inverse = invert_faces(eye[None] - self.matrix(values, self.own_weight))
            flux = flux + apply_faces(inverse, miss.reshape(-1, miss.shape[-1])).reshape(miss.shape)
        # round-off on a stiff face: as good as it gets
        good = float(np.abs(miss).max()) <= 1e-7 * scale
        return flux, values, good

    @property
    def own_weight(self) -> np.ndarray:
        """Return by how much every port moves per flux while the cells behind it stay, (P, S, K, 1 or F)."""
        return self.half[:, :, None] * self.sides[:, None, :, None]

    def matrix(self, values: LawValues, weight: np.ndarray) -> np.ndarray:
        """Return d(law flux)/d(x) on every face (F, K S, L S); port p of species j moves by ``weight[p, j, l, f]`` per x of l."""
        k, s, faces = values.flux.shape
        out = np.einsum("kijf,kjlf->fkilj", values.by_head, weight[self.heads])
        inner = np.where(self.tails == BLOOD, 0, self.tails)
        held = weight[inner] * (self.tails != BLOOD)[:, None, None, None]
        out += np.einsum("kijf,kjlf->fkilj", values.by_tail, held)
        return out.reshape(faces, k * s, weight.shape[2] * s)


def _add_slope(target: np.ndarray, slope: np.ndarray) -> None:
    """Add a route's derivative, (1, S, F) or (1, S, S, F), to (S, S, F)."""
    if slope.ndim == 4:
        target += slope[0]
        return
    for i in range(target.shape[0]):
        target[i, i] += slope[0, i]


@njit(cache=True, nogil=True)
def _invert(matrix) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the inverses of small matrices (F, n, n) by elimination with partial pivoting."""
    faces, n, _ = matrix.shape
    out = np.empty_like(matrix)
    a = np.empty((n, 2 * n))
    for f in range(faces):
        for i in range(n):
            for j in range(n):
                a[i, j] = matrix[f, i, j]
                a[i, n + j] = 1.0 if i == j else 0.0
        for c in range(n):
            p = c
            for i in range(c + 1, n):
                if abs(a[i, c]) > abs(a[p, c]):
                    p = i
            for j in range(2 * n):
                a[c, j], a[p, j] = a[p, j], a[c, j]
            d = a[c, c] if a[c, c] != 0.0 else 1.0
            for j in range(2 * n):
                a[c, j] /= d
            for i in range(n):
                if i != c and a[i, c] != 0.0:
                    q = a[i, c]
                    for j in range(c, 2 * n):
                        a[i, j] -= q * a[c, j]
        for i in range(n):
            for j in range(n):
                out[f, i, j] = a[i, n + j]
    return out


def invert_faces(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse on every face as (n, n, F), so that faces are contiguous."""
    return np.ascontiguousarray(_invert(np.ascontiguousarray(matrix)).transpose(1, 2, 0))


def apply_faces(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``matrix`` (n, m, F) times x (m, F), face by face."""
    out = np.empty((matrix.shape[0], matrix.shape[2]))
    _apply(matrix, x, out)
    return out


@njit(cache=True, nogil=True, fastmath=True)
def _apply(matrix, x, out) -> None:  # type: ignore[no-untyped-def]
    n, m, faces = matrix.shape
    for i in range(n):
        row, target = matrix[i], out[i]
        for f in range(faces):
            target[f] = row[0, f] * x[0, f]
        for j in range(1, m):
            for f in range(faces):
                target[f] += row[j, f] * x[j, f]
