"""Compute HOW it moves: mesh, membranes, blood, steppers, linear solvers."""
