"""Say what the adjoint needs of a problem in space; a new geometry is one new class with these methods.

The adjoint knows only ``C du/dt = F(u, t; p)`` of one problem, with states (1, S, N) and *coefficients* p: the arrays that the
assembled problem consists of (conductances, capacities, the constants of every flux law). How coefficients follow from what a
user varies is no business of the time steps: it is asked for once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from krogh.transport.linear.gmres import gmres

__all__ = ["AdjointSystem", "Coefficients", "Linearised", "Pulled", "add", "refine", "reduce_to"]

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


def refine(apply: Any, right: np.ndarray, precondition: Any, *, tolerance: float) -> tuple[np.ndarray, int]:
    """Return (x, products) with ``apply(x) = right`` from a preconditioner that is exact or nearly so."""
    x = precondition(right)
    rest = right - apply(x)
    if float(np.linalg.norm(rest)) <= tolerance * float(np.linalg.norm(right)):
        return x, 1
    shape = right.shape
    change, used, _ = gmres(
        lambda v: apply(v.reshape(shape)).ravel(), rest.ravel(), lambda v: precondition(v.reshape(shape)).ravel(),
        tolerance=tolerance * float(np.linalg.norm(right)) / float(np.linalg.norm(rest)), restart=12, most=48,
    )  # fmt: skip
    return x + change.reshape(shape), used + 1
