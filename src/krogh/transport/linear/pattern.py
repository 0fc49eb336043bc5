"""Know where each slope goes in the sparse matrix of one problem."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from krogh.transport.graph import Graph
from krogh.transport.operator import Slopes

__all__ = ["Pattern"]


class Pattern:
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
