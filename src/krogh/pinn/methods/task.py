"""Say what a method is to train: the equations, the blood, and how good the answer must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from krogh.pinn.keep import Keep
from krogh.pinn.physics import Slab
from krogh.pinn.stage import Stage
from krogh.pinn.triangle import ON_CPU, Triangle

__all__ = ["Task"]


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
    keep : Keep or None
        Where the state of the run is stored, and taken up again.
    triangle : Triangle
        Where rows are reduced, and how.
    strict : bool
        Whether to stop at the first window whose equations cannot be solved.
    """

    slab: Slab
    blood: Callable[[np.ndarray, bool], np.ndarray]
    events: list[float]
    tol: float
    seed: int = 0
    progress: Callable[[float], None] | None = None
    tell: Callable[[Stage], None] | None = None
    keep: Keep | None = None
    triangle: Triangle = ON_CPU
    strict: bool = False
