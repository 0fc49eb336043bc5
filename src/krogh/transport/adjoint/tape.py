"""Remember a run well enough to go back through it: every stage where memory allows, else a few states to start again from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.march import BloodSource
from krogh.transport.stages import Start, Step, run_stages
from krogh.transport.steppers import Tableau
from krogh.transport.system import System

__all__ = ["Mark", "Tape", "fresh_start"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Place one step in time; `fresh`: F at its start was evaluated anew (first step, after a dose); `hit`: a dose ends it."""

    t_s: float
    h_s: float
    fresh: bool
    hit: bool


class Tape:
    """Record the steps of a run and give them back from the last to the first.

    The last steps are kept whole, as many as fit into the budget. Of what came before only every k-th start of a step stays (a
    checkpoint); going back, the steps between two checkpoints are run once more. So a budget for half of the states repeats half
    of the run, and a budget that is far too small grows by the square root of the number of steps (Griewank 1992,
    doi:10.1080/10556789208805505).

    Parameters
    ----------
    system, blood, table
        What is stepped, and how.
    memory_bytes : float
        Budget for states; where even checkpoints do not fit it grows by the square root of the number of steps.
    keep : callable, optional
        What to keep of every step's end in ``values``.
    """

    def __init__(
        self, system: System, blood: BloodSource, table: Tableau, memory_bytes: float,
        keep: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self.system, self.blood, self.table = system, blood, table
        self.budget = max(8, int(memory_bytes / max(1, system.capacity.nbytes)))
        self.marks: list[Mark] = []
        self._last: deque[Step] = deque()
        self._starts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._per_step = len(table.b)  # its stages but the first, and F at its start
        self._every = max(1, self.budget // (2 * self._per_step))
        self._keep = keep
        #: Time integrals of the states and of the blood, by the weights of the method.
        self.auc = np.zeros(system.shape)
        self.blood_auc = np.zeros(system.shape[:2])
        #: What was kept of the states at the start and after every step, and the blood then.
        self.values: list[np.ndarray] = [] if keep is None else [keep(self.auc)]
        self.bloods: list[np.ndarray] = [blood.free(0.0)]
        #: Most states held at once, for tests of the bound, and steps that were run again.
        self.most_states = self.repeated = 0

    def __call__(self, t: float, h: float, step: Step, fresh: bool, hit: bool) -> None:
        """Take an accepted step of :func:`krogh.transport.integrate.integrate`."""
        self.marks.append(Mark(t, h, fresh, hit))
        for b, u, here in zip(self.table.b, step.states, step.bloods, strict=True):
            if b != 0:
                self.auc += (h * b) * u
                self.blood_auc = self.blood_auc + (h * b) * here
        if self._keep is not None:
            self.values.append(self._keep(step.landed))
        self.bloods.append(step.bloods[-1])
        self._last.append(_slim(step))
        while self._held() > self.budget and len(self._last) > 1:
            self._forget_oldest()
        self.most_states = max(self.most_states, self._held())

    def _held(self) -> int:
        return len(self._last) * self._per_step + 2 * len(self._starts)

    def _forget_oldest(self) -> None:
        """Let go of the stages of the first step that is whole; its start may stay as a checkpoint."""
        number, step = len(self.marks) - len(self._last), self._last.popleft()
        if number % self._every == 0:
            self._starts[number] = (step.states[0], step.rates[0])
        if 2 * len(self._starts) > self.budget // 2:
            self._every *= 2
            self._starts = {i: s for i, s in self._starts.items() if i % self._every == 0}
            # what lies between two checkpoints has half of the budget
            self.budget = max(self.budget, 2 * self._every * self._per_step)

    def backwards(self) -> Iterator[tuple[int, Step]]:
        """Yield (number, step) from the last to the first.

        Raises
        ------
        ConvergenceError
            If a step that was run before has no solution now.
        """
        stop = len(self.marks)
        if len(self._last) == stop:
            yield from reversed(list(enumerate(self._last)))
            return
        while self._last:  # whole steps make room for the stretches; some of their starts stay: one may go back again
            step, stop = self._last.pop(), stop - 1
            if stop % self._every == 0:
                self._starts[stop] = (step.states[0], step.rates[0])
            yield stop, step
        for first in sorted((i for i in self._starts if i < stop), reverse=True):
            stretch = self._run(first, stop, *self._starts[first])
            self.repeated += len(stretch)
            self.most_states = max(self.most_states, 2 * len(self._starts) + len(stretch) * self._per_step)
            while stretch:
                yield first + len(stretch) - 1, stretch.pop()
            stop = first

    def _run(self, first: int, stop: int, u: np.ndarray, rate: np.ndarray) -> list[Step]:
        start: Start = (rate, np.zeros(0))
        found: list[Step] = []
        for mark in self.marks[first:stop]:
            if found:
                u, start = found[-1].landed, found[-1].start
                if mark.fresh:
                    u, start = fresh_start(self.system, self.blood, u, mark.t_s)
            if found:
                found[-1] = _slim(found[-1])
            found.append(_advance(self.system, self.blood, self.table, mark, u, start))
        return found

    @classmethod
    def of_steps(
        cls, system: System, blood: BloodSource, table: Tableau, sizes_s: Sequence[float], memory_bytes: float,
        keep: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Tape:  # fmt: skip
        """Return the tape of a run on given steps; a dose must lie on the end of one.

        Raises
        ------
        ConvergenceError
            If a stage has no solution.
        """
        tape = cls(system, blood, table, memory_bytes, keep)
        ends = np.cumsum(np.asarray(sizes_s, dtype=float))
        doses = blood.events(float(ends[-1]))
        u, start = fresh_start(system, blood, np.zeros(system.shape), 0.0)
        t, fresh = 0.0, True
        for h, end in zip(sizes_s, ends, strict=True):
            dose = bool(np.any(np.abs(doses - end) <= 1e-9 * end))
            hit = dose or end == ends[-1]
            step = _advance(system, blood, table, Mark(t, float(h), fresh, hit), u, start)
            tape(t, float(h), step, fresh, hit)
            t, fresh, u, start = float(end), dose, step.landed, step.start
            if dose:
                u, start = fresh_start(system, blood, u, t)
        return tape


def fresh_start(system: System, blood: BloodSource, u: np.ndarray, t: float) -> tuple[np.ndarray, Start]:
    """Return the state right after a dose, its faces in balance, and F there."""
    here = blood.free(t)
    u = system.consistent(u, here)
    return u, system.start(u, here)


def _slim(step: Step) -> Step:
    """Return a step without what only its own stages need."""
    return Step(step.states, step.rates[:1], [], step.bloods, step.landed, step.start)


def _advance(system: System, blood: BloodSource, table: Tableau, mark: Mark, u: np.ndarray, start: Start) -> Step:
    step = run_stages(system, blood, table, mark.t_s, mark.h_s, u, start, at_event=mark.hit)
    if step is None:
        raise ConvergenceError("adjoint", got=f"no solution at t = {mark.t_s:.6g} s", hint="use smaller steps")
    return step
