"""Solve a Krogh cylinder by cosines along the vessel: one short elimination per mode, and a dense system at the wall.

Away from the wall every slice is like the next, so ``C + gh L`` of the path is diagonal in cosines along the vessel but for its
tree of cells, faces and compartments. What is not alike stays in a few planes (an edge of the path in all slices): the wall,
which reads flowing blood, and membranes whose slopes change along the vessel. Their unknowns are ``q``, the flow through a plane
beyond that of the mean slopes; the tissue answers by cosines (``G``), the blood by one pass downstream (``Tail``), and

    q = dA (tail + Tail q) - dB (head + G q)

is a dense system of planes x species x slices with the exact slopes of every slice. Only reactions enter with their means along
the vessel. Where that is not good enough, or the dense system would be large, a sparse LU takes over.

The method is fast diagonalisation (Lynch, Rice & Thomas 1964, doi:10.1007/BF01386067) with a capacitance matrix.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.linalg
from numba import njit

from krogh.transport.linear.slices import Slices, SliceSlopes
from krogh.transport.linear.sparse import Factor, SparseSolver
from krogh.transport.linear.tree import factor_tree, solve_tree
from krogh.transport.operator import Operator, Slopes

__all__ = ["ModalSolver"]

#: Largest dense system; beyond it a sparse factor costs less.
_MOST_DENSE = 2048
#: Largest share that reactions may differ by from their means along the vessel: the iteration converges at least that fast.
_MOST_SPREAD = 0.2


class ModalSolver(SparseSolver):
    """Solve by modes where the slices are alike, by sparse LU elsewhere."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(operator)
        self._slices = Slices(operator.graph)

    def _factorise(self, capacity: np.ndarray, gh: float, slopes: Slopes) -> Factor:
        """Return a factor by modes, or a sparse one."""
        slices = self._slices
        if slices.uniform:
            sliced = slices.slopes(slopes)
            planes = _planes(slices, sliced)
            few = planes.size * slices.species * slices.nz <= _MOST_DENSE
            if few and _spread(slices, capacity[0], gh, sliced) <= _MOST_SPREAD:
                self.counts["modes"] += 1
                return _ModalFactor(slices, capacity[0], gh, sliced, planes)
        return super()._factorise(capacity, gh, slopes)


def _planes(slices: Slices, slopes: SliceSlopes) -> np.ndarray:
    """Return the edges of the path that are kept apart: the wall, and those with slopes that change along the vessel."""
    changes = np.zeros(slices.tail.size, dtype=bool)
    for x in (slopes.tail, slopes.head):
        changes |= np.ptp(x, axis=1).max((1, 2)) > 1e-12 * np.abs(x).max((1, 2, 3))
    changes[slices.walls] = False
    return np.concatenate([slices.walls, np.flatnonzero(changes)])


def _spread(slices: Slices, capacity: np.ndarray, gh: float, slopes: SliceSlopes) -> float:
    """Return a bound for the share of an error that is left after a step with mean reactions; infinite for unlike capacities.

    With A the matrix of the means, ``|A^-1 x| <= max |x| / (C + gh sink)``: it is an M-matrix with these row sums.
    """
    held = slices.path(capacity)
    if not np.all(held == held[..., :1]):
        return np.inf
    mean = slopes.node.mean(1, keepdims=True)
    off = gh * np.abs(slopes.node - mean).max(1).sum(-1)
    kept = held[..., 0].T + gh * np.diagonal(mean[:, 0], axis1=1, axis2=2)
    changing = off > 0
    return float(np.max(off[changing] / np.maximum(kept[changing], 1e-300), initial=0.0))


class _ModalFactor:
    """Hold the eliminated path of every mode and the dense factor of the planes."""

    def __init__(self, slices: Slices, capacity: np.ndarray, gh: float, slopes: SliceSlopes, planes: np.ndarray) -> None:
        self._slices, self._gh, self._planes = slices, gh, planes
        self._walls = slices.walls.size
        self._tail_mean, self._head_mean = slopes.tail.mean(1), slopes.head.mean(1)
        self._eliminate(capacity, slopes)
        tails = np.where(slices.tail[planes] < slices.nodes, slices.tail[planes], slices.head[planes])
        ports = np.concatenate([slices.head[planes], tails[self._walls :]])
        self._ports, place = np.unique(ports, return_inverse=True)
        self._at_head, self._at_tail = place[: planes.size], place[planes.size :]
        self._flow = gh * slices.flow
        leaving = slopes.blood.copy()
        leaving[:, :-1] += slices.flow[:, None]
        self._blood = capacity[:, : slices.nz] + gh * leaving
        # what the planes carry beyond the means; of the wall's tails, which are blood, everything
        self._by_tail = slopes.tail[planes].copy()
        self._by_tail[self._walls :] -= self._tail_mean[planes[self._walls :], None]
        self._by_head = slopes.head[planes] - self._head_mean[planes, None]
        self._dense = scipy.linalg.lu_factor(self._matrix(), overwrite_a=True, check_finite=False)

    def _eliminate(self, capacity: np.ndarray, slopes: SliceSlopes) -> None:
        """Factor the path of every mode, blood at zero."""
        slices, gh = self._slices, self._gh
        s, n, nz = slices.species, slices.nodes, slices.nz
        blocks = np.zeros((n, s, s, nz))
        blocks += gh * slopes.node.mean(1)[..., None]
        inner = np.flatnonzero(slices.tail < n)
        np.add.at(blocks, slices.head, gh * self._head_mean[..., None])
        np.add.at(blocks, slices.tail[inner], gh * self._tail_mean[inner, ..., None])
        modes = 2.0 - 2.0 * np.cos(np.pi * np.arange(nz) / nz)
        held = slices.path(capacity)[..., 0]
        for a in range(s):
            blocks[:, a, a] += held[a][:, None] + (gh * slices.axial[a])[:, None] * modes
        self._inverse, self._gain = np.empty_like(blocks), np.zeros_like(blocks)
        self._up = gh * self._head_mean[slices.edge]
        down = gh * self._tail_mean[slices.edge]
        factor_tree(blocks, down, self._up, slices.order, slices.parent, self._inverse, self._gain)

    def _tree(self, x: np.ndarray) -> np.ndarray:
        """Solve the path of every mode for (S, node, mode) in place."""
        solve_tree(x, self._inverse, self._gain, self._up, self._slices.order, self._slices.parent)
        return x

    def _source(self, x: np.ndarray, plane: int, flow: np.ndarray) -> None:
        """Add what a plane carries (S, mode), times gh, to the nodes at its ends."""
        edge = self._planes[plane]
        x[:, self._slices.head[edge]] += self._gh * flow
        if plane >= self._walls:
            x[:, self._slices.tail[edge]] -= self._gh * flow

    def _matrix(self) -> np.ndarray:
        """Return the dense matrix of the planes."""
        s, nz, planes = self._slices.species, self._slices.nz, self._planes.size
        answer = np.empty((self._ports.size, s, nz, planes, s, nz))
        for p in range(planes):
            for c in range(s):
                x = np.zeros((s, self._slices.nodes, nz))
                self._source(x, p, np.eye(s)[:, c, None])
                found = _kernel(self._tree(x)[:, self._ports].transpose(1, 0, 2))
                answer[:, :, :, p, c] = found
        blood = np.zeros((s, nz, planes, s, nz))
        for p in range(self._walls):
            for a in range(s):
                blood[a, :, p, a] += np.eye(nz)
                for c in range(s):
                    blood[a] -= self._head_mean[self._planes[p], a, c] * answer[self._at_head[p], c]
        blood = self._mean_blood(self._downstream(-self._gh * blood))
        matrix = np.eye(planes * s * nz).reshape(planes, s, nz, planes, s, nz)
        for p in range(planes):
            tail = blood if p < self._walls else answer[self._at_tail[p - self._walls]]
            for a in range(s):
                for c in range(s):
                    matrix[p, a] -= self._by_tail[p, :, a, c, None, None, None] * tail[c]
                    matrix[p, a] += self._by_head[p, :, a, c, None, None, None] * answer[self._at_head[p], c]
        return matrix.reshape(planes * s * nz, -1)

    def _downstream(self, right: np.ndarray) -> np.ndarray:
        """Return the blood (S, nz, ...) for right-hand sides of its balance, in place."""
        _descend(right.reshape(*right.shape[:2], -1), self._blood, self._flow)
        return right

    def _mean_blood(self, blood: np.ndarray) -> np.ndarray:
        """Return the mean over each slice of the blood at its outlet (S, nz, ...), nothing at the inlet."""
        share = self._slices.upstream.reshape(-1, *[1] * (blood.ndim - 1))
        out = (1.0 - share) * blood
        out[:, 1:] += share * blood[:, :-1]
        return out

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-1 right`` for a vector of species, nodes."""
        slices = self._slices
        s, nz = slices.species, slices.nz
        given = right.reshape(s, -1)
        y = scipy.fft.dct(slices.path(given), axis=-1, norm="ortho")
        ports = scipy.fft.idct(self._tree(y.copy())[:, self._ports], axis=-1, norm="ortho").transpose(1, 0, 2)
        blood = self._mean_blood(self._downstream(self._into_blood(given, ports, None)))
        tails = np.stack([blood] * self._walls + [ports[j] for j in self._at_tail])
        q = np.einsum("pkac,pck->pak", self._by_tail, tails) - np.einsum("pkac,pck->pak", self._by_head, ports[self._at_head])
        q = scipy.linalg.lu_solve(self._dense, q.reshape(-1), check_finite=False).reshape(-1, s, nz)
        for p, flow in enumerate(scipy.fft.dct(q, axis=-1, norm="ortho")):
            self._source(y, p, flow)
        out = np.empty_like(given)
        slices.path(out)[...] = scipy.fft.idct(self._tree(y), axis=-1, norm="ortho", overwrite_x=True)
        ports = slices.path(out)[:, self._ports].transpose(1, 0, 2)
        out[:, :nz] = self._downstream(self._into_blood(given, ports, q))
        return out.reshape(-1)

    def _into_blood(self, given: np.ndarray, ports: np.ndarray, q: np.ndarray | None) -> np.ndarray:
        """Return the right-hand side of the blood (S, nz): what is given, less what crosses the walls."""
        out = given[:, : self._slices.nz].copy()
        for p in range(self._walls):
            back = self._head_mean[self._planes[p]] @ ports[self._at_head[p]]
            out += self._gh * (back if q is None else back - q[p])
        return out


def _kernel(symbol: np.ndarray) -> np.ndarray:
    """Return the matrices (..., nz, nz) that are diagonal in cosines with these eigenvalues (..., nz).

    ``sum_m phi_m(i) phi_m(j) g_m = t(|i - j|) + t(i + j + 1)`` with t the cosine sum of g: no product of matrices.
    """
    nz = symbol.shape[-1]
    t = np.fft.irfft(np.concatenate([symbol, np.zeros_like(symbol[..., :1])], axis=-1), 2 * nz)
    both = np.concatenate([t[..., nz - 1 : 0 : -1], t[..., :nz]], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view
    return windows(both, nz, axis=-1)[..., ::-1, :] + windows(t[..., 1:], nz, axis=-1)


@njit(cache=True, nogil=True)
def _descend(x, diagonal, flow) -> None:  # type: ignore[no-untyped-def]
    """Solve ``diagonal_k x_k - flow x_(k-1) = right`` in place for ``x`` (S, nz, columns)."""
    s, nz, columns = x.shape
    for a in range(s):
        for k in range(nz):
            inverse = 1.0 / diagonal[a, k]
            for j in range(columns):
                before = flow[a] * x[a, k - 1, j] if k > 0 else 0.0
                x[a, k, j] = (x[a, k, j] + before) * inverse
