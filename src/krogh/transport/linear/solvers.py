"""Solve (C + gh L) step = -residual: exactly along a chain, by a sparse factorisation that is kept while it serves in general."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from krogh.transport.graph import Graph
from krogh.transport.linear.chain import chain_newton_step, coupled_chain_newton_step
from krogh.transport.operator import Operator, Slopes

__all__ = ["SOLVERS", "ChainSolver", "LinearSolver", "SparseSolver"]


class LinearSolver(Protocol):
    """What a Newton iteration asks of its linear algebra."""

    #: Largest relative update at which the iteration may stop; full Newton squares the error once more, a kept factor does not.
    accept: float

    def step(self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the Newton update for `residual` at the state (u, blood)."""
        ...

    def refresh(self) -> bool:
        """Forget kept factors; return whether that can help."""
        ...


class ChainSolver:
    """Solve by tridiagonal elimination with the slopes of the present state: full Newton."""

    accept = 1e-7

    def __init__(self, operator: Operator) -> None:
        graph = operator.graph
        self._operator = operator
        self._n_chain = int(graph.layout["n_chain"])
        self._tail = np.ascontiguousarray(graph.tail, dtype=np.int64)
        self._head = np.ascontiguousarray(graph.head, dtype=np.int64)

    def step(self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the update, shape (B, S, N)."""
        slopes = self._operator.slopes(u, blood)
        out = np.empty_like(residual)
        if slopes.coupled:
            # one memory layout, so that the kernel is compiled once
            tail, head, node = (np.ascontiguousarray(a) for a in (slopes.tail, slopes.head, slopes.node))
            coupled_chain_newton_step(capacity, gh, tail, head, self._tail, self._head, self._n_chain, node, residual, out)
            return out
        rows, n = residual.shape[0] * residual.shape[1], residual.shape[2]

        def flat(a: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(a).reshape(rows, -1)

        chain_newton_step(
            flat(capacity), gh, flat(slopes.tail), flat(slopes.head), self._tail, self._head, self._n_chain, flat(slopes.node),
            flat(residual), out.reshape(rows, n),
        )  # fmt: skip
        return out

    def refresh(self) -> bool:
        """Return False: nothing is kept."""
        return False


class SparseSolver:
    """Solve by sparse LU, kept per step size and reused for nearby states (modified Newton); one problem at a time.

    Step sizes come in powers of sqrt(2), so a day of simulation needs about a hundred factors.
    """

    accept = 1e-11
    _kept = 12

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._factors: OrderedDict[tuple[float, int], scipy.sparse.linalg.SuperLU] = OrderedDict()
        self._pattern = _Pattern(operator.graph)

    def step(self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the update, shape (1, S, N)."""
        key = (gh, id(capacity))
        factor = self._factors.get(key)
        if factor is None:
            matrix = self._pattern.matrix(capacity, gh, self._operator.slopes(u, blood))
            factor = scipy.sparse.linalg.splu(
                matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0
            )
            self._factors[key] = factor
            if len(self._factors) > self._kept:
                self._factors.popitem(last=False)
        return -factor.solve(residual.reshape(-1)).reshape(residual.shape)

    def refresh(self) -> bool:
        """Drop every kept factor, so that the next step is taken with fresh slopes."""
        held = bool(self._factors)
        self._factors.clear()
        return held


class _Pattern:
    """Know where each slope goes in the sparse matrix of one problem (unknown s * N + i: species s, node i)."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        _, self._s, self._n = graph.shape

    def matrix(self, capacity: np.ndarray, gh: float, slopes: Slopes) -> scipy.sparse.csc_matrix:
        """Return C + gh L."""
        s, n, graph = self._s, self._n, self._graph
        rows, cols, data = [np.arange(s * n)], [np.arange(s * n)], [capacity.reshape(-1)]

        def add(i: np.ndarray, si: int, j: np.ndarray, sj: int, v: np.ndarray) -> None:
            ok = (i < n) & (j < n) & (v != 0)
            rows.append(si * n + i[ok])
            cols.append(sj * n + j[ok])
            data.append(gh * v[ok])

        nodes = np.arange(n)
        for a in range(s):
            for c in range(s):
                if not slopes.coupled and a != c:
                    continue
                tail = slopes.tail[0, :, a, c] if slopes.coupled else slopes.tail[0, a]
                head = slopes.head[0, :, a, c] if slopes.coupled else slopes.head[0, a]
                node = slopes.node[0, :, a, c] if slopes.coupled else slopes.node[0, a]
                add(nodes, a, nodes, c, node)
                for source, weight in self._tails(c):
                    add(graph.tail, a, source, c, tail * weight)
                    add(graph.head, a, source, c, -tail * weight)
                add(graph.tail, a, graph.head, c, -head)
                add(graph.head, a, graph.head, c, head)
        size = (s * n, s * n)
        return scipy.sparse.coo_matrix((np.concatenate(data), (np.concatenate(rows), np.concatenate(cols))), shape=size).tocsc()

    def _tails(self, species: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the nodes that the tail of each edge reads, with their weights."""
        graph = self._graph
        if graph.upstream is None or graph.blend is None:
            return [(graph.tail, np.ones(graph.tail.size))]
        blend = graph.blend[0, species]
        return [(graph.tail, 1.0 - blend), (graph.upstream, blend)]


#: structure of the graph -> solver
SOLVERS: dict[str, Callable[[Operator], LinearSolver]] = {"chain": ChainSolver, "general": SparseSolver}
