"""Solve the transport problem by physics-informed networks; always scored against finite volumes or their own certificate."""

from krogh.pinn.solution import PinnSolution
from krogh.pinn.solve import solve

__all__ = ["PinnSolution", "solve"]
