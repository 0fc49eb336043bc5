"""Train the hidden weights too: Levenberg-Marquardt with the output weights projected out, points that follow the residual.

The rows, windows, faces and the certificate are those of ``lsq``; only the networks differ. Each layer has its own pair for
concentration and flux (and one per cell compartment), nothing is there at the start of a run whatever the weights, and the
weights with the best certificate on points that no step has seen are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from krogh.pinn.adaptive import Points
from krogh.pinn.basis import Clock, Columns, Joined, Tanh
from krogh.pinn.certificate import certificate
from krogh.pinn.deep import Deep
from krogh.pinn.draw import Size, layer_columns
from krogh.pinn.gauss_newton import squares, stepped
from krogh.pinn.march import Plan, Trained, cover
from krogh.pinn.methods.lsq import levels_of
from krogh.pinn.methods.task import Task
from krogh.pinn.physics import Slab
from krogh.pinn.rows import grid
from krogh.pinn.stage import Stage
from krogh.pinn.window import Window

__all__ = ["run"]

_PILOT, _NEURONS = Size(40), Size(80)
#: Layers before the last, by their neurons: none did best for its time.
_BEFORE: tuple[int, ...] = ()
_POINTS = (14, 30)
_STEPS, _ADAPT_EVERY = 40, 2
_FIRST, _LEAST, _MOST = 1e-3, 1e-6, 1e6
#: Output weights may not cancel each other by more: what is lost to it lies between the points.
_RIDGE = 1e-11
#: A window may use half of the tolerance before it is trained no further.
_ENOUGH = 0.5
_STALL, _LOWERED = 6, 0.9


def run(task: Task) -> list[Trained]:
    """Return the windows of a run; a small pilot run by least squares finds how large the concentrations are."""
    pilot = cover(task.slab, task.blood, task.events, Plan(math.inf, _PILOT, task.seed))
    plan = Plan(task.tol, _NEURONS, task.seed, levels_of(pilot), _draw, _Trainer(task).fit, task.keep, task.tell, task.triangle,
                task.strict)  # fmt: skip
    return cover(task.slab, task.blood, task.events, plan, task.progress)


def _draw(slab: Slab, i: int, s: int, clock: Clock, size: Size, entered: int | None, rng: np.random.Generator) -> Columns:
    """Return trainable networks in place of frozen features."""
    frozen = layer_columns(slab, i, s, clock, Size(1), entered, rng)
    assert isinstance(frozen.u, Tanh | Joined)
    reach = frozen.u.reach
    empty = clock.a_s == 0 and not clock.ages_s

    def network(*, from_start: bool) -> Deep:
        layers = (*_BEFORE, size.features)
        return Deep.draw(layers, reach, rng, frozen.depth, frozen.carried, from_start=from_start)

    u, q = network(from_start=empty), network(from_start=False)
    return replace(frozen, u=u, q=q, pools=tuple(network(from_start=empty) for _ in frozen.pools), ridge=_RIDGE)


@dataclass
class _Best:
    """Hold the window with the least certificate so far, of those on changing points."""

    window: Window
    certificate: float

    def see(self, window: Window, value: float) -> None:
        if value < self.certificate:
            self.window, self.certificate = window.fork(), value


class _Trainer:
    """Train one window after the other."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def fit(self, window: Window) -> Window:
        """Return the trained window."""
        for s, rows in enumerate(window.rows):
            for i, r in enumerate(rows):
                window.put(s, i, r.columns, grid(window.clock, r.columns, *_POINTS))
        window.solve()
        points = Points(window, np.random.default_rng((*window.seed, 1)))
        best = _Best(window.fork(), _judge(window, 0))
        damping = [_FIRST] * window.slab.species
        history: list[float] = []
        for step in range(_STEPS):
            if best.certificate <= _ENOUGH * self.task.tol:
                break
            if step % _ADAPT_EVERY == _ADAPT_EVERY - 1:
                points.adapt(window)
            loss = 0.0
            for s in range(window.slab.species):
                window, damping[s], lowered = _lower(window, s, damping[s])
                loss += lowered
            best.see(window, _judge(window, step + 1))
            self._tell(window, step + 1, loss, best.certificate)
            history.append(best.certificate)
            if min(damping) > _MOST or (len(history) > _STALL and history[-1] > _LOWERED * history[-1 - _STALL]):
                break
        trained = best.window
        trained.hidden = sum(n.hidden for of in trained.rows for r in of for n in (r.columns.u, r.columns.q, *r.columns.pools))  # type: ignore[attr-defined]
        trained.look()
        return trained

    def _tell(self, window: Window, step: int, loss: float, value: float) -> None:
        if self.task.tell is not None:
            clock = window.clock
            self.task.tell(Stage(clock.start_s + clock.a_s, clock.start_s + clock.b_s, value, step, _STEPS, loss))


def _judge(window: Window, step: int) -> float:
    """Return the larger of two certificates, infinite where the output weights were not found.

    Their points change with the step and are none of those that the window is judged by in the end.
    """
    return max(certificate(window, seed=k + step) for k in (1000, 2000)) if window.converged else math.inf


def _lower(window: Window, s: int, damping: float) -> tuple[Window, float, float]:
    """Return the window after the first step that lowers the loss, the next damping and the loss."""
    loss = squares(window, s)
    while damping <= _MOST:
        tried = stepped(window, s, damping)
        found = squares(tried, s)
        if math.isfinite(found) and found < loss:
            return tried, max(damping / 3, _LEAST), found
        damping *= 4
    return window, damping, loss
