"""Say what the adjoint needs of a problem in space; a new geometry is one new class with these methods.

The adjoint knows only ``C du/dt = F(u, t; p)`` of one problem, with states (1, S, N) and *coefficients* p: the arrays that the
assembled problem consists of (conductances, capacities, the constants of every flux law). How coefficients follow from what a
user varies is no business of the time steps: it is asked for once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.linear.gmres import gmres

__all__ = ["AdjointSystem", "Coefficients", "Linearised", "Pulled", "Refinement", "add", "reduce_to"]

#: Name of a coefficient -> its values.
Coefficients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pulled:
    """Hold ``weight . dF/d(coefficient)`` of every wanted coefficient, and ``weight . dF/d(blood)`` of each state (n, S)."""

    coefficients: Coefficients
    blood: np.ndarray


class Linearised(Protocol):
    """F around one state; L = -dF/du there."""

    def solve(self, gh: float, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-T right`` for a right-hand side that is 0 where nothing is stored."""
        ...

    def complete(self, weight: np.ndarray) -> np.ndarray:
        """Return weights of all unknowns for those of the cells: membrane faces follow, ``L^T w = 0`` there."""
        ...

    def product(self, weight: np.ndarray) -> np.ndarray:
        """Return ``L^T weight``."""
        ...


class AdjointSystem(Protocol):
    """The transposed derivatives of a system."""

    @property
    def media(self) -> dict[str, np.ndarray]:
        """Return the unknowns of every medium."""
        ...

    @property
    def together(self) -> int:
        """Return how many states :meth:`pull` likes to take at once."""
        ...

    def at(self, u: np.ndarray, blood: np.ndarray) -> Any:
        """Return F around the state `u` (1, S, N) and the blood (1, S), a :class:`Linearised`."""
        ...

    def pull(self, points: Sequence[Any], weights: Sequence[np.ndarray], wanted: frozenset[str]) -> Pulled:
        """Return what the wanted coefficients get from several :class:`Linearised` with their weights, summed."""
        ...

    def pull_capacity(self, weight: np.ndarray) -> Coefficients:
        """Return ``weight . dC/d(coefficient)`` for a weight (1, S, N)."""
        ...


_MOST_REFINEMENTS = 12
Product = Callable[[np.ndarray], np.ndarray]
NearInverse = Callable[[np.ndarray, float], np.ndarray]


def add(total: Coefficients, part: Coefficients) -> None:
    """Add `part` to `total` in place."""
    for name, values in part.items():
        total[name] = total[name] + values if name in total else values


def reduce_to(shape: tuple[int, ...], values: np.ndarray) -> np.ndarray:
    """Return `values` summed over the axes along which an array of `shape` is broadcast."""
    extra = values.ndim - len(shape)
    values = values.sum(tuple(range(extra))) if extra else values
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and values.shape[i] != 1)
    return values.sum(axes, keepdims=True) if axes else values


@dataclass
class Refinement:
    """Solve with a near inverse, again and again with what is left; learn how near it is."""

    tolerance: float
    #: What the first solve left over last time, relative to the right-hand side.
    left: float = 0.0

    def solve(self, apply: Product, right: np.ndarray, near: NearInverse) -> tuple[np.ndarray, int]:
        """Return (x, solves) with ``|right - apply(x)| <= tolerance |right|``.

        Parameters
        ----------
        apply : callable
            The matrix.
        near : callable
            Its approximate inverse; takes a right-hand side and the relative tolerance that is worth its while.
        """
        size = float(np.linalg.norm(right))
        if size == 0.0:
            return np.zeros_like(right), 0
        x = near(right, min(1e-2, 0.1 * max(self.left, self.tolerance)))
        before = 1.0
        for count in range(1, _MOST_REFINEMENTS):
            rest = right - apply(x)
            now = float(np.linalg.norm(rest)) / size
            self.left = now if count == 1 else self.left
            if now <= self.tolerance:
                return x, count
            if now > 0.3 * before:
                break
            before = now
            x = x + near(rest, min(1e-2, 0.1 * self.tolerance / now))
        shape = right.shape
        change, used, good = gmres(
            lambda v: apply(v.reshape(shape)).ravel(), rest.ravel(), lambda v: near(v.reshape(shape), 1e-3).ravel(),
            tolerance=self.tolerance / now, restart=12, most=120,
        )  # fmt: skip
        if not good:
            raise ConvergenceError("adjoint", got="no solution of a transposed stage", hint="use a smaller rtol, or a finer step")
        return x + change.reshape(shape), count + used
