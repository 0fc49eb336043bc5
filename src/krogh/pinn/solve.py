"""Solve a transport problem by windowed networks, to a tolerance that a certificate checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import overload

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.pinn.block import solve as block
from krogh.pinn.block.solution import BlockNetworks
from krogh.pinn.cylinder import solve as cylinder
from krogh.pinn.cylinder.solution import CylinderSolution
from krogh.pinn.keep import Keep
from krogh.pinn.march import unsolved
from krogh.pinn.methods import METHODS, Task
from krogh.pinn.physics import slab_of
from krogh.pinn.solution import PinnSolution
from krogh.pinn.stage import Stage
from krogh.pinn.support import check_supported, default_tol
from krogh.pinn.threads import one_thread
from krogh.pinn.triangle import triangle_on
from krogh.transport.block.problem import BlockProblem
from krogh.transport.problem import Problem

__all__ = ["solve"]


@overload
def solve(
    problem: Problem, *, method: str = ..., tol: float | None = ..., seed: int = ..., strict: bool = ...,
    progress: Callable[[float], None] | None = ..., tell: Callable[[Stage], None] | None = ..., keep: Keep | None = ...,
    device: str = ..., precision: str = ...,
) -> PinnSolution: ...  # fmt: skip


@overload
def solve(
    problem: BlockProblem, *, method: str = ..., tol: float | None = ..., seed: int = ..., strict: bool = ...,
    progress: Callable[[float], None] | None = ..., tell: Callable[[Stage], None] | None = ..., keep: Keep | None = ...,
    device: str = ..., precision: str = ...,
) -> BlockNetworks: ...  # fmt: skip


@overload
def solve(
    problem: Problem | BlockProblem, *, method: str = ..., tol: float | None = ..., seed: int = ..., strict: bool = ...,
    progress: Callable[[float], None] | None = ..., tell: Callable[[Stage], None] | None = ..., keep: Keep | None = ...,
    device: str = ..., precision: str = ...,
) -> PinnSolution | BlockNetworks: ...  # fmt: skip


def solve(
    problem: Problem | BlockProblem,
    *,
    method: str = "lsq",
    tol: float | None = None,
    seed: int = 0,
    strict: bool = True,
    progress: Callable[[float], None] | None = None,
    tell: Callable[[Stage], None] | None = None,
    keep: Keep | None = None,
    device: str = "cpu",
    precision: str = "float64",
) -> PinnSolution | BlockNetworks:
    """Solve a slab, a Krogh cylinder or a block by networks.

    Parameters
    ----------
    problem : Problem or BlockProblem
        The same that the finite volumes take.
    method : str
        How they are trained, a key of :data:`krogh.pinn.methods.METHODS`: ``lsq`` (hidden weights frozen), ``trained`` (by
        Levenberg-Marquardt), or ``classic`` as a baseline.
    tol : float or None
        What the certificate must reach in every window: residuals in units of concentration over the peak of each layer,
        1e-9..1e-1; None: 5e-4 for a slab by ``lsq``, 3e-4 for a block, 1e-3 otherwise.
    seed : int
        Seed of the hidden weights.
    strict : bool
        Refuse to return a solution that did not reach `tol`.
    progress : callable, optional
        Called with the share of the run that is done.
    tell : callable, optional
        Called with the :class:`krogh.pinn.stage.Stage` of a training: step, loss, certificate.
    keep : Keep, optional
        Where the state of the run is stored as it goes; what is there already is taken up.
    device : str
        ``cpu``, or ``cuda`` for the least squares of a slab.
    precision : str
        ``float64``, or ``mixed``: the steps of ``trained`` in single precision, all that is solved for in double.

    Raises
    ------
    InputError
        For a batch, a setting out of range, or what networks are not made for (see :func:`krogh.pinn.support.check_supported`).
    UsageError
        For a device or precision that is not there.
    ConvergenceError
        If the certificate stays above `tol` (with `strict`); the message has its number.
    """
    check_supported(problem, method)
    tol = default_tol(problem, method) if tol is None else tol
    if not (math.isfinite(tol) and 1e-9 <= tol <= 0.1):
        raise InputError("tol", got=tol, expected="1e-9 to 0.1")
    if not (math.isfinite(problem.t_end_s) and problem.t_end_s > 0):
        raise InputError("duration", got=f"{problem.t_end_s} s", expected="a finite time > 0 s")
    triangle = triangle_on(device, precision)
    vessel = problem.capillary
    slab = slab_of(problem.whole if isinstance(problem, BlockProblem) else problem.barrier, vessel.radius_m if vessel else None)
    source = problem.blood
    if source.free(0.0).shape != (1, slab.species):
        raise InputError("blood", got=f"shape {source.free(0.0).shape}", expected=f"{(1, slab.species)} (problems, species)")

    def blood(t: np.ndarray, left: bool) -> np.ndarray:
        return np.array([source.free(float(x), left=left)[0] for x in t]).T

    events = [0.0, *sorted({float(e) for e in source.events(problem.t_end_s) if 0 < e < problem.t_end_s}), problem.t_end_s]
    task = Task(slab, blood, events, tol, seed, progress, tell, keep, triangle, strict)
    found: PinnSolution | BlockNetworks
    with one_thread():
        if isinstance(problem, BlockProblem):
            found = BlockNetworks(problem, tuple(block.run(task, problem)), tol)
        elif vessel is None:
            found = PinnSolution(problem, slab, tuple(METHODS[method](task)), tol)
        else:
            fu = problem.barrier.expand(problem.fu_plasma)[0]
            found = CylinderSolution(problem, slab, tuple(cylinder.run(task, vessel, fu)), tol, fu)
    if strict and not found.converged:
        raise _missed(found)
    return found


def _missed(found: PinnSolution | BlockNetworks) -> ConvergenceError:
    """Return the error of a training that missed its tolerance, with the stretch of time that missed it the most."""
    worst = max(found.windows, key=lambda w: w.certificate)
    clock = worst.window.clock
    start, end = clock.start_s + clock.a_s, clock.start_s + clock.b_s
    if np.isinf(worst.certificate):
        return unsolved(start, end)
    where = f"from {start:.3g} s to {end:.3g} s"
    return ConvergenceError("pinn", got=f"certificate {worst.certificate:.1e} {where}", expected=f"at most {found.tol:.0e}",
                            hint="raise --tol, or use --solver fv")  # fmt: skip
