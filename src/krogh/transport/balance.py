"""Close the mass balance of a stage that was solved to a tolerance: one number near 1 per species."""

from __future__ import annotations

import numpy as np

from krogh.transport.operator import Operator

__all__ = ["close_balance"]

_ROUND_OFF = 2e-16


def close_balance(
    operator: Operator, gh: float, r: np.ndarray, u: np.ndarray, blood: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return (u, ledger rates, closed): the state times a number per problem and species, such that what it holds adds up.

    ``sum(C u) = sum(r) + gh (in - out)`` with the ledger taken at that same state; an iteration that stops with an error of
    1e-8 has moved 1e-8 of the mass, and this gives it back. The number is found by a few secant steps.
    """
    signs = np.array([sign for _, sign in operator.ledger_names], dtype=float)
    capacity = operator.graph.capacity
    known = r.sum(-1)
    rows = operator.ledger(u, blood)
    for _ in range(6):
        held = (capacity * u).sum(-1)
        defect = known + gh * (rows @ signs) - held
        size = np.maximum(np.abs(held), np.maximum(np.abs(known), gh * np.abs(rows * signs).max(-1)))
        if np.all(np.abs(defect) <= _ROUND_OFF * size):
            return u, rows, True
        leaving = gh * (rows * (signs < 0)).sum(-1)
        weight = np.abs(held) + np.abs(leaving)
        part = np.divide(defect, weight, out=np.zeros_like(defect), where=weight > 0)
        if not np.all(np.abs(part) <= 1e-3):
            return u, rows, False
        u = u * (1.0 + part[..., None])
        rows = operator.ledger(u, blood)
    return u, rows, True
