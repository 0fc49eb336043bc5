"""Describe an implicit Runge-Kutta method by its table; one driver runs them all."""

from __future__ import annotations

from dataclasses import dataclass

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
