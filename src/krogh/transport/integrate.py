"""March C du/dt = F(u, t) through time: adaptive or fixed steps, doses hit exactly, a ledger of everything that crossed.

A dose belongs to the step that starts with it: the last stage of the step that ends there sees the blood just before
(the left limit). Without that the area under the curve is wrong with not one rejected step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.transport.march import BloodSource, March
from krogh.transport.operator import Operator
from krogh.transport.stages import Start, Step, run_stages
from krogh.transport.steppers import MARCHES, STEPPERS, Tableau
from krogh.transport.system import System, as_system, return_to_neighbours

__all__ = ["integrate"]

Observer = Callable[[float, np.ndarray, np.ndarray], None]
#: Called with (t, h, stages, whether it starts afresh after a dose, whether it ends on one) for every accepted step.
Recorder = Callable[[float, float, Step, bool, bool], None]


def integrate(
    problem: Operator | System,
    blood: BloodSource,
    t_end_s: float,
    *,
    u0: np.ndarray | None = None,
    method: str = "esdirk43",
    step_s: float | None = None,
    rtol: float = 1e-4,
    reduce: Callable[[np.ndarray], np.ndarray] | None = None,
    observe: Observer | None = None,
    progress: Callable[[float], None] | None = None,
    record: Recorder | None = None,
    stops_s: np.ndarray | None = None,
) -> March:
    """March from 0 to `t_end_s`.

    Parameters
    ----------
    problem : Operator or System
        The problem in space.
    blood : BloodSource
        Free concentration in blood.
    t_end_s : float
        End of the run [s], > 0.
    u0 : array (B, S, N), optional
        Start; zero (no drug in the brain) by default.
    method : str
        A key of :data:`STEPPERS` or :data:`MARCHES`.
    step_s : float, optional
        Fixed step; required by the methods without an error estimate.
    rtol : float
        Relative tolerance of a step, 1e-10..1e-1: of the state, and of the area under the curve of the blood.
    reduce : callable, optional
        What to keep of (B, S, N) at each step; everything by default.
    observe : callable, optional
        Called with (t, u, slope) at every recorded time, for results that are too large to be kept.
    progress : callable, optional
        Called with the share of the time done, 0..1.
    record : callable, optional
        Called with the stages of every accepted step of an implicit method; the adjoint keeps them.
    stops_s : array, optional
        Times at which a step is to end, so that the state there needs no interpolation (implicit methods).

    Raises
    ------
    InputError
        If the method is unknown, needs a step, the step is beyond the stability limit (explicit), or the geometry is no block
        (adi).
    ConvergenceError
        If the step size had to fall below round-off.
    """
    if not (math.isfinite(t_end_s) and t_end_s > 0):
        raise InputError("duration", got=f"{t_end_s} s", expected="a finite time > 0 s")
    if not 1e-10 <= rtol <= 0.1:
        raise InputError("rtol", got=rtol, expected="1e-10 to 0.1")
    system = as_system(problem, max(1e-10, min(1e-6, 1e-3 * rtol)) if step_s is None else 1e-10)
    start = np.zeros(system.shape) if u0 is None else np.array(u0, dtype=float)
    start = system.consistent(start, blood.free(0.0))
    if method in MARCHES:
        return MARCHES[method](system, blood, start, t_end_s, step_s, reduce or (lambda u: u), observe, progress)
    table = STEPPERS.get(method)
    if table is None:
        raise InputError("method", got=method, expected=", ".join([*MARCHES, *STEPPERS]))
    if step_s is None and table.b_error is None:
        raise InputError(
            "step", got="none", expected=f"a fixed step for '{method}'", hint="give --step, or use --method esdirk43"
        )
    if step_s is not None and not (math.isfinite(step_s) and step_s > 0):
        raise InputError("step", got=f"{step_s} s", expected="a finite time > 0 s")
    marcher = _Marcher(system, blood, table, rtol, step_s, reduce or (lambda u: u), observe, progress, record)
    return marcher.run(start, t_end_s, () if stops_s is None else np.asarray(stops_s, dtype=float).tolist())


#: A species that is so much less than its companions is nothing yet: what enzymes form far from the blood grows from zero with a
#: power of time, so that its first values have no relative accuracy at any step.
_TRACE = 1e-9
#: Share of the area of the blood so far that a step may be judged by: its own is next to nothing long after a dose.
_TAIL = 1e-2
#: The same of the area of the whole run: blood that rises from nothing is round-off at first.
_HEAD = 1e-5


def _area(blood: BloodSource, t_end: float) -> np.ndarray:
    """Return roughly the area under the blood (B, S), from what it is at some times after every dose."""
    edges = [0.0, *sorted(float(e) for e in blood.events(t_end) if 0 < e < t_end), t_end]
    total = np.zeros_like(blood.free(0.0))
    for start, end in itertools.pairwise(edges):
        times = start + (end - start) * np.concatenate([[0.0], np.logspace(-6, 0, 25)])
        values = np.stack([np.abs(blood.free(t, left=t == end)) for t in times])
        total += np.trapezoid(values, times, axis=0)
    return total


class _Marcher:
    """Run one table over one interval; kept apart so that each piece fits a screen."""

    def __init__(
        self,
        system: System,
        blood: BloodSource,
        table: Tableau,
        rtol: float,
        step_s: float | None,
        reduce: Callable[[np.ndarray], np.ndarray],
        observe: Observer | None,
        progress: Callable[[float], None] | None,
        record: Recorder | None,
    ) -> None:
        self.system, self.blood, self.table, self.record = system, blood, table, record
        self.rtol, self.fixed, self.reduce, self.observe, self.progress = rtol, step_s, reduce, observe, progress
        self.capacity = system.capacity
        self.cells = self.capacity > 0
        self.signs = np.array([sign for _, sign in system.ledger_names], dtype=float)
        self.scale = np.zeros((*system.shape[:2], 1))
        self.most = np.zeros(system.shape[:2])
        self.dosed = np.zeros(system.shape[:2])
        self.ahead = np.zeros(system.shape[:2])
        self.out = March()

    # -- one step --------------------------------------------------------------------------------------------------------------

    def _error(self, step: Step, h: float) -> float:
        """Return the error estimate over the tolerance, worst problem of the batch."""
        assert self.table.b_error is not None
        weights = self.table.b - self.table.b_error
        e: Any = sum(h * w * f for w, f in zip(weights, step.rates, strict=True) if w != 0)
        gh = h * self.table.gamma
        new = step.states[-1]
        # filtering by (C + gh L)^-1 keeps stiff components from spoiling the estimate
        e = self.system.filter(gh, new, step.bloods[-1], e)
        size = np.maximum(np.abs(step.states[0]), np.abs(new))
        scale = np.maximum(self.scale, np.maximum(np.abs(new).max(-1), np.abs(step.bloods[-1]))[..., None])
        scale = np.maximum(scale, _TRACE * scale.max(1, keepdims=True))
        tolerance = self.rtol * np.maximum(size, 1e-3 * scale) + 1e-300
        ratio = np.where(self.cells, e / tolerance, 0.0)
        return max(float(np.sqrt((ratio**2).sum(-1) / self.cells.sum(-1)).max()), self._area_error(step, h))

    def _area_error(self, step: Step, h: float) -> float:
        """Return how wrongly the step integrates the blood, over the tolerance.

        The stages keep the balance sum h b F = C (u' - u) exactly. So where F is linear, the areas of all layers are wrong by
        what the weights miss of the area of the blood, and by the last state. The error of the states does not show that.
        """
        missed, area = np.zeros(self.dosed.shape), np.zeros(self.dosed.shape)
        for beyond, b, blood in zip(self.table.beyond, self.table.b, step.bloods, strict=True):
            missed += h * beyond * blood
            area += h * b * blood
        least = np.maximum(_TAIL * self.dosed, _HEAD * self.ahead)
        return float((np.abs(missed) / (self.rtol * (np.abs(area) + least) + 1e-300)).max())

    def _positive(self, step: Step) -> bool:
        """Return undershoots to the neighbour towards the blood; False where that would exceed the tolerance.

        A step that is right to the tolerance may still leave -1e-8 of scale ahead of a front. Moving that much along
        an edge keeps the mass and stays far inside the tolerance; it is counted, never hidden.
        """
        new = step.states[-1]
        if float(new.min()) >= 0.0:
            return True
        scale = np.broadcast_to(self.scale, (*new.shape[:2], 1))
        top = np.maximum(scale[..., 0], np.abs(new).max(-1))
        top = np.maximum(top, _TRACE * np.maximum(top, np.abs(step.bloods[-1])).max(1, keepdims=True))
        if float((new.min(-1) + 0.1 * self.rtol * top).min()) < 0.0:
            return False
        blood = step.bloods[-1]
        step.landed = self.system.consistent(return_to_neighbours(self.system, new), blood)
        step.start = self.system.start(step.landed, blood)
        self.out.stats.repaired += 1
        return True

    def _attempt(self, t: float, h: float, u: np.ndarray, first: Start, at_event: bool) -> tuple[Step | None, float]:
        """Return a step and its error over the tolerance; accept it where that is <= 1."""
        step = run_stages(self.system, self.blood, self.table, t, h, u, first, at_event=at_event, stats=self.out.stats)
        if step is None:
            return None, math.inf
        if self.fixed is not None:
            return step, 1.0
        error = self._error(step, h)
        if error <= 1.0 and not self._positive(step):
            return step, math.inf
        return step, error

    # -- the march -------------------------------------------------------------------------------------------------------------

    def run(self, u: np.ndarray, t_end: float, stops: Sequence[float] = ()) -> March:
        """March from 0 to `t_end`, through the doses and the `stops`."""
        doses = {float(e) for e in self.blood.events(t_end) if 0 < e < t_end}
        events = [*sorted(doses | {s for s in stops if 0 < s < t_end}), t_end]
        t, index, previous = 0.0, 0, 1.0
        h = self.fixed or min(1e-3, 1e-6 * t_end)
        ledger = np.zeros((*u.shape[:2], self.signs.size))
        auc = np.zeros_like(u)
        start, fresh = self.system.start(u, self.blood.free(0.0)), True
        self.ahead = _area(self.blood, t_end)
        self._record(t, u, start[0], start[0], ledger)
        while index < len(events):
            stop = events[index]
            left = stop - t
            hit = h * (1 + 1e-6) >= left
            dt = left if hit else (left / 2 if self.fixed is None and 2 * h > left else h)
            step, error = self._attempt(t, dt, u, start, hit)
            if step is None or not error <= 1.0:
                self.out.stats.rejected += 1
                if step is None:
                    self.system.refresh()
                h = dt * (0.25 if step is None else max(0.1, 0.8 * error ** (-1.0 / self._q)))
                self._check_step(h, t, t_end, step)
                continue
            self._account(step, dt, ledger, auc, u)
            if self.record is not None:
                self.record(t, dt, step, fresh, hit)
            fresh = False
            u, t = step.landed, (stop if hit else t + dt)
            self.scale = np.maximum(self.scale, np.maximum(np.abs(u).max(-1), np.abs(step.bloods[-1]))[..., None])
            start = step.start
            before = start[0]
            if hit:
                index += 1
                if index < len(events):  # a dose: everything restarts from its right limit
                    if self.observe is not None:
                        self.observe(t, u, self._slope(before))
                    u = self.system.consistent(u, self.blood.free(t))
                    start, fresh = self.system.start(u, self.blood.free(t)), True
            self._record(t, u, start[0], before, ledger)
            if self.fixed is None:
                longest = h if hit and stop not in doses else 0.0  # a stop cuts one step short, no more
                h, previous = self._next(dt, error, previous, restart=stop in doses and hit)
                h = max(h, longest)
            if self.progress is not None:
                self.progress(t / t_end)
        self.out.auc, self.out.final = auc, u
        self.out.factors = dict(getattr(self.system, "factors", {}))
        return self.out

    @property
    def _q(self) -> int:
        return min(self.table.order, self.table.error_order) + 1

    def _next(self, dt: float, error: float, previous: float, *, restart: bool) -> tuple[float, float]:
        """Return the next step by a PI rule, in powers of sqrt(2) so that factors can be kept."""
        error = max(error, 1e-10)
        grow = 0.9 * error ** (-0.7 / self._q) * previous ** (0.3 / self._q)
        h = dt * min(4.0, max(0.2, grow))
        if restart:
            h = min(h, 1e-2)
        return 2.0 ** (math.floor(2 * math.log2(h)) / 2), error

    def _check_step(self, h: float, t: float, t_end: float, step: Step | None) -> None:
        if self.fixed is not None:
            raise ConvergenceError("step", got=f"no solution at t = {t:.6g} s with the fixed step", hint="use a smaller --step")
        if h < 1e-14 * t_end:
            what = "Newton's method does not converge" if step is None else "the error stays above the tolerance"
            raise ConvergenceError("time stepping", got=f"{what} at t = {t:.6g} s", hint="check the kinetics, or raise --rtol")

    def _account(self, step: Step, h: float, ledger: np.ndarray, auc: np.ndarray, u_old: np.ndarray) -> None:
        """Add the step to the ledger and the AUC, and note how well mass was kept."""
        change = np.zeros_like(ledger)
        for w, u, flows, blood in zip(self.table.b, step.states, step.flows, step.bloods, strict=True):
            if w != 0:
                change += h * w * flows
                auc += h * w * u
                self.dosed += h * w * blood
        ledger += change
        new = step.landed
        stored = (self.capacity * (new - u_old)).sum(-1)
        held = np.maximum(self.capacity * np.abs(new), self.capacity * np.abs(u_old)).sum(-1)
        moved = np.maximum(held, np.abs(change).max(-1))
        # a trace that is 1e-12 of what there once was is round-off itself
        self.most = np.maximum(self.most, moved)
        size = np.maximum(moved, 1e-12 * self.most) + 1e-300
        self.out.worst_defect = max(self.out.worst_defect, float((np.abs(stored - change @ self.signs) / size).max()))
        top = np.maximum(self.scale[..., 0], np.abs(new).max(-1)) + 1e-300
        self.out.most_negative = min(self.out.most_negative, float((new.min(-1) / top).min()))
        self.out.stats.steps += 1

    def _slope(self, f: np.ndarray) -> np.ndarray:
        return np.divide(f, self.capacity, out=np.zeros_like(f), where=self.cells)

    def _record(self, t: float, u: np.ndarray, f: np.ndarray, before: np.ndarray, ledger: np.ndarray) -> None:
        """Keep a state, with F just after and just before it."""
        slope = self._slope(f)
        self.out.t_s.append(t)
        self.out.u.append(self.reduce(u))
        self.out.slope.append(self.reduce(slope))
        self.out.slope_before.append(self.out.slope[-1] if before is f else self.reduce(self._slope(before)))
        self.out.ledger.append(ledger.copy())
        if self.observe is not None:
            self.observe(t, u, slope)
