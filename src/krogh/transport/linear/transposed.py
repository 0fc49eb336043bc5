"""Solve with the transposed Jacobian, (C + gh L)^T x = b: the linear algebra of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import scipy.sparse.linalg

from krogh.transport.graph import Graph
from krogh.transport.linear.chain import chain_newton_step, coupled_chain_newton_step
from krogh.transport.linear.embedded import EmbeddedSolver
from krogh.transport.linear.kept import KeptFactors
from krogh.transport.linear.pattern import Pattern
from krogh.transport.linear.sparse import sparse_factor
from krogh.transport.operator import Operator, Slopes

__all__ = ["TRANSPOSED", "TransposedSolver", "transposed_product"]


class TransposedSolver(Protocol):
    """Solve with the transposed Jacobian at a state, or near it."""

    #: Whether the solution belongs to the slopes given, not to kept ones.
    exact: bool

    def solve(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, slopes: Slopes, right: np.ndarray,
        tolerance: float,
    ) -> np.ndarray:  # fmt: skip
        """Return ``(C + gh L)^-T right``, shape (1, S, N), to a relative tolerance where it iterates."""
        ...

    def refresh(self) -> None:
        """Forget kept factors."""
        ...


def transposed_product(graph: Graph, slopes: Slopes, weight: np.ndarray) -> np.ndarray:
    """Return L^T weight with L = -dF/du, for one problem (1, S, N)."""
    n = graph.shape[2]
    w = np.concatenate([weight[0], np.zeros((weight.shape[1], 1))], axis=1)
    drop = w[:, graph.tail] - w[:, graph.head]
    if slopes.coupled:
        by_tail = np.einsum("eab,ae->be", slopes.tail[0], drop)
        by_head = np.einsum("eab,ae->be", slopes.head[0], drop)
        out = np.einsum("iab,ai->bi", slopes.node[0], weight[0])
    else:
        by_tail, by_head, out = slopes.tail[0] * drop, slopes.head[0] * drop, slopes.node[0] * weight[0]
    for s in range(out.shape[0]):
        if graph.upstream is not None and graph.blend is not None:
            ahead = by_tail[s] * graph.blend[0, s]
            out[s] += np.bincount(graph.upstream, ahead, n + 1)[:n] + np.bincount(graph.tail, by_tail[s] - ahead, n + 1)[:n]
        else:
            out[s] += np.bincount(graph.tail, by_tail[s], n + 1)[:n]
        out[s] -= np.bincount(graph.head, by_head[s], n + 1)[:n]
    return out[None]


class _Chain:
    """Eliminate along the chain with the slopes of its edges exchanged and its diagonal put right."""

    exact = True

    def __init__(self, operator: Operator) -> None:
        graph = operator.graph
        self._tail = np.ascontiguousarray(graph.tail, dtype=np.int64)
        self._head = np.ascontiguousarray(graph.head, dtype=np.int64)
        self._n_chain, self._n = int(graph.layout["n_chain"]), graph.shape[2]

    def refresh(self) -> None:
        """Do nothing: nothing is kept."""

    def solve(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, slopes: Slopes, right: np.ndarray,
        tolerance: float,
    ) -> np.ndarray:  # fmt: skip
        """Return the solution."""
        out = np.empty_like(right)
        edge = 1 if slopes.coupled else 2
        turn = (lambda x: np.ascontiguousarray(np.swapaxes(x, -1, -2))) if slopes.coupled else np.ascontiguousarray
        st, sh, node = turn(slopes.tail), turn(slopes.head), turn(slopes.node).copy()
        difference = np.moveaxis(sh - st, edge, 0)
        at = np.moveaxis(node, edge, 0)
        np.add.at(at, self._head, difference)
        inside = self._tail < self._n
        np.subtract.at(at, self._tail[inside], difference[inside])
        right = np.ascontiguousarray(-right)
        if slopes.coupled:
            coupled_chain_newton_step(capacity, gh, sh, st, self._tail, self._head, self._n_chain, node, right, out)
        else:
            chain_newton_step(capacity[0], gh, sh[0], st[0], self._tail, self._head, self._n_chain, node[0], right[0], out[0])
        return out


class _Sparse:
    """Solve by the transpose of a sparse factor that is kept per step size."""

    exact = False
    _kept = 12

    def __init__(self, operator: Operator) -> None:
        self._pattern = Pattern(operator.graph)
        self._factors: KeptFactors[scipy.sparse.linalg.SuperLU] = KeptFactors(self._kept)

    def refresh(self) -> None:
        """Drop every kept factor."""
        self._factors.clear()

    def solve(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, slopes: Slopes, right: np.ndarray,
        tolerance: float,
    ) -> np.ndarray:  # fmt: skip
        """Return the solution, with the slopes that the factor was made of."""
        factor = self._factors.get(capacity, gh, lambda: sparse_factor(self._pattern.matrix(capacity, gh, slopes)))
        return factor.solve(right.reshape(-1), trans="T").reshape(right.shape)


class _Embedded:
    """Solve by the parts of :class:`EmbeddedSolver`, transposed."""

    exact = False

    def __init__(self, operator: Operator) -> None:
        self._solver = EmbeddedSolver(operator)

    def refresh(self) -> None:
        """Drop every kept factor."""
        self._solver.refresh()

    def solve(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, slopes: Slopes, right: np.ndarray,
        tolerance: float,
    ) -> np.ndarray:  # fmt: skip
        """Return the solution, with the slopes that the factor was made of."""
        return self._solver.solve(capacity, gh, u, blood, right, tolerance=tolerance, transposed=True)


#: structure of the graph -> solver
TRANSPOSED: dict[str, Callable[[Operator], TransposedSolver]] = {
    "chain": _Chain,
    "general": _Sparse,
    "cylinder": _Sparse,
    "embedded": _Embedded,
}
