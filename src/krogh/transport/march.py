"""Name what a stepper needs from the blood, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from krogh.errors import InputError

__all__ = ["BloodSource", "March", "StepStats", "check_blood", "hermite"]

#: Share of the slopes at both ends of a step by which their mean may miss the slope of the chord at a smooth peak.
_BENT = 0.5


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
    u, slope, slope_before : lists of arrays
        State at those times, and du/dt just after and just before (after `reduce`): they differ where a dose starts or stops.
    ledger : list of arrays (B, S, row)
        Cumulative ledger at those times.
    auc : array (B, S, N)
        Time integral of u by the weights of the method.
    """

    t_s: list[float] = field(default_factory=list)
    u: list[np.ndarray] = field(default_factory=list)
    slope: list[np.ndarray] = field(default_factory=list)
    slope_before: list[np.ndarray] = field(default_factory=list)
    ledger: list[np.ndarray] = field(default_factory=list)
    auc: np.ndarray | None = None
    final: np.ndarray | None = None
    stats: StepStats = field(default_factory=StepStats)
    worst_defect: float = 0.0
    most_negative: float = 0.0
    factors: dict[str, int] = field(default_factory=dict)

    def at(self, t_s: np.ndarray) -> np.ndarray:
        """Return the kept values at the times `t_s`, (time, ...); see :func:`hermite`."""
        t, u, after, before = (np.array(x) for x in (self.t_s, self.u, self.slope, self.slope_before))
        return hermite(t, u, after, before, np.asarray(t_s, dtype=float))


def hermite(t: np.ndarray, u: np.ndarray, after: np.ndarray, before: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return `u` (step, ...) at the times `at`: cubic by the slopes, straight where that would leave the ends of a step unduly.

    Parameters
    ----------
    t, u, at : arrays
        Times of the steps [s], values there, and the times that are wanted [s].
    after, before : arrays, shape of `u`
        du/dt just after and just before each step.
    """
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, t.size - 2)
    h = (t[i + 1] - t[i]).reshape(-1, *[1] * (u.ndim - 1))
    x = ((at - t[i]).reshape(h.shape) / h).clip(0.0, 1.0)
    a, b, first, last = u[i], u[i + 1], h * after[i], h * before[i + 1]
    cubic = a * (1 + 2 * x) * (1 - x) ** 2 + b * x**2 * (3 - 2 * x) + first * x * (1 - x) ** 2 - last * x**2 * (1 - x)
    straight = a + x * (b - a)
    low, high = np.minimum(a, b), np.maximum(a, b)
    # a cubic far outside its ends belongs to a kink (the start of a dose, a membrane face without a slope): take the line, unless
    # both slopes tell of a smooth peak or valley, where their mean is the slope of the chord
    within = (cubic >= np.minimum(low, 0.999 * low)) & (cubic <= high + 0.05 * (high - low) + 1e-3 * high)
    smooth = (first * last < 0) & (np.abs(2 * (b - a) - first - last) <= _BENT * (np.abs(first) + np.abs(last)))
    return np.where((within | smooth) & (cubic >= 0), cubic, straight)
