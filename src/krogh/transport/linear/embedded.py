"""Solve a network in its tissue: cosine transforms, sparse elimination of the network, GMRES on the cells that they share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from krogh.transport.crossing import Met
from krogh.transport.graph import Graph
from krogh.transport.linear.cosines import Cosines
from krogh.transport.linear.gmres import Seen, gmres
from krogh.transport.linear.kept import KeptFactors
from krogh.transport.linear.pattern import Pattern
from krogh.transport.linear.sparse import sparse_factor
from krogh.transport.operator import Operator, Slopes

__all__ = ["EmbeddedSolver"]


@dataclass(frozen=True)
class _Factor:
    """Factors for one step size: the network's, and per species the tissue's symbol and its compartments' pivots."""

    network: scipy.sparse.linalg.SuperLU
    symbol: np.ndarray
    share: np.ndarray
    pivot: np.ndarray
    exchange: np.ndarray
    near: np.ndarray
    seen: Seen


class EmbeddedSolver:
    """Newton steps on a graph of structure ``embedded``: network nodes first, then a uniform tissue, then its compartments.

    The tissue has constant coefficients, so ``C + gh L`` of it is diagonal in cosines; the mean slopes of its reactions are in
    that diagonal, and the iteration of the stage takes care of the rest.
    """

    accept = 1e-12
    advance = None
    _kept = 6

    def __init__(self, operator: Operator) -> None:
        #: Share of what the nodes hold that a step may be wrong by, and the smallest tolerance of its iteration. By default the
        #: last digits come from another Newton step, whose residual is formed from flows.
        self.digits, self.floor = 1e-13, 1e-10

        graph = operator.graph
        self._operator, self._graph = operator, graph
        self._first = int(graph.layout["first_tissue"])
        self._shape: tuple[int, int, int] = graph.layout["shape"]
        self._cosines = Cosines(self._shape)
        self._cells, self._leaves = int(np.prod(self._shape)), int(graph.layout["cells"])
        start, count = graph.layout["spread"]
        spread = slice(start, start + count)
        self._own = np.flatnonzero((graph.head < self._first) & ((graph.tail < self._first) | (graph.tail == graph.shape[2])))
        self._own = np.union1d(self._own, np.arange(start, start + count))
        self._touched, column = np.unique(graph.head[spread] - self._first, return_inverse=True)
        self._face, self._column = graph.tail[spread], column
        self._g = graph.conductance[0][:, spread]
        s = graph.shape[1]
        size = (self._first, self._touched.size)
        self._join = [scipy.sparse.coo_matrix((self._g[i], (self._face, column)), shape=size).tocsr() for i in range(s)]
        self._back = [j.T.tocsr() for j in self._join]
        self._weight = np.stack([np.bincount(column, self._g[i], minlength=self._touched.size) for i in range(s)])
        self._lateral = self._symbol()
        self._pattern = Pattern(self._network_graph())
        self._factors: KeptFactors[_Factor] = KeptFactors(self._kept)

    @property
    def accuracy(self) -> float:
        """Return the relative error of one step of a linear problem."""
        return 10 * self.digits

    def _symbol(self) -> np.ndarray:
        """Return the eigenvalues of diffusion between the cells (S, cells), per unit of conductance."""
        one = [2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in self._shape]
        total = one[0][:, None, None] + one[1][None, :, None] + one[2][None, None, :]
        between = (
            (self._graph.tail >= self._first) & (self._graph.head >= self._first) & (self._graph.tail < self._graph.shape[2])
        )
        between &= self._graph.head < self._first + self._cells
        g = self._graph.conductance[0][:, np.flatnonzero(between)[0]] if between.any() else np.zeros(self._graph.shape[1])
        return g[:, None] * total.ravel()

    def _network_graph(self) -> Graph:
        """Return the network alone; where it meets the tissue it sees a fixed value, as it sees the blood."""
        graph, n, own = self._graph, self._first, self._own

        def outside(nodes: np.ndarray) -> np.ndarray:
            return np.minimum(nodes, n)

        assert graph.upstream is not None
        assert graph.blend is not None
        return replace(
            graph, capacity=graph.capacity[..., :n], tail=outside(graph.tail[own]), head=outside(graph.head[own]),
            upstream=outside(graph.upstream[own]), blend=graph.blend[..., own], loss=graph.loss[..., :n],
            outflow=graph.outflow[..., :n], routes=(), reactions=(), parent=graph.parent[:n],
        )  # fmt: skip

    def _factor(self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray) -> _Factor:
        slopes = self._operator.slopes(u, blood)
        n, s = self._first, self._graph.shape[1]
        if slopes.coupled:
            part = Slopes(slopes.tail[:, self._own], slopes.head[:, self._own], slopes.node[:, :n], coupled=True)
            node = np.stack([slopes.node[0, n:, i, i] for i in range(s)])
        else:
            part = Slopes(slopes.tail[..., self._own], slopes.head[..., self._own], slopes.node[..., :n], coupled=False)
            node = slopes.node[0, :, n:]
        matrix = self._pattern.matrix(capacity[..., :n], gh, part)
        held = capacity[0, :, n:].reshape(s, 1 + self._leaves, self._cells)[..., 0]
        sink = node.reshape(s, 1 + self._leaves, self._cells).mean(-1)
        exchange, back = self._exchange()
        pivot = held[:, 1:] + gh * (sink[:, 1:] + exchange * back)
        share = gh * exchange * back / pivot
        base = held[:, 0] + gh * sink[:, 0] + (gh * exchange * (held[:, 1:] + gh * sink[:, 1:]) / pivot).sum(-1)
        symbol = base[:, None] + gh * self._lateral
        near = 1.0 / (1.0 + gh * self._weight * (1.0 / symbol).mean(-1)[:, None])
        return _Factor(sparse_factor(matrix), symbol, share, pivot, gh * exchange, near, Seen())

    def _exchange(self) -> tuple[np.ndarray, np.ndarray]:
        """Return exchange and back factor of every compartment, (S, leaf)."""
        graph, n = self._graph, self._first + self._cells
        place = [int(np.flatnonzero(graph.head == n + i * self._cells)[0]) for i in range(self._leaves)]
        return graph.conductance[0][:, place], graph.head_factor[0][:, place]

    def _tissue(self, factor: _Factor, right: np.ndarray) -> np.ndarray:
        """Return the tissue (S, cells) for a right-hand side, without the network."""
        hat = self._cosines.forward(right.reshape(-1, *self._shape))
        hat /= factor.symbol.reshape(hat.shape)
        return self._cosines.backward(hat).reshape(right.shape)

    def step(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray, *, met: Met | None = None,
        loose: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return the update (1, S, N); `loose`: to a tenth."""
        goal = self.digits * float(np.abs(capacity * u).sum()) / max(float(np.abs(residual).sum()), 1e-300)
        tolerance = 0.1 if loose else min(1e-3, max(self.floor, goal))
        return self.solve(capacity, gh, u, blood, -residual, tolerance=tolerance)

    def solve(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, given: np.ndarray, *, tolerance: float,
        transposed: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return ``(C + gh L)^-1 given`` (1, S, N), or with the transpose, by the factor that is kept for gh.

        Only the network and the compartments differ in the transpose: diffusion and the spread exchange are symmetric.
        """
        factor = self._factors.get(capacity, gh, lambda: self._factor(capacity, gh, u, blood))
        n, s, touched = self._first, self._graph.shape[1], self._touched
        right = given[0]
        leaves = right[:, n:].reshape(s, 1 + self._leaves, self._cells)
        to_cells, to_leaves = factor.share, factor.exchange / factor.pivot
        if transposed:
            to_cells, to_leaves = to_leaves, to_cells
        folded = leaves[:, 0] + np.einsum("sl,slc->sc", to_cells, leaves[:, 1:])

        def network(b: np.ndarray) -> np.ndarray:
            return factor.network.solve(b.reshape(-1), trans="T" if transposed else "N").reshape(s, n)

        def joined(cells: np.ndarray) -> np.ndarray:
            return gh * np.stack([j @ c for j, c in zip(self._join, cells, strict=True)])

        def exchanged(nodes: np.ndarray, cells: np.ndarray) -> np.ndarray:
            return gh * (np.stack([b @ x for b, x in zip(self._back, nodes, strict=True)]) - self._weight * cells)

        def spread(source: np.ndarray) -> np.ndarray:
            full = np.zeros((s, self._cells))
            full[:, touched] = source.reshape(s, -1)
            return self._tissue(factor, full)

        def apply(source: np.ndarray) -> np.ndarray:
            cells = spread(source)[:, touched]
            return source - exchanged(network(joined(cells)), cells).ravel()

        start = self._tissue(factor, folded)
        near = start[:, touched]
        wanted = exchanged(network(right[:, :n] + joined(near)), near).ravel()
        seen = None if transposed else factor.seen
        source, _, _ = gmres(apply, wanted, lambda x: factor.near.ravel() * x, tolerance=tolerance, seen=seen)
        cells = start + spread(source)
        out = np.empty_like(given)
        out[0, :, :n] = network(right[:, :n] + joined(cells[:, touched]))
        parts = out[0, :, n:].reshape(s, 1 + self._leaves, self._cells)
        parts[:, 0] = cells
        parts[:, 1:] = leaves[:, 1:] / factor.pivot[:, :, None] + to_leaves[:, :, None] * cells[:, None]
        out[0, :, n:] = parts.reshape(s, -1)
        return out

    def refresh(self) -> bool:
        """Drop every kept factor."""
        return self._factors.clear()

    def forget(self, capacity: np.ndarray) -> None:
        """Drop the factors for this capacity."""
        self._factors.forget(capacity)
