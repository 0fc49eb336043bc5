"""Cover the run with windows: geometric in time after every event, made shorter or larger where the certificate asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.errors import ConvergenceError
from krogh.pinn.basis import Clock
from krogh.pinn.certificate import certificate
from krogh.pinn.draw import Draw, Size, layer_columns
from krogh.pinn.keep import Keep, another_run, fingerprint, record_of, restore, tensors_of
from krogh.pinn.physics import Slab
from krogh.pinn.stage import Stage
from krogh.pinn.triangle import ON_CPU, Triangle
from krogh.pinn.window import Start, Window

__all__ = ["Cover", "Plan", "Trained", "cover", "unsolved"]

_WIDEST, _NARROWEST = 12.0, 2.0
_LARGEST = 240
#: Share of a segment below which its first window is not shortened any more.
_SHORTEST = 1e-8
_FAINT = 1e-2


@dataclass(frozen=True)
class Trained:
    """Hold a window that was solved, and its certificate."""

    window: Any
    certificate: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Say how to cover a run.

    Attributes
    ----------
    target : float
        Certificate that a window must reach; infinite: no refinement.
    size : Size
        Networks to begin with.
    levels : callable or None
        (start, end) of a window [s] -> expected size of the concentrations (S, layer); None: found on the way.
    draw, fit : callable
        Give a window its networks, and train them.
    keep : Keep or None
        Where finished windows are stored, and taken from where an earlier run left them.
    tell : callable or None
        Told of every finished window.
    triangle : Triangle
        Where rows are reduced.
    strict : bool
        Stop at the first window whose equations cannot be solved: it spoils all that follow.
    """

    target: float
    size: Size
    seed: int
    levels: Callable[[float, float], np.ndarray] | None = None
    draw: Draw = layer_columns
    fit: Callable[[Window], Window] = Window.solve
    keep: Keep | None = None
    tell: Callable[[Stage], None] | None = None
    triangle: Triangle = ON_CPU
    strict: bool = False


def unsolved(start_s: float, end_s: float) -> ConvergenceError:
    """Return the error of a window [s] whose equations were not solved."""
    where = f"from {start_s:.3g} s to {end_s:.3g} s"
    return ConvergenceError(
        "pinn", got=f"no solution of the equations {where}", expected="Newton's method to come to rest", hint="use --solver fv"
    )


def cover(
    slab: Slab,
    blood: Callable[[np.ndarray, bool], np.ndarray],
    events: list[float],
    plan: Plan,
    progress: Callable[[float], None] | None = None,
) -> list[Trained]:
    """Return the windows from the first to the last of `events` [s]; ``blood(t, left)`` is the free concentration (S, time)."""
    return Cover(slab, blood, events, plan, progress).run()


class Cover:
    """Train window after window; a geometry of its own replaces `_train`."""

    def __init__(
        self,
        slab: Slab,
        blood: Callable[[np.ndarray, bool], np.ndarray],
        events: list[float],
        plan: Plan,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.slab, self.blood, self.events, self.plan, self.progress = slab, blood, events, plan, progress
        self.done: list[Trained] = []
        highest = np.array([np.abs(blood(np.array([t]), False)[:, 0]) for t in np.linspace(events[0], events[-1], 200)])
        self.blood_top = highest.max(0)
        self.top = np.zeros((slab.species, len(slab.sheets)))
        how = plan.target, plan.size, plan.seed, plan.draw.__qualname__, type(self).__name__, plan.triangle
        self.run_of = fingerprint(slab, events, highest.tolist(), how)

    def run(self) -> list[Trained]:
        """Cover all segments."""
        for begin, end in zip(self.events[:-1], self.events[1:], strict=True):
            self._segment(begin, end)
        return self.done

    def _first(self, duration: float) -> float:
        """Return the length of the first window after an event: what the fastest entered face or layer needs [s]."""
        fastest = duration
        for i, face in enumerate(self.slab.faces):
            if i > 0 and not face.entries:
                continue
            sheet = self.slab.sheets[i]
            for s in range(self.slab.species):
                d, p = sheet.diffusivity[s] * sheet.spread, self.slab.permeability(i, s)
                fastest = min(fastest, 1.2 * sheet.thickness**2 * sheet.capacity[s] / sheet.diffusivity[s])
                if p > 0:
                    fastest = min(fastest, 4 * sheet.spread * sheet.capacity[s] * d / p**2)
        return max(fastest, duration / _WIDEST**6)

    def _segment(self, begin: float, end: float) -> None:
        duration = end - begin
        a, ratio, size = 0.0, _WIDEST, self.plan.size
        b = self._first(duration)
        while a < duration:
            if (held := self._taken(begin, a)) is not None:
                a, ratio, size = held
                continue
            if a:
                steps = max(1, math.ceil(math.log(duration / a) / math.log(ratio) - 1e-9))
                b = a * (duration / a) ** (1 / steps)
            b = duration if b > 0.999 * duration else b
            got = self._train(begin, a, b, size)
            wide = b / a if a else math.inf
            divisible = wide > _NARROWEST if a else b > _SHORTEST * duration
            if got.certificate > self.plan.target and divisible and size.features >= 120:
                if a:
                    ratio = max(_NARROWEST, math.sqrt(wide))
                else:
                    b = b / 8
                size = self.plan.size
                continue
            if got.certificate > self.plan.target and size.features < _LARGEST:
                size = Size(min(_LARGEST, int(1.5 * size.features)))
                continue
            if self.plan.strict and math.isinf(got.certificate):
                raise unsolved(begin + a, begin + b)
            self._accept(got, begin)
            if got.certificate < 0.1 * self.plan.target:
                ratio = min(_WIDEST, 2 * ratio)
                size = self.plan.size
            a = b
            self._store(ratio, size)

    def _accept(self, got: Trained, begin: float) -> None:
        self.done.append(got)
        self.top = np.maximum(self.top, got.window.level)
        clock = got.window.clock
        if self.plan.tell is not None:
            self.plan.tell(Stage(begin + clock.a_s, begin + clock.b_s, got.certificate))
        if self.progress is not None:
            self.progress((begin + clock.b_s - self.events[0]) / (self.events[-1] - self.events[0]))

    def _start(self) -> Start:
        if not self.done:
            return lambda s, i, x: np.zeros((1 + len(self.slab.sheets[i].pools), x.size))
        last = self.done[-1].window
        return lambda s, i, x: last.evaluate(s, i, x, np.full_like(x, last.clock.b_s))

    def blood_from(self, begin: float, last: float) -> Callable[[np.ndarray], np.ndarray]:
        """Return the blood at times since `begin`, with the left limit at `last`."""
        return lambda t: self.blood(np.minimum(begin + t, last), True)

    def _store(self, ratio: float, size: Size) -> None:
        """Keep the last window, and how its follower begins."""
        if self.plan.keep is not None:
            last = self.done[-1]
            record = record_of(last.window, last.certificate)
            record |= {"ratio": ratio, "next": size.features, "run": self.run_of} | self._shape()
            self.plan.keep.save(f"window-{len(self.done) - 1:04d}", record, tensors_of(last.window))

    def _taken(self, begin: float, a: float) -> tuple[float, float, Size] | None:
        """Take the next window from the store: its end, and how its follower begins; None where it was not reached."""
        found = self.plan.keep.load(f"window-{len(self.done):04d}") if self.plan.keep is not None else None
        if found is None:
            return None
        record, tensors = found
        if record.get("run") != self.run_of:
            raise another_run()
        try:
            clock = self._clock(begin, a, float(record["b_s"]))
            self._reshape(record)
            window = self._window(clock, Size(int(record["features"])), np.array(tensors["level"]))
            restore(window, record, tensors)
            self._accept(Trained(window, float(record["certificate"])), begin)
            return clock.b_s, float(record["ratio"]), Size(int(record["next"]))
        except (KeyError, TypeError, ValueError):
            raise another_run() from None

    def _shape(self) -> dict[str, Any]:
        """Return what a geometry needs beside the size to draw a window anew, as plain values."""
        return {}

    def _reshape(self, record: Mapping[str, Any]) -> None:
        """Take up what `_shape` gave."""

    def _clock(self, begin: float, a: float, b: float) -> Clock:
        return Clock(begin, a, b, tuple(begin - e for e in self.events if e < begin))

    def _window(self, clock: Clock, size: Size, level: np.ndarray) -> Any:
        """Return the next window, not yet trained."""
        begin = clock.start_s
        blood_at = self.blood_from(begin, begin + clock.b_s)
        seed, plan = (self.plan.seed, len(self.done)), self.plan
        return Window(self.slab, clock, size, level, seed, blood_at, self._start(), plan.draw, plan.triangle)

    def _train(self, begin: float, a: float, b: float, size: Size) -> Trained:
        if self.plan.levels is not None:
            level = self.plan.levels(begin + a, begin + b)
        else:
            level = self.top if self.done else np.full_like(self.top, max(self.blood_top.max(), 1e-300))
        window = self.plan.fit(self._window(self._clock(begin, a, b), size, level))
        if self.plan.levels is None:
            window = self._settle(window)
        value = certificate(window) if np.isfinite(self.plan.target) else math.nan
        if not window.converged:
            value = math.inf
        return Trained(window, value)

    def _settle(self, window: Window) -> Window:
        """Solve again with the concentrations that were found, until the rows are divided by the right size."""
        for _ in range(4):
            sides = window.sides()
            found = np.maximum(np.abs(sides.u_near).max(-1), np.abs(sides.u_far).max(-1)).T
            found = np.maximum(found, _FAINT * self.top)
            found = np.maximum(found, 1e-3 * found.max(1, keepdims=True) + 1e-14 * self.blood_top.max())
            change = np.max(np.maximum(found / window.level, window.level / found))
            window.level = found
            if change < 4:
                break
            window = self.plan.fit(window)
        return window
