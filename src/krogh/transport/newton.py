"""Solve one implicit stage C U - gh F(U, t) = r by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.flows import move, stage_residual
from krogh.transport.linear import LinearSolver
from krogh.transport.operator import Operator

__all__ = ["StageResult", "consistent_faces", "solve_stage"]

_MAX_ITERATIONS = 30


@dataclass(frozen=True, slots=True)
class StageResult:
    """Hold the solution of a stage, or the best that was reached and the fact that it did not converge."""

    u: np.ndarray
    converged: bool
    iterations: int


def solve_stage(
    operator: Operator,
    solver: LinearSolver,
    gh: float,
    r: np.ndarray,
    guess: np.ndarray,
    blood: np.ndarray,
    *,
    capacity: np.ndarray | None = None,
    accept: float | None = None,
) -> StageResult:
    """Solve C U - gh F(U) = r.

    The residual is formed from flows at every iteration ("delta form"), so that the last update carries only round-off
    into the mass balance.

    Parameters
    ----------
    gh : float
        Coefficient of F: step size times the diagonal entry of the method [s].
    r, guess : array, shape (B, S, N)
        Right-hand side and starting point.
    blood : array, shape (B, S)
        Free concentration in blood at the stage.
    capacity : array, optional
        Replaces the capacity of the graph.
    accept : float, optional
        Largest relative error of the state; by default that which leaves only round-off in the mass balance.
    """
    c = operator.graph.capacity if capacity is None else capacity
    u = np.array(guess, order="C")
    previous = np.inf
    rows, n = u.shape[0] * u.shape[1], u.shape[2]
    floor = 1e-300 + np.abs(blood).reshape(rows) * 1e-6
    flat = [np.ascontiguousarray(x).reshape(rows, n) for x in (c, r, u)]
    residual, flat_blood = np.empty_like(u), np.ascontiguousarray(blood).reshape(rows)

    def advance() -> float:
        """Improve `u` by one step; return its size."""
        met = operator.meet(u, blood)
        if solver.advance is not None:
            return solver.advance(flat[0], gh, flat[2], flat_blood, flat[1], floor, met)
        rate = operator.rate(u, blood, met)
        stage_residual(flat[0], flat[2], gh, rate.reshape(rows, n), flat[1], residual.reshape(rows, n))
        step = solver.step(c, gh, u, blood, residual, met=met)
        return float(move(flat[2], step.reshape(rows, n), floor))

    for iteration in range(1, _MAX_ITERATIONS + 1):
        size = advance()
        if not np.isfinite(size):
            return StageResult(u, converged=False, iterations=iteration)
        if accept is not None and operator.linear and size * solver.accuracy <= accept:
            return StageResult(u, converged=True, iterations=iteration)
        if size <= (solver.accept if accept is None else accept):
            return StageResult(u, converged=True, iterations=iteration)
        # what is left falls as the last two did; twice that, to be safe
        if accept is not None and iteration > 1 and 2.0 * size * size <= accept * (previous - size):
            return StageResult(u, converged=True, iterations=iteration)
        if iteration > 1 and size > 0.2 * previous:
            if size <= 1e-9:  # round-off: as good as this matrix gets
                return StageResult(u, converged=True, iterations=iteration)
            solver.refresh()
        previous = size
    return StageResult(u, converged=False, iterations=_MAX_ITERATIONS)


def consistent_faces(operator: Operator, solver: LinearSolver, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Return `u` with the membrane faces (nodes without capacity) in balance with their neighbours.

    The cells are held by a capacity so large that they cannot move.

    Raises
    ------
    ConvergenceError
        If the faces have no solution (a flux law that is not monotone).
    """
    capacity = operator.graph.capacity
    if np.all(capacity > 0):
        return u
    slopes = operator.slopes(u, blood)
    heavy = np.where(capacity > 0, 1e20 * max(float(np.abs(slopes.tail).max()), float(np.abs(slopes.head).max()), 1e-300), 0.0)
    result = solve_stage(operator, solver, 1.0, heavy * u, u, blood, capacity=heavy)
    solver.forget(heavy)
    if not result.converged:
        raise ConvergenceError("membrane faces", got="no balance of the fluxes", hint="check the kinetics of the routes")
    return np.where(capacity > 0, u, result.u)
