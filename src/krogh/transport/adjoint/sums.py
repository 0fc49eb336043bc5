"""Add up what the stages of a step hand back, in one pass over the unknowns each; all arrays flat."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_scaled", "stage_bar", "stage_right"]


@njit(cache=True, nogil=True)
def add_scaled(out: np.ndarray, factor: float, x: np.ndarray) -> None:
    """Add ``factor x`` to `out`."""
    for i in range(out.size):
        out[i] += factor * x[i]


@njit(cache=True, nogil=True)
def stage_right(capacity, kbar, gh, by_auc, auc, by_later, later, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``C kbar / gh + by_auc auc + by_later later``, the right-hand side of a transposed stage."""
    for i in range(out.size):
        out[i] = capacity[i] * (kbar[i] / gh) + by_auc * auc[i] + by_later * later[i]


@njit(cache=True, nogil=True)
def stage_bar(capacity, weight, kbar, gh, start, here, bar, by_capacity) -> None:  # type: ignore[no-untyped-def]
    """Write ``weight - kbar / gh`` where something is stored, 0 elsewhere, and add what the capacity takes from it."""
    for i in range(bar.size):
        bar[i] = weight[i] - kbar[i] / gh if capacity[i] > 0.0 else 0.0
        by_capacity[i] += bar[i] * (start[i] - here[i])
