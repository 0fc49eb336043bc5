"""Solve the linear system of one Newton step: one file per structure of the graph.

To add a solver: write a class with ``step`` (and ``refresh``), and name it in :data:`SOLVERS` under the structure that it serves.
"""

from krogh.transport.linear.solvers import SOLVERS, ChainSolver, LinearSolver, SparseSolver

__all__ = ["SOLVERS", "ChainSolver", "LinearSolver", "SparseSolver"]
