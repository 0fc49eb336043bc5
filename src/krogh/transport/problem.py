"""State a transport problem once; every solver takes it and returns the same :class:`Solution`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.graph import Graph
from krogh.transport.integrate import integrate
from krogh.transport.march import BloodSource, March
from krogh.transport.mesh import Mesh, layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

__all__ = ["Problem", "Solution", "hermite", "solve"]


@dataclass(frozen=True)
class Problem:
    """Say what is to be solved.

    Attributes
    ----------
    barrier : Barrier
        Layers, membranes, routes, cells.
    blood : BloodSource
        Free concentration in blood (at the inlet of a capillary) over time.
    t_end_s : float
        Duration [s].
    capillary : Capillary or None
        A Krogh cylinder around this vessel; None: a slab.
    cells : int
        Cells across the layers, at least 4 a layer.
    cells_along : int
        Cells along the capillary.
    """

    barrier: Barrier
    blood: BloodSource
    t_end_s: float
    capillary: Capillary | None = None
    fu_plasma: Any = 1.0
    cells: int = 120
    cells_along: int = 24

    @property
    def mesh(self) -> Mesh:
        """Return the mesh across the layers."""
        return layered_mesh(self.barrier.layers, self.cells)

    def graph(self) -> Graph:
        """Return the assembled problem in space."""
        if self.capillary is None:
            return path_graph(self.barrier, self.mesh)
        return cylinder_graph(self.barrier, self.mesh, self.capillary, self.cells_along, self.fu_plasma)


@dataclass(frozen=True)
class Solution:
    """Hold the computed concentrations, their ledger, and how well mass was kept.

    Attributes
    ----------
    problem, operator
        What was solved, and its operator (graph, ledger names).
    march : March
        States at the accepted steps.
    """

    problem: Problem
    operator: Operator
    march: March
    _cache: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def t_s(self) -> np.ndarray:
        """Return the times of the accepted steps [s]."""
        return np.array(self.march.t_s)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return u at the times `t_s`, shape (time, B, S, N): cubic between steps, straight where that would undershoot."""
        if "u" not in self._cache:
            self._cache["u"] = np.array(self.march.u)
            self._cache["slope"] = np.array(self.march.slope)
        return hermite(self.t_s, self._cache["u"], self._cache["slope"], np.asarray(t_s, dtype=float))

    def ledger(self, name: str) -> np.ndarray:
        """Return the cumulative amount of one ledger row at the steps, shape (step, B, S)."""
        names = [n for n, _ in self.operator.ledger_names]
        return np.array([entry[..., names.index(name)] for entry in self.march.ledger])

    def medium(self, name: str, u: np.ndarray) -> np.ndarray:
        """Return the mean free concentration of a medium, weighted by its capacity: (..., B, S) from (..., B, S, N)."""
        nodes = self.operator.graph.media[name]
        weight = self.operator.graph.capacity[..., nodes]
        return (u[..., nodes] * weight).sum(-1) / weight.sum(-1)

    @property
    def mass_defect(self) -> float:
        """Return (stored - in + out + lost - formed) / throughput over the whole run, worst species."""
        signs = np.array([s for _, s in self.operator.ledger_names], dtype=float)
        graph = self.operator.graph
        stored = (graph.capacity * (self.march.final - self.march.u[0])).sum(-1)
        last = self.march.ledger[-1]
        through = np.maximum((last * (signs > 0)).sum(-1), np.abs(stored)) + 1e-300
        return float((np.abs(stored - last @ signs) / through).max())


def solve(
    problem: Problem,
    *,
    method: str = "esdirk43",
    step_s: float | None = None,
    rtol: float = 1e-4,
    progress: Callable[[float], None] | None = None,
) -> Solution:
    """Solve by finite volumes; see :func:`krogh.transport.integrate.integrate` for the settings.

    Raises
    ------
    InputError
        If the blood does not have the shape of the barrier, or a setting is out of range.
    ConvergenceError
        If the stepper cannot go on.
    """
    shape = problem.blood.free(0.0).shape
    expected = (problem.barrier.batch, len(problem.barrier.species))
    if shape != expected:
        raise InputError("blood", got=f"shape {shape}", expected=f"{expected} (problems, species)")
    operator = Operator(problem.graph())
    march = integrate(operator, problem.blood, problem.t_end_s, method=method, step_s=step_s, rtol=rtol, progress=progress)
    return Solution(problem, operator, march)


def hermite(t: np.ndarray, u: np.ndarray, slope: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return `u` (step, ...) at the times `at`: cubic by the slopes, straight where a cubic would leave its ends."""
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, t.size - 2)
    h = (t[i + 1] - t[i]).reshape(-1, *[1] * (u.ndim - 1))
    x = ((at - t[i]).reshape(h.shape) / h).clip(0.0, 1.0)
    a, b = u[i], u[i + 1]
    cubic = (
        a * (1 + 2 * x) * (1 - x) ** 2
        + b * x**2 * (3 - 2 * x)
        + h * (slope[i] * x * (1 - x) ** 2 - slope[i + 1] * x**2 * (1 - x))
    )
    straight = a + x * (b - a)
    low, high = np.minimum(a, b), np.maximum(a, b)
    # a cubic far outside its ends belongs to a kink (a dose, a membrane face without a slope): take the line
    good = (cubic >= np.minimum(low, 0.999 * low)) & (cubic <= high + 0.05 * (high - low) + 1e-3 * high) & (cubic >= 0)
    return np.where(good, cubic, straight)
