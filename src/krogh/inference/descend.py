"""Minimise many points at once: Levenberg-Marquardt with Fisher information, within bounds, some coordinates held.

Each point has its own damping; all that are not done are evaluated in one batch, so the profile of every parameter, or the fit of
hundreds of simulated data sets, costs hardly more than one fit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from krogh.inference.target import Point, Target

__all__ = ["REACH_PRECISION", "Descent", "descend"]

_RIDGE = 1e-6
#: Added to the information where a decrease is predicted: nothing lies further than some seven log-units, the reach of a search.
REACH_PRECISION = 1 / 7**2
_LONGEST = 1.5
_HOPELESS = 1e10
#: Adaptive time steps change between evaluations and with them the objective, by about this much; a step that costs less is
#: taken.
_SLACK = 1e-5
_NOISE = 1e-2
_PATIENCE = 3
#: Share of the predicted decrease below which a step is taken for too long.
_POOR = 0.25


@dataclass(frozen=True, slots=True)
class Descent:
    """Hold the best points, by how much twice the objective can still fall there, whether each converged, evaluations of each."""

    at: Point
    decrease: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray


def descend(
    target: Target,
    start: np.ndarray,
    *,
    held: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    tol: float = 1e-8,
    most: int = 60,
) -> Descent:
    """Minimise from each of the points `start` (C, P).

    Parameters
    ----------
    target : Target
        What is minimised.
    start : array (C, P)
        Starting points, moved into the bounds.
    held : bool array (C, P), optional
        Coordinates that stay.
    rows : int array (C,), optional
        Row of the data of each point.
    tol : float
        A point is done when the predicted decrease, the squared distance to the minimum in standard deviations, is below this.
    most : int
        Most evaluations.
    """
    x = np.clip(np.array(start, dtype=float), target.low, target.high)
    count = len(x)
    fixed = np.zeros_like(x, dtype=bool) if held is None else held
    at = target.look(x, rows)
    damping, done = np.full(count, 1e-3), np.zeros(count, dtype=bool)
    converged, used, idle = np.zeros(count, dtype=bool), np.ones(count, dtype=int), np.zeros(count, dtype=int)
    for _ in range(most):
        move, decrease = _steps(target, at, fixed, damping)
        lost = damping > _HOPELESS  # no better point in any direction: at the noise of the objective, or nowhere
        # along a direction that the data do not hold there is no end: stop where nothing is gained any more
        converged |= ~done & ((decrease <= tol) | ((lost | (idle >= _PATIENCE)) & (decrease <= _NOISE)))
        done |= converged | lost
        active = np.flatnonzero(~done)
        if not active.size:
            break
        there = np.clip(at.x[active] + move[active], target.low, target.high)
        trial = target.look(there, None if rows is None else rows[active])
        used[active] += 1
        better = np.isfinite(trial.value) & (trial.value < at.value[active] + _SLACK)
        gain = np.where(better, at.value[active] - trial.value, 0.0)
        idle[active] = np.where(gain < _NOISE / 10, idle[active] + 1, 0)
        good = better & ~_overshot(at, active, there, gain)
        damping[active] = np.where(good, np.maximum(damping[active] / 8, 1e-9), np.maximum(damping[active] * 8, 1e-6))
        _take(at, active[better], trial, better)
    return Descent(at, decrease, converged, used)


def _steps(target: Target, at: Point, fixed: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the step of each point (C, P), and the decrease that an undamped one predicts (C,)."""
    stuck = ((at.x <= target.low) & (at.gradient > 0)) | ((at.x >= target.high) & (at.gradient < 0))
    free = ~(fixed | stuck)
    g = np.where(free, at.gradient, 0.0)
    h = at.information * (free[:, :, None] & free[:, None, :])
    diagonal = np.einsum("cpp->cp", h)
    eye = np.eye(target.size)
    base = h + eye * (_RIDGE + ~free)[:, None, :]
    decrease = np.einsum("cp,cp->c", g, np.linalg.solve(base + REACH_PRECISION * eye, g[..., None])[..., 0])
    move = -np.linalg.solve(base + eye * (damping[:, None] * diagonal)[:, None, :], g[..., None])[..., 0]
    longest = np.abs(move).max(1, keepdims=True)
    return move * np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-300)), decrease


def _overshot(at: Point, active: np.ndarray, there: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which steps gained far less than predicted: where the information is too flat, full steps swing to and fro."""
    move = there - at.x[active]
    bend = 0.5 * np.einsum("cp,cpq,cq->c", move, at.information[active], move)
    promised = -np.einsum("cp,cp->c", at.gradient[active], move) - bend
    return np.asarray((promised > _NOISE) & (gain < _POOR * promised))


def _take(at: Point, where: np.ndarray, trial: Point, chosen: np.ndarray) -> None:
    for field in fields(Point):
        getattr(at, field.name)[where] = getattr(trial, field.name)[chosen]
