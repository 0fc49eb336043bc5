"""Solve for the output weights by least squares, the hidden weights frozen: no epochs, no learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from krogh.pinn.draw import Size
from krogh.pinn.march import Plan, Trained, cover
from krogh.pinn.methods.task import Task

__all__ = ["levels_of", "run"]

_PILOT = Size(40)


def run(task: Task) -> list[Trained]:
    """Return the windows of a run; a small pilot run finds how large the concentrations are."""
    pilot = cover(task.slab, task.blood, task.events, Plan(math.inf, _PILOT, task.seed))
    size = Size(80 if task.tol > 1e-5 else 120 if task.tol > 1e-7 else 180)
    plan = Plan(
        task.tol, size, task.seed, levels_of(pilot), keep=task.keep, tell=task.tell, triangle=task.triangle, strict=task.strict
    )
    return cover(task.slab, task.blood, task.events, plan, task.progress)


def levels_of(pilot: list[Trained]) -> Callable[[float, float], np.ndarray]:
    """Return the expected size of the concentrations in a window: the peak of each layer, lowered where all have declined."""
    ends = [(w.window.clock.start_s + w.window.clock.a_s, w.window.clock.start_s + w.window.clock.b_s) for w in pilot]
    sizes = np.array([w.window.level for w in pilot])
    top = sizes.max(0)

    def levels(a: float, b: float) -> np.ndarray:
        near = [k for k, (low, high) in enumerate(ends) if low < b and high > a]
        share = (sizes[near].max(0) / top).max(1, keepdims=True)
        return top * share

    return levels
