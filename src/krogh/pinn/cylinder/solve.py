"""Cover a run of the Krogh cylinder with windows, as the slab is covered."""

from __future__ import annotations

import math

import numpy as np

from krogh.errors import InputError
from krogh.pinn.basis import Clock
from krogh.pinn.cylinder.axial import Axial, axial
from krogh.pinn.cylinder.check import cylinder_certificate
from krogh.pinn.cylinder.window import CylinderWindow, StartMode
from krogh.pinn.draw import Size
from krogh.pinn.march import Cover, Plan, Trained, cover
from krogh.pinn.methods.lsq import levels_of
from krogh.pinn.methods.task import Task
from krogh.transport.cylinder import Capillary

__all__ = ["run"]

_FEWEST, _MOST = 8, 24
_PILOT = Size(40)


def run(task: Task, vessel: Capillary, fu: np.ndarray) -> list[Trained]:
    """Return the windows of a run; a pilot run without losses along the vessel finds how large the concentrations are.

    Parameters
    ----------
    task : Task
        The rings around the vessel (see ``slab_of(barrier, radius_m)``), and the blood that arrives.
    vessel : Capillary
        Radius, length, velocity.
    fu : array (S,)
        Unbound fraction in plasma: blood carries u / fu.
    """
    if task.slab.faces[0].membrane is None:
        raise InputError("cylinder", got="no membrane at the capillary wall", expected="a membrane at face 0")
    pilot = cover(task.slab, task.blood, task.events, Plan(math.inf, _PILOT, task.seed))
    drain = 2 * fu * vessel.length_m / (vessel.radius_m * vessel.velocity_m_s)
    # blood that is emptied along the way falls like exp(-extraction z)
    extraction = max(float(drain[s]) * task.slab.permeability(0, s) for s in range(task.slab.species))
    modes = axial(int(min(_MOST, _FEWEST + 0.8 * extraction)), vessel.length_m, vessel.velocity_m_s)
    plan = Plan(task.tol, Size(80), task.seed, levels_of(pilot), keep=task.keep, tell=task.tell, strict=task.strict)
    return _CylinderCover(task, plan, modes, drain).run()


class _CylinderCover(Cover):
    """Train windows of a cylinder in place of a slab's."""

    def __init__(self, task: Task, plan: Plan, modes: Axial, drain: np.ndarray) -> None:
        super().__init__(task.slab, task.blood, task.events, plan, task.progress)
        self.modes, self.drain = modes, drain

    def _begin(self) -> StartMode:
        if not self.done:
            return lambda s, k, i, x: np.zeros((1 + len(self.slab.sheets[i].pools), x.size))
        last = self.done[-1].window
        return lambda s, k, i, x: last.evaluate(s, k, i, x, np.full_like(x, last.clock.b_s))

    def _window(self, clock: Clock, size: Size, level: np.ndarray) -> CylinderWindow:
        blood = self.blood_from(clock.start_s, clock.start_s + clock.b_s)
        seed = (self.plan.seed, len(self.done))
        return CylinderWindow(self.slab, self.modes, clock, size, level, seed, blood, self.drain, self._begin())

    def _train(self, begin: float, a: float, b: float, size: Size) -> Trained:
        assert self.plan.levels is not None
        window = self._window(self._clock(begin, a, b), size, self.plan.levels(begin + a, begin + b))
        window.solve()
        return Trained(window, cylinder_certificate(window) if window.converged else math.inf)
