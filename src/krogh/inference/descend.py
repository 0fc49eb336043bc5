"""Minimise many points at once, each to its own end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.inference.target import Point, Target
from krogh.inference.walkers import Walkers

__all__ = ["Descent", "descend"]


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
    x = np.asarray(start, dtype=float)
    walkers = Walkers(target, len(x), tol=tol, most=most, rows=rows)
    for place in range(len(x)):
        walkers.send(place, x[place : place + 1], None if held is None else held[place])
    while walkers.walking.any():
        walkers.step()
    return Descent(walkers.at, walkers.decrease, walkers.converged, walkers.used)
