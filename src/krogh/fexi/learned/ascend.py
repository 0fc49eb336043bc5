"""Climb to the most probable prior by scoring with the empirical Fisher matrix, whatever the evidence is computed with.

A single voxel says so little about its AXR that expectation maximisation would need hundreds of rounds; scoring needs about ten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.learned.hyperprior import move, penalty, penalty_slope
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["Evidence", "Learning", "ascend"]

FloatArray = NDArray[np.float64]
_CLOSE = 0.1  # predicted gain in ln evidence at which the search ends: far below the uncertainty of the maximum
_REFRESH = 3


@dataclass(frozen=True)
class Learning:
    """Hold the learned prior, the penalised ln evidence after every step, and whether the search ended at a maximum."""

    prior: MixturePrior
    history: tuple[float, ...]
    converged: bool


class Evidence(Protocol):
    """What the climb asks of the voxels: ln evidence of a prior, its gradient and its empirical Fisher matrix."""

    def value(self, prior: MixturePrior) -> tuple[float, Any]:
        """Return ln evidence summed over voxels, and what the other two need of the same prior."""
        ...

    def slope(self, prior: MixturePrior, state: Any) -> FloatArray:
        """Return the gradient in the local coordinates of `prior`."""
        ...

    def information(self, prior: MixturePrior, state: Any) -> FloatArray:
        """Return the sum over voxels of the outer product of their gradients."""
        ...


def ascend(evidence: Evidence, start: MixturePrior, *, max_rounds: int, tell: Callable[[int], None] = lambda i: None) -> Learning:
    """Return the prior with the components of `start` that maximises ln evidence + ln hyperprior.

    ``converged`` says whether less than 0.1 was left to gain.
    """
    prior = start
    value, state = evidence.value(prior)
    value += penalty(prior)
    history, damping, information = [value], 1e-2, None
    for i in range(max_rounds):
        slope, curve = penalty_slope(prior)
        slope += evidence.slope(prior, state)
        if information is None or i % _REFRESH == 0:
            information = evidence.information(prior, state)
        matrix = information + np.diag(curve + 1e-6 * np.trace(information) / curve.size)
        while True:
            step = np.asarray(np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), slope))
            step = np.asarray(step * min(1.0, 1.5 / float(np.abs(step).max())))
            gain = float(step @ slope)
            if gain < _CLOSE or damping > 1e4:
                return Learning(prior, tuple(history), gain < _CLOSE)
            trial = move(prior, step)
            new, new_state = evidence.value(trial)
            new += penalty(trial)
            if new > value:
                damping = max(damping * (0.2 if new - value > 0.3 * gain else 1.0), 1e-4)
                break
            damping = max(damping * 8, 1e-2)
        prior, value, state = trial, new, new_state
        history.append(value)
        tell(i + 1)
    return Learning(prior, tuple(history), False)
