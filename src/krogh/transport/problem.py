"""State a transport problem once; every solver takes it and returns the same :class:`Solution`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.graph import Graph
from krogh.transport.integrate import integrate
from krogh.transport.march import BloodSource, March, check_blood
from krogh.transport.mesh import Mesh, layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.solution import LedgerSolution
from krogh.transport.system import GraphSystem

__all__ = ["Problem", "Solution", "solve"]


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

    def system(self, tolerance: float = 1e-7) -> GraphSystem:
        """Return what the steppers step; its stages are solved as exactly as `tolerance` asks, their mass to round-off."""
        return GraphSystem(Operator(self.graph()), tolerance)

    def coefficients(self) -> dict[str, np.ndarray]:
        """Return the arrays that the assembled problem consists of, for gradients."""
        from krogh.transport.adjoint.graph import graph_coefficients

        return graph_coefficients(self.graph())


@dataclass(frozen=True)
class Solution(LedgerSolution):
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

    @property
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the rows of the ledger with their signs."""
        return self.operator.ledger_names

    @property
    def capacity(self) -> np.ndarray:
        """Return the capacity of the nodes (B, S, N)."""
        return self.operator.graph.capacity

    @property
    def auc(self) -> np.ndarray:
        """Return the time integral of every node (B, S, N)."""
        assert self.march.auc is not None
        return self.march.auc

    @property
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S)."""
        assert self.march.final is not None
        return (self.capacity * (self.march.final - self.march.u[0])).sum(-1)

    @property
    def cell_nodes(self) -> np.ndarray:
        """Return the nodes of the cells across the layers."""
        return self.operator.graph.layout["cell_node"]

    def nodes(self, name: str) -> np.ndarray:
        """Return the nodes of a medium."""
        return self.operator.graph.media[name]

    @property
    def tissue_volume(self) -> float:
        """Return the volume of end-feet and interstitium (m in the slab, m3 in the cylinder)."""
        mesh, capillary = self.problem.mesh, self.problem.capillary
        inside = mesh.layer >= 2
        if capillary is None:
            spread = np.array([self.problem.barrier.layers[i].spread for i in mesh.layer])
            return float((mesh.width_m * spread)[inside].sum())
        edge = capillary.radius_m + mesh.edge_m
        return float(np.pi * (edge[1:] ** 2 - edge[:-1] ** 2)[inside].sum() * capillary.length_m)


def solve(
    problem: Problem,
    *,
    method: str = "esdirk43",
    step_s: float | None = None,
    rtol: float = 1e-4,
    progress: Callable[[float], None] | None = None,
    stops_s: np.ndarray | None = None,
) -> Solution:
    """Solve by finite volumes; see :func:`krogh.transport.integrate.integrate` for the settings.

    Raises
    ------
    InputError
        If the blood does not have the shape of the barrier, or a setting is out of range.
    ConvergenceError
        If the stepper cannot go on.
    """
    check_blood(problem.blood, problem.barrier.batch, len(problem.barrier.species))
    operator = Operator(problem.graph())
    march = integrate(
        operator, problem.blood, problem.t_end_s, method=method, step_s=step_s, rtol=rtol, progress=progress, stops_s=stops_s
    )
    return Solution(problem, operator, march)
