"""Name what a stepper needs from the blood, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from krogh.errors import InputError

__all__ = ["BloodSource", "March", "StepStats", "check_blood"]


class BloodSource(Protocol):
    """Give the free concentration in blood and the times at which it is not smooth."""

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the free concentration (B, S) at `t_s`; with `left`, just before."""
        ...

    def events(self, t_end_s: float) -> np.ndarray:
        """Return the times in (0, t_end_s) at which a dose starts or stops [s]."""
        ...


def check_blood(blood: BloodSource, batch: int, species: int) -> None:
    """Refuse blood that does not have the shape of the barrier.

    Raises
    ------
    InputError
        If it does not.
    """
    shape = blood.free(0.0).shape
    if shape != (batch, species):
        raise InputError("blood", got=f"shape {shape}", expected=f"({batch}, {species}) (problems, species)")


@dataclass
class StepStats:
    """Count the work that was done; ``repaired``: steps in which an undershoot was returned to its neighbour."""

    steps: int = 0
    rejected: int = 0
    solves: int = 0
    iterations: int = 0
    repaired: int = 0


@dataclass
class March:
    """Hold what the stepper saw.

    Attributes
    ----------
    factors : mapping of str to int
        How many factors of each kind (``modes``, ``sparse LU``) the linear solver made, where it keeps any.
    t_s : list of float
        Times of the accepted steps.
    u, slope : lists of arrays
        State and du/dt at those times (after `reduce`).
    ledger : list of arrays (B, S, row)
        Cumulative ledger at those times.
    auc : array (B, S, N)
        Time integral of u by the weights of the method.
    """

    t_s: list[float] = field(default_factory=list)
    u: list[np.ndarray] = field(default_factory=list)
    slope: list[np.ndarray] = field(default_factory=list)
    ledger: list[np.ndarray] = field(default_factory=list)
    auc: np.ndarray | None = None
    final: np.ndarray | None = None
    stats: StepStats = field(default_factory=StepStats)
    worst_defect: float = 0.0
    most_negative: float = 0.0
    factors: dict[str, int] = field(default_factory=dict)
