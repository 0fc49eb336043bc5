"""Cover a run of a block with windows, as the slab is covered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from krogh.pinn.basis import Clock
from krogh.pinn.block.check import block_certificate
from krogh.pinn.block.lateral import Lateral
from krogh.pinn.block.walls import Evaluation, Walls, varies
from krogh.pinn.block.window import BlockWindow, StartModes
from krogh.pinn.draw import Size
from krogh.pinn.keep import fingerprint
from krogh.pinn.march import Cover, Plan, Trained
from krogh.pinn.methods.lsq import levels_of
from krogh.pinn.methods.task import Task
from krogh.transport.block.problem import BlockProblem

__all__ = ["run"]

_PILOT = Size(40)
_FEWEST, _MOST = 8, 48
#: A larger share of the squared certificate than this is due to cosines that were left out.
_TAIL = 0.25


def run(task: Task, problem: BlockProblem) -> list[Trained]:
    """Return the windows of a run; a pilot run in the mean mode alone finds how large the concentrations are."""
    walls = Walls(problem.whole, lumen=problem.lumen is not None)
    mean = Lateral(problem.y, problem.z, 1, 1)
    pilot = BlockCover(task, Plan(math.inf, _PILOT, task.seed), problem, walls, mean).run()
    first = [_FEWEST if own else 1 for own in varies(walls, mean)]
    plan = Plan(task.tol, Size(80), task.seed, levels_of(pilot), keep=task.keep, tell=task.tell, strict=task.strict)
    return BlockCover(task, plan, problem, walls, Lateral(problem.y, problem.z, *first)).run()


class BlockCover(Cover):
    """Train windows of a block in place of a slab's; cosines are added where the certificate misses them."""

    def __init__(self, task: Task, plan: Plan, problem: BlockProblem, walls: Walls, lateral: Lateral) -> None:
        super().__init__(task.slab, task.blood, task.events, plan, task.progress)
        self.walls, self.lateral = walls, lateral
        self.permeability = low_permeability(walls, lateral)
        turnover = problem.lumen.turnover_per_s if problem.lumen is not None else 0.0
        self.supply = np.broadcast_to(np.asarray(turnover, dtype=float), (1, task.slab.species))[0] * task.slab.sheets[0].capacity
        self.run_of = fingerprint(self.run_of, problem.whole, problem.y, problem.z, problem.lumen)

    def _first(self, duration: float) -> float:
        fastest = duration
        for i, sheet in enumerate(self.slab.sheets):
            port = self.walls.port(i, far=False)
            if i > 0 and (port is None or not np.any(self.walls.tails[self.walls.heads == port] < 0)):
                continue
            d = sheet.diffusivity * sheet.spread
            fastest = min(fastest, float((1.2 * sheet.thickness**2 * sheet.capacity / sheet.diffusivity).min()))
            if port is not None and np.any(self.permeability[port] > 0):
                p = np.maximum(self.permeability[port], 1e-30)
                fastest = min(fastest, float((4 * sheet.spread * sheet.capacity * d / p**2).min()))
        return max(fastest, duration / 12.0**6)

    def _begin(self) -> StartModes:
        count = self.lateral.count
        if not self.done:
            return lambda s, i, x: np.zeros((1 + len(self.slab.sheets[i].pools), x.size, count))
        last, lateral = self.done[-1].window, self.lateral

        def start(s: int, i: int, x: np.ndarray) -> np.ndarray:
            before = last.evaluate(s, i, x, np.full_like(x, last.clock.b_s))
            out = np.zeros((*before.shape[:-1], lateral.count))
            out[..., lateral.places(last.lateral)] = before
            return out

        return start

    def _accept(self, got: Trained, begin: float) -> None:
        got.window.release()
        super()._accept(got, begin)

    def _shape(self) -> dict[str, Any]:
        return {"cosines": [self.lateral.along_y, self.lateral.along_z]}

    def _reshape(self, record: Mapping[str, Any]) -> None:
        along_y, along_z = (int(n) for n in record["cosines"])
        self.lateral = replace(self.lateral, along_y=along_y, along_z=along_z)

    def _window(self, clock: Clock, size: Size, level: np.ndarray) -> BlockWindow:
        blood, seed = self.blood_from(clock.start_s, clock.start_s + clock.b_s), (self.plan.seed, len(self.done))
        return BlockWindow(
            self.slab, self.walls, self.lateral, clock, size, level, self.permeability, self.supply, seed, blood, self._begin()
        )

    def _train(self, begin: float, a: float, b: float, size: Size) -> Trained:
        clock = self._clock(begin, a, b)
        if self.plan.levels is not None:
            level = self.plan.levels(begin + a, begin + b)
        else:
            level = self.top if self.done else np.full_like(self.top, max(self.blood_top.max(), 1e-300))
        while True:
            window = self._window(clock, size, level).solve()
            if self.plan.levels is None:
                return Trained(self._settled(window), math.nan)
            if not window.converged:
                return Trained(window, math.inf)
            found = block_certificate(window)
            if found.total <= self.plan.target or not self._widen(found.tails):
                return Trained(window, found.total)

    def _widen(self, tails: tuple[float, float]) -> bool:
        """Take more cosines in the directions whose tail is too large; tell whether any were added."""
        limit = math.sqrt(_TAIL) * self.plan.target
        counts = [self.lateral.along_y, self.lateral.along_z]
        more = [min(_MOST, math.ceil(1.5 * n)) if n > 1 and tail > limit else n for n, tail in zip(counts, tails, strict=True)]
        self.lateral = replace(self.lateral, along_y=more[0], along_z=more[1])
        return more != counts

    def _settled(self, window: BlockWindow) -> BlockWindow:
        """Take the sizes that were found; the pilot's rows are divided by those of the window before."""
        peak = np.abs(window.gather(lambda g: g.faces(0))[..., 0]).max((2, 3))
        peak = np.maximum(peak, np.maximum(1e-2 * self.top, 1e-14 * self.blood_top.max()))
        window.level = np.maximum(peak, 1e-3 * peak.max(1, keepdims=True))
        return window


def low_permeability(walls: Walls, lateral: Lateral) -> np.ndarray:
    """Return what each port lets through at low concentration (port, S), mean over the barrier; the smallest at the end."""
    evaluation = Evaluation(lateral)
    n_s = walls.species
    zero = np.zeros((len(walls.ports), n_s, 1, *evaluation.points.shape))
    return walls.permeability(walls.means(walls.evaluate(evaluation, zero, np.zeros((n_s, 1))), evaluation.points))
