"""Solve a transport problem by windowed networks, to a tolerance that a certificate checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.pinn.march import Plan, Trained, cover
from krogh.pinn.physics import Slab, slab_of
from krogh.pinn.sampling import march_of, states
from krogh.pinn.threads import one_thread
from krogh.pinn.window import Size
from krogh.transport.march import March
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem, Solution

__all__ = ["PinnSolution", "solve"]

_PILOT = Size(40)


class PinnSolution(Solution):
    """Hold the trained networks; everything that reads a finite-volume :class:`Solution` reads this one too.

    The cells of ``problem.mesh`` only say where the networks are sampled; :meth:`at` evaluates them anywhere.

    Attributes
    ----------
    windows : tuple of Trained
        One per time window, in order.
    tol : float
        What the certificate was asked to reach.
    """

    def __init__(self, problem: Problem, slab: Slab, windows: tuple[Trained, ...], tol: float) -> None:
        for name, value in (
            ("problem", problem),
            ("operator", Operator(problem.graph())),
            ("slab", slab),
            ("windows", windows),
            ("tol", tol),
        ):
            object.__setattr__(self, name, value)

    windows: tuple[Trained, ...]
    slab: Slab
    tol: float

    @cached_property
    def march(self) -> March:  # type: ignore[override]
        """Return states, ledger and AUC on the mesh of the problem."""
        return march_of(self.operator, self.problem, self.windows)

    @property
    def certificate(self) -> float:
        """Return the residual on fresh points in units of concentration, over the size of each layer: the worst window."""
        return max(w.certificate for w in self.windows)

    @property
    def converged(self) -> bool:
        """Tell whether the certificate is within the tolerance."""
        return self.certificate <= self.tol

    @property
    def unknowns(self) -> int:
        """Return the number of trained weights."""
        return sum(c.size for w in self.windows for of in w.window.coefficients for c in of)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return u at the times `t_s` on the nodes of the mesh, shape (time, B, S, N), straight from the networks."""
        t = np.asarray(t_s, dtype=float)
        out = np.zeros((t.size, *self.operator.graph.shape))
        for k, w in enumerate(self.windows):
            clock = w.window.clock
            low, high = clock.start_s + clock.a_s, clock.start_s + clock.b_s
            here = (t > low) & (t <= high) if k else t <= high
            if k == len(self.windows) - 1:
                here |= t > high
            if np.any(here):
                out[here] = states(self.operator, self.problem, w.window, t[here] - clock.start_s)
        return out

    def at(self, layer: int, x_m: np.ndarray, t_s: np.ndarray, species: int = 0) -> np.ndarray:
        """Return the free concentration in a layer at depths `x_m` and times `t_s` (points) [mol/m3]."""
        x, t = np.broadcast_arrays(np.asarray(x_m, dtype=float), np.asarray(t_s, dtype=float))
        out = np.zeros(x.shape)
        for k, w in enumerate(self.windows):
            clock = w.window.clock
            low, high = clock.start_s + clock.a_s, clock.start_s + clock.b_s
            here = (t > low) & (t <= high) if k else t <= high
            if np.any(here):
                out[here] = w.window.evaluate(species, layer, x[here], np.maximum(t[here] - clock.start_s, 0.0))[0]
        return out


def solve(
    problem: Problem,
    *,
    tol: float = 1e-4,
    seed: int = 0,
    strict: bool = True,
    progress: Callable[[float], None] | None = None,
) -> PinnSolution:
    """Solve a slab by random-feature networks per layer and time window, trained by least squares.

    Parameters
    ----------
    problem : Problem
        The same that the finite volumes take; a slab.
    tol : float
        What the certificate must reach in every window: residuals in units of concentration over the peak of each layer,
        1e-9..1e-1.
    seed : int
        Seed of the frozen hidden weights.
    strict : bool
        Refuse to return a solution that did not reach `tol`.
    progress : callable, optional
        Called with the share of the run that is done.

    Raises
    ------
    InputError
        For a cylinder, a batch, or a setting out of range.
    ConvergenceError
        If the certificate stays above `tol` (with `strict`); the message has its number.
    """
    if problem.capillary is not None:
        raise InputError("pinn", got="a cylinder", expected="a slab", hint="use finite volumes for the Krogh cylinder")
    if not (math.isfinite(tol) and 1e-9 <= tol <= 0.1):
        raise InputError("tol", got=tol, expected="1e-9 to 0.1")
    if not (math.isfinite(problem.t_end_s) and problem.t_end_s > 0):
        raise InputError("duration", got=f"{problem.t_end_s} s", expected="a finite time > 0 s")
    slab = slab_of(problem.barrier)
    source = problem.blood
    if source.free(0.0).shape != (1, slab.species):
        raise InputError("blood", got=f"shape {source.free(0.0).shape}", expected=f"{(1, slab.species)} (problems, species)")

    def blood(t: np.ndarray, left: bool) -> np.ndarray:
        return np.array([source.free(float(x), left=left)[0] for x in t]).T

    events = [0.0, *sorted({float(e) for e in source.events(problem.t_end_s) if 0 < e < problem.t_end_s}), problem.t_end_s]
    with one_thread():
        pilot = cover(slab, blood, events, Plan(math.inf, _PILOT, seed))
        plan = Plan(tol, Size(80 if tol > 1e-5 else 120 if tol > 1e-7 else 180), seed, _levels(pilot))
        windows = cover(slab, blood, events, plan, progress)
    found = PinnSolution(problem, slab, tuple(windows), tol)
    if strict and not found.converged:
        raise ConvergenceError(
            "pinn",
            got=f"certificate {found.certificate:.1e}",
            expected=f"at most {tol:.0e}",
            hint="raise --tol, or use --solver fv",
        )
    return found


def _levels(pilot: list[Trained]) -> Callable[[float, float], np.ndarray]:
    """Return the expected size of the concentrations in a window: the peak of each layer, lowered where all have declined."""
    ends = [(w.window.clock.start_s + w.window.clock.a_s, w.window.clock.start_s + w.window.clock.b_s) for w in pilot]
    sizes = np.array([w.window.level for w in pilot])
    top = sizes.max(0)

    def levels(a: float, b: float) -> np.ndarray:
        near = [k for k, (low, high) in enumerate(ends) if low < b and high > a]
        share = (sizes[near].max(0) / top).max(1, keepdims=True)
        return top * share

    return levels
