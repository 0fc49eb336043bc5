"""Solve (C + gh L) step = -residual by a factor that is kept while it serves: a sparse one, for any graph."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from krogh.transport.crossing import Met
from krogh.transport.linear.kept import KeptFactors
from krogh.transport.linear.pattern import Pattern
from krogh.transport.operator import Operator, Slopes

__all__ = ["Factor", "SparseSolver", "sparse_factor"]


class Factor(Protocol):
    """A factor of C + gh L."""

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-1 right`` for one long vector."""
        ...


def sparse_factor(matrix: scipy.sparse.csc_matrix) -> scipy.sparse.linalg.SuperLU:
    """Return the sparse LU factor of a matrix whose diagonal needs no pivoting."""
    options = {"SymmetricMode": True}
    return scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", options=options, diag_pivot_thresh=0.0)


class SparseSolver:
    """Solve by sparse LU, kept per step size and reused for nearby states (modified Newton); one problem at a time.

    Step sizes come in powers of sqrt(2), so a day of simulation needs about a hundred factors.
    """

    accept = 1e-11
    advance = None
    accuracy = 1e-9
    _kept = 12

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._factors: KeptFactors[Factor] = KeptFactors(self._kept)
        self._pattern = Pattern(operator.graph)
        #: How many factors of each kind were made.
        self.counts: Counter[str] = Counter()

    def _factorise(self, capacity: np.ndarray, gh: float, slopes: Slopes) -> Factor:
        """Return a factor of C + gh L."""
        self.counts["sparse LU"] += 1
        return sparse_factor(self._pattern.matrix(capacity, gh, slopes))

    def step(
        self, capacity: np.ndarray, gh: float, u: np.ndarray, blood: np.ndarray, residual: np.ndarray, *, met: Met | None = None,
        loose: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Return the update, shape (1, S, N)."""
        factor = self._factors.get(capacity, gh, lambda: self._factorise(capacity, gh, self._operator.slopes(u, blood, met)))
        return -factor.solve(residual.reshape(-1)).reshape(residual.shape)

    def refresh(self) -> bool:
        """Drop every kept factor, so that the next step is taken with fresh slopes."""
        return self._factors.clear()

    def forget(self, capacity: np.ndarray) -> None:
        """Drop the factors for this capacity."""
        self._factors.forget(capacity)
