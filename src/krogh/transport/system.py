"""Say what a stepper needs of a problem in space; a new geometry is one new class with these methods.

The steppers know only ``C du/dt = F(u, t)`` with states of shape (B, S, N): batch, species, unknowns. How F is evaluated
and how an implicit stage is solved is the system's own business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.balance import close_balance
from krogh.transport.flows import return_deficits
from krogh.transport.linear import SOLVERS
from krogh.transport.linear.embedded import EmbeddedSolver
from krogh.transport.newton import consistent_faces, solve_stage
from krogh.transport.operator import Operator
from krogh.transport.steppers.stability import stability_limit_s

if TYPE_CHECKING:
    from krogh.transport.adjoint.system import AdjointSystem

#: Structures whose stages are solved to a tolerance, with the mass closed afterwards.
_ITERATED = ("general", "cylinder", "embedded")

__all__ = ["GraphSystem", "OnDevice", "Stage", "System", "as_system"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Hold the solution of one implicit stage.

    Attributes
    ----------
    u : array (B, S, N)
        The state.
    flows : array (B, S, row)
        Rate of every ledger row [amount/s], from the flows that the stage was solved with.
    """

    u: np.ndarray
    flows: np.ndarray
    converged: bool
    iterations: int


class System(Protocol):
    """A problem in space."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (batch, species, unknowns)."""
        ...

    @property
    def capacity(self) -> np.ndarray:
        """Return the amount per free concentration, shape (B, S, N); 0 where an unknown has no storage (membrane faces)."""
        ...

    @property
    def parent(self) -> np.ndarray:
        """Return the next unknown towards the blood, -1 at the root; always a smaller index."""
        ...

    @property
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the names of the ledger's rows and their sign in the mass balance (0: inside the model)."""
        ...

    def consistent(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return `u` with every unknown without storage in balance."""
        ...

    def start(self, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F at (u, blood), 0 where nothing is stored, and the ledger rates that belong to it."""
        ...

    def stage(self, gh: float, r: np.ndarray, guess: np.ndarray, blood: np.ndarray) -> Stage:
        """Solve ``C U - gh F(U) = r`` from `guess`."""
        ...

    def filter(self, gh: float, u: np.ndarray, blood: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-1 error`` with L = -dF/du at (u, blood), as well as an error estimate needs it."""
        ...

    def refresh(self) -> None:
        """Forget whatever is kept between stages."""
        ...

    def stability_limit_s(self) -> float:
        """Return the largest stable step of forward Euler [s]."""
        ...

    def adjoint(self) -> AdjointSystem:
        """Return the transposed derivatives of F, for gradients."""
        ...


@runtime_checkable
class OnDevice(Protocol):
    """A system whose states live elsewhere than in NumPy arrays."""

    def return_deficits(self, u: Any) -> float:
        """Return undershoots in place as :func:`krogh.transport.flows.return_deficits` does."""
        ...


class GraphSystem:
    """Serve a :class:`~krogh.transport.operator.Operator`: slab, cylinder, network."""

    def __init__(self, operator: Operator, tolerance: float | None = None) -> None:
        self.operator = operator
        self.solver = SOLVERS[operator.graph.structure](operator)
        #: Relative error of a stage; None: only round-off.
        self.enough = tolerance if operator.graph.structure in _ITERATED else None
        if isinstance(self.solver, EmbeddedSolver) and tolerance is not None:
            self.solver.digits, self.solver.floor = 0.1 * tolerance, 1e-9
        self.shape = operator.graph.shape
        self.capacity = operator.graph.capacity
        self.parent = operator.graph.parent
        self.ledger_names = operator.ledger_names

    @property
    def factors(self) -> dict[str, int]:
        """Return how many factors of each kind the linear solver made; none where it keeps none."""
        return dict(getattr(self.solver, "counts", {}))

    def consistent(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return `u` with the membrane faces in balance."""
        return consistent_faces(self.operator, self.solver, u, blood)

    def start(self, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F of the cells and the ledger rates."""
        return self.operator.cell_rate(u, blood), self.operator.ledger(u, blood)

    def stage(self, gh: float, r: np.ndarray, guess: np.ndarray, blood: np.ndarray) -> Stage:
        """Solve a stage by Newton's method."""
        result = solve_stage(self.operator, self.solver, gh, r, guess, blood, accept=self.enough)
        if not result.converged:
            return Stage(result.u, np.zeros(0), False, result.iterations)
        if self.enough is None:
            return Stage(result.u, self.operator.ledger(result.u, blood), True, result.iterations)
        u, flows, closed = close_balance(self.operator, gh, r, result.u, blood)
        if not closed:  # hardly anything is held, or a law is steep: let the iteration do it
            result = solve_stage(self.operator, self.solver, gh, r, result.u, blood)
            u, flows = result.u, self.operator.ledger(result.u, blood)
        return Stage(u, flows, result.converged, result.iterations)

    def filter(self, gh: float, u: np.ndarray, blood: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return one linear solve."""
        return -self.solver.step(self.capacity, gh, u, blood, error, loose=True)

    def refresh(self) -> None:
        """Drop kept factors."""
        self.solver.refresh()

    def stability_limit_s(self) -> float:
        """Return the limit by Gershgorin's theorem."""
        return stability_limit_s(self.operator)

    def adjoint(self) -> AdjointSystem:
        """Return the transposed derivatives of F."""
        from krogh.transport.adjoint.graph import GraphAdjoint

        return GraphAdjoint(self.operator)


def as_system(problem: Any, tolerance: float | None = None) -> System:
    """Return `problem` itself if it is a system, or the system that serves an operator, stages solved to `tolerance`."""
    return GraphSystem(problem, tolerance) if isinstance(problem, Operator) else problem


def return_to_neighbours(system: System, u: np.ndarray) -> np.ndarray:
    """Return a copy of `u` in which every undershoot was made up by the neighbour towards the blood, mass unchanged.

    Raises
    ------
    ConvergenceError
        If a value is not finite.
    """
    fixed = u.copy()
    rows, n = u.shape[0] * u.shape[1], u.shape[2]
    if isinstance(system, OnDevice):
        largest = system.return_deficits(fixed)
    else:
        largest = return_deficits(fixed.reshape(rows, n), system.capacity.reshape(rows, n), system.parent)
    if not np.isfinite(largest):
        raise ConvergenceError("time stepping", got="a concentration that is not finite")
    return fixed
