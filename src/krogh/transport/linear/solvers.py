"""Solve (C + gh L) step = -residual with the linear algebra that suits the structure of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from krogh.transport.crossing import Met
from krogh.transport.linear.chain import chain_newton_pass, chain_newton_step, coupled_chain_newton_step
from krogh.transport.linear.embedded import EmbeddedSolver
from krogh.transport.linear.modal import ModalSolver
from krogh.transport.linear.sparse import SparseSolver
from krogh.transport.operator import Operator

__all__ = ["SOLVERS", "ChainSolver", "LinearSolver", "SparseSolver"]


class LinearSolver(Protocol):
    """What a Newton iteration asks of its linear algebra."""

    #: Largest relative update at which the iteration may stop; full Newton squares the error once more, a kept factor does not.
    accept: float

    @property
    def accuracy(self) -> float:
        """Return the relative error of one step of a linear problem."""
        ...

    def step(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray, *, met: Met | None = None,
        loose: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return the Newton update for `residual` at the state (u, blood), where `met` is what the operator meets.

        With `loose`, an iteration may stop at a tenth.
        """
        ...

    @property
    def advance(self) -> Callable[..., float] | None:
        """Return what takes a whole step in place, by flat (capacity, gh, u, blood, known, floor, met), and returns its size."""
        ...

    def refresh(self) -> bool:
        """Forget kept factors; return whether that can help."""
        ...

    def forget(self, capacity: np.ndarray) -> None:
        """Forget the factors for this capacity, which will not come again."""
        ...


class ChainSolver:
    """Solve by tridiagonal elimination with the slopes of the present state: full Newton."""

    accept = 1e-7
    accuracy = 1e-12

    def __init__(self, operator: Operator) -> None:
        graph = operator.graph
        self._operator = operator
        self._n_chain = int(graph.layout["n_chain"])
        self._tail = np.ascontiguousarray(graph.tail, dtype=np.int64)
        self._head = np.ascontiguousarray(graph.head, dtype=np.int64)
        self.advance = self._advance if operator.compiled else None

    def _advance(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, known: np.ndarray, floor: np.ndarray, met: Met
    ) -> float:
        """Improve `u`, shape (rows, N) as `capacity` and `known`; return the relative size of the step."""
        flat = self._operator.flat
        parts: tuple[Any, ...] = (*flat.flows, *flat.bend(met), *flat.reactions, self._n_chain, floor)
        return float(chain_newton_pass(u, blood, capacity, gh, known, self._tail, self._head, *parts))

    def step(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray, *, met: Met | None = None,
        loose: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return the update, shape (B, S, N)."""
        slopes = self._operator.slopes(u, blood, met)
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

    def forget(self, capacity: np.ndarray) -> None:
        """Do nothing: nothing is kept."""


#: structure of the graph -> solver
SOLVERS: dict[str, Callable[[Operator], LinearSolver]] = {
    "chain": ChainSolver,
    "general": SparseSolver,
    "cylinder": ModalSolver,
    "embedded": EmbeddedSolver,
}
