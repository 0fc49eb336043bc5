"""Solve the linear system of one Newton step: one file per structure of the graph.

To add a solver: write a class with ``step`` (and ``refresh``), and name it in :data:`SOLVERS` under the structure that it serves.
"""

from krogh.transport.linear.modal import ModalSolver
from krogh.transport.linear.solvers import SOLVERS, ChainSolver, LinearSolver
from krogh.transport.linear.sparse import SparseSolver

__all__ = ["SOLVERS", "ChainSolver", "LinearSolver", "ModalSolver", "SparseSolver"]
