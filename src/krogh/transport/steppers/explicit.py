"""Forward Euler with a fixed step: the baseline, refused beyond its stability limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import InputError
from krogh.transport.flows import euler_step
from krogh.transport.march import BloodSource, March
from krogh.transport.steppers.records import Records

if TYPE_CHECKING:
    from krogh.transport.system import System

__all__ = ["explicit_march"]

_MOST_STEPS = 20_000_000


def explicit_march(
    system: System,
    blood: BloodSource,
    u: np.ndarray,
    t_end_s: float,
    step_s: float | None,
    reduce: Callable[[np.ndarray], np.ndarray],
    observe: Callable[[float, np.ndarray, np.ndarray], None] | None,
    progress: Callable[[float], None] | None,
) -> March:
    """March by u += dt F / C; the membrane faces follow at once. At most a thousand states are kept.

    Raises
    ------
    InputError
        If the step is beyond the stability limit, or the run would take more than 20 million steps.
    """
    limit = system.stability_limit_s()
    h = 0.9 * limit if step_s is None else step_s
    if not 0 < h <= limit:
        raise InputError("step", got=f"{h:.3g} s", expected=f"at most {limit:.3g} s, the stability limit on this mesh",
                         hint="use --method esdirk43, or a coarser mesh")  # fmt: skip
    stops = [*sorted(float(e) for e in blood.events(t_end_s) if 0 < e < t_end_s), t_end_s]
    counts = [max(1, math.ceil((b - a) / h - 1e-9)) for a, b in zip([0.0, *stops], stops, strict=False)]
    if sum(counts) > _MOST_STEPS:
        raise InputError("step", got=f"{sum(counts):.2g} explicit steps", expected=f"at most {_MOST_STEPS:.0g}",
                         hint="use --method esdirk43 or a shorter run")  # fmt: skip
    step = system.forward().step if hasattr(system, "forward") else _Plain(system, u).step
    records = Records(system, reduce, observe)
    ledger = np.zeros((*u.shape[:2], len(system.ledger_names)))
    auc = np.zeros_like(u)
    every = math.ceil(sum(counts) / 1000)
    t, done = 0.0, 0
    for start, stop, count in zip([0.0, *stops], stops, counts, strict=False):
        dt = (stop - start) / count
        u = np.ascontiguousarray(system.consistent(u, blood.free(start)))
        for k in range(count):
            new, flows = step(dt, u, blood.free(t), auc)
            if done % every == 0:
                records.take(t, u, ledger, new, dt)
            ledger += dt * flows
            t, done = start + (k + 1) * dt, done + 1
            u = np.ascontiguousarray(system.consistent(new, blood.free(t, left=k == count - 1)))
            if progress is not None and done % every == 0:
                progress(t / t_end_s)
    last, _ = step(dt, u, blood.free(t, left=True), np.zeros_like(u))
    records.take(t, u, ledger, last, dt)
    out = records.out
    out.auc, out.final, out.stats.steps = auc, u, done
    return out


class _Plain:
    """Take a step of any system by its F; :class:`krogh.transport.block.forward.Forward` does it for blocks in one pass."""

    def __init__(self, system: System, u: np.ndarray) -> None:
        self._system = system
        cells = system.capacity > 0
        inverse = np.where(cells, 1.0 / np.where(cells, system.capacity, 1.0), 0.0)
        self._inverse = np.ascontiguousarray(np.broadcast_to(inverse, u.shape)).ravel()

    def step(self, dt: float, u: np.ndarray, blood: np.ndarray, auc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u + dt F / C and the ledger rates; add dt u to `auc`."""
        rate, flows = self._system.start(u, blood)
        new = np.empty_like(u)
        euler_step(u.ravel(), rate.ravel(), self._inverse, dt, auc.ravel(), new.ravel())
        return new, flows
