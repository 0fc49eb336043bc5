"""Run the stages of one step of an implicit Runge-Kutta method; the march, its replay and its adjoint share them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.transport.march import BloodSource, StepStats
from krogh.transport.steppers import Tableau
from krogh.transport.system import System

__all__ = ["Start", "Step", "run_stages"]

#: F and the ledger rates at the start of a step.
Start = tuple[np.ndarray, np.ndarray]


@dataclass(slots=True)
class Step:
    """Stages of one step; it lands on the last one, unless undershoots were returned."""

    states: list[np.ndarray]
    rates: list[np.ndarray]
    flows: list[np.ndarray]
    bloods: list[np.ndarray]
    landed: np.ndarray
    start: Start


def run_stages(
    system: System, blood: BloodSource, table: Tableau, t: float, h: float, u: np.ndarray, first: Start, *, at_event: bool,
    stats: StepStats | None = None,
) -> Step | None:  # fmt: skip
    """Return the stages of the step from `t` to ``t + h``, or None where one of them has no solution.

    Parameters
    ----------
    u, first
        State at `t`, and F and the ledger rates there.
    at_event : bool
        Whether a dose lies on the end of the step: its last stage then sees the blood just before.
    stats : StepStats, optional
        Counts the work.
    """
    a, c, capacity = table.a, table.c, system.capacity
    states, rates, flows, bloods = [u], [first[0]], [first[1]], [blood.free(t)]
    base = capacity * u
    for i in range(1, len(c)):
        r = base.copy()
        for j in range(i):
            if a[i, j] != 0:
                r += (h * a[i, j]) * rates[j]
        gh = h * a[i, i]
        here = blood.free(t + c[i] * h, left=bool(at_event and c[i] == 1))
        result = system.stage(gh, r, _ahead(states, table.ahead[i]) if system.looks_ahead else states[-1], here)
        if stats is not None:
            stats.solves += 1
            stats.iterations += result.iterations
        if not result.converged:
            return None
        states.append(result.u)
        rates.append((capacity * result.u - r) / gh)
        flows.append(result.flows)
        bloods.append(here)
    return Step(states, rates, flows, bloods, states[-1], (rates[-1], flows[-1]))


def _ahead(states: list[np.ndarray], weights: tuple[float, ...]) -> np.ndarray:
    """Return the last states, weighted."""
    guess = weights[-1] * states[-1]
    for weight, state in zip(weights[-2::-1], states[-2::-1], strict=False):
        guess += weight * state
    return guess
