"""Describe an implicit Runge-Kutta method by its table; one driver runs them all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["Tableau"]


@dataclass(frozen=True)
class Tableau:
    """Hold a singly diagonally implicit method with an explicit first stage and a stiffly accurate last one.

    Attributes
    ----------
    name : str
        Name on the command line.
    a : array, shape (stage, stage)
        Lower triangular; first row zero; every other diagonal entry equal to `gamma`.
    b_error : array or None
        Weights of the embedded solution; None: the method runs with a fixed step only.
    order : int
        Order of the solution.
    error_order : int
        Order of the embedded one.
    """

    name: str
    a: np.ndarray
    b_error: np.ndarray | None
    order: int
    error_order: int

    @property
    def b(self) -> np.ndarray:
        """Return the weights of the solution: the last row (stiffly accurate)."""
        return self.a[-1]

    @property
    def c(self) -> np.ndarray:
        """Return the stage times."""
        return self.a.sum(axis=1)

    @property
    def gamma(self) -> float:
        """Return the diagonal entry."""
        return float(self.a[-1, -1])

    @cached_property
    def beyond(self) -> np.ndarray:
        """Return by how much the weights differ from those that integrate a polynomial through all stage times exactly."""
        c = self.c
        powers = np.arange(c.size)
        return np.linalg.solve(c[None, :] ** powers[:, None], 1.0 / (powers + 1)) - self.b

    @cached_property
    def ahead(self) -> tuple[tuple[float, ...], ...]:
        """Return, for every stage, weights of the (up to three) stages before it whose parabola leads there."""
        c = self.c
        found: list[tuple[float, ...]] = [()]
        for i in range(1, c.size):
            known = c[max(0, i - 3) : i]
            others = [np.delete(known, k) for k in range(known.size)]
            found.append(tuple(float(np.prod((c[i] - x) / (own - x))) for own, x in zip(known, others, strict=True)))
        return tuple(found)
