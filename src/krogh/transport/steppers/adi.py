"""Alternating directions (Douglas-Gunn) with a fixed step: second order and exactly conservative, on layered blocks only.

A step costs three sweeps of tridiagonal solves and no iteration. But it damps nothing, so modes of the barrier (microseconds)
ring after every dose unless the step resolves them; and its stability in three dimensions needs operators that commute. On random
layered blocks with patches of a thousand nothing grew up to a few thousand times the explicit limit, beyond it some did; on
uneven tissue some grew from a hundred times on. So it is refused there: a baseline for short runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import InputError
from krogh.transport.march import BloodSource, March
from krogh.transport.steppers.records import Records

if TYPE_CHECKING:
    from krogh.transport.system import System

__all__ = ["adi_march"]

_MOST_STEPS = 20_000_000
#: Largest step over the limit of forward Euler.
_MOST_LIMITS = 1000.0


def adi_march(
    system: System,
    blood: BloodSource,
    u: np.ndarray,
    t_end_s: float,
    step_s: float | None,
    reduce: Callable[[np.ndarray], np.ndarray],
    observe: Callable[[float, np.ndarray, np.ndarray], None] | None,
    progress: Callable[[float], None] | None,
) -> March:
    """March by steps of at most `step_s`, doses hit exactly. At most a thousand states are kept.

    Raises
    ------
    InputError
        If this is no layered block, there is no step, it is too long, or too many would be needed.
    ConvergenceError
        If a step finds no balance at the membranes, or a state that is not finite.
    """
    alternating = getattr(system, "alternating", None)
    if alternating is None:
        raise InputError("method adi", got="another geometry, or an uneven tissue", expected="a block of uniform layers",
                         hint="use --method esdirk43")  # fmt: skip
    if step_s is None or not (math.isfinite(step_s) and step_s > 0):
        got = "none" if step_s is None else f"{step_s} s"
        raise InputError("step", got=got, expected="a fixed step > 0 s for 'adi'", hint="give --step, or use --method esdirk43")
    most = _MOST_LIMITS * system.stability_limit_s()
    if step_s > most:
        raise InputError("step", got=f"{step_s:.3g} s", expected=f"at most {most:.3g} s for 'adi'",
                         hint="that is a thousand times the explicit limit; use --method esdirk43")  # fmt: skip
    stops = [*sorted(float(e) for e in blood.events(t_end_s) if 0 < e < t_end_s), t_end_s]
    spans = list(zip([0.0, *stops], stops, strict=False))
    counts = [max(1, math.ceil((b - a) / step_s - 1e-9)) for a, b in spans]
    if sum(counts) > _MOST_STEPS:
        raise InputError("step", got=f"{sum(counts):.2g} steps", expected=f"at most {_MOST_STEPS:.0g}", hint="use a longer step")
    method, records = alternating(), Records(system, reduce, observe)
    shape, ledger, auc = u.shape, np.zeros((*u.shape[:2], len(system.ledger_names))), np.zeros_like(u)
    every, done, capacity = math.ceil(sum(counts) / 1000), 0, system.capacity

    def record(t: float, *, left: bool = False) -> None:
        records.take(t, u, ledger, u + system.start(u, blood.free(t, left=left))[0] / capacity, 1.0)

    for (start, stop), count in zip(spans, counts, strict=True):
        h = (stop - start) / count
        for k in range(count):
            t = start + k * h
            if done % every == 0:
                record(t)
            new, gained = method.step(h, u.reshape(shape[1], -1, method.model.faces), blood.free(t + 0.5 * h)[0])
            new = new.reshape(shape)
            ledger += gained[None]
            auc += 0.5 * h * (u + new)
            u, done = new, done + 1
            if progress is not None and done % every == 0:
                progress((t + h) / t_end_s)
    record(t_end_s, left=True)
    out = records.out
    out.auc, out.final, out.stats.steps = auc, u, done
    return out
