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

__all__ = ["Evidence", "Learning", "ascend", "curvature"]

FloatArray = NDArray[np.float64]
_CLOSE = 0.05  # predicted gain in ln evidence at which the search ends: far below the uncertainty of the maximum
_REFRESH = 3
_STUCK = 1e4


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


def curvature(prior: MixturePrior, slope: FloatArray, information: FloatArray) -> FloatArray:
    """Return minus the curvature of ln evidence + ln hyperprior from the gradient and the Fisher matrix of the evidence.

    A part of the prior that no voxel asks for leaves no trace in the empirical Fisher matrix, though n voxels without it say that
    its weight is small. The exact curvature in the weights adds ``P' diag(n w - sum of shares) P``, P removing the mean.
    """
    n = prior.weight.size
    matrix = information + np.diag(penalty_slope(prior)[1] + 1e-9 * np.trace(information) / slope.size)
    centre = np.eye(n) - prior.weight
    matrix[:n, :n] += centre.T @ (np.maximum(-slope[:n], 0.0)[:, None] * centre)
    return np.asarray(matrix)


def ascend(evidence: Evidence, start: MixturePrior, *, max_rounds: int, tell: Callable[[int], None] = lambda i: None) -> Learning:
    """Return the prior with the components of `start` that maximises ln evidence + ln hyperprior.

    ``converged`` says whether less than 0.05 was left to gain.
    """
    prior = start
    value, state = evidence.value(prior)
    value += penalty(prior)
    history, damping, information = [value], 0.0, None
    for i in range(max_rounds):
        slope = evidence.slope(prior, state)
        if information is None or i % _REFRESH == 0:
            information = evidence.information(prior, state)
        matrix = curvature(prior, slope, information)
        slope = slope + penalty_slope(prior)[0]
        # judged without damping, which would call a slow climb along a weak direction (the spread of AXR) a summit
        if 0.5 * float(slope @ np.linalg.solve(matrix, slope)) < _CLOSE:
            return Learning(prior, tuple(history), True)
        while True:
            step = np.asarray(np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), slope))
            step = np.asarray(step * min(1.0, 1.5 / float(np.abs(step).max())))
            trial = move(prior, step)
            new, new_state = evidence.value(trial)
            new += penalty(trial)
            if new > value:
                damping = damping * (0.1 if new - value > 0.3 * float(step @ slope) else 1.0)
                break
            if damping > _STUCK:
                return Learning(prior, tuple(history), False)
            damping = max(damping * 10, 1e-4)
        prior, value, state = trial, new, new_state
        history.append(value)
        tell(i + 1)
    return Learning(prior, tuple(history), False)
