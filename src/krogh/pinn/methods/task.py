"""Say what a method is to train: the equations, the blood, and how good the answer must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from krogh.pinn.physics import Slab

__all__ = ["Stage", "Task"]


@dataclass(frozen=True)
class Stage:
    """Say how far the training of one stretch of time is: step, loss, best certificate so far (None: not known yet)."""

    begin_s: float
    end_s: float
    step: int
    steps: int
    loss: float
    certificate: float | None


@dataclass(frozen=True)
class Task:
    """Hold one slab problem for networks.

    Attributes
    ----------
    slab : Slab
        Its equations.
    blood : callable
        ``blood(t, left)`` is the free concentration (S, time) [mol/m3] at the times `t`; with `left`, just before a dose.
    events : list of float
        Start, every time at which the blood jumps or bends, and the end [s].
    tol : float
        What the certificate should reach.
    seed : int
        Seed of every random number.
    progress : callable or None
        Called with the share of the run that is done.
    tell : callable or None
        Called after the steps of a training.
    """

    slab: Slab
    blood: Callable[[np.ndarray, bool], np.ndarray]
    events: list[float]
    tol: float
    seed: int = 0
    progress: Callable[[float], None] | None = None
    tell: Callable[[Stage], None] | None = None
