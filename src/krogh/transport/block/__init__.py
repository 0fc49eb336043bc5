"""Solve the barrier in three dimensions: layers along x, maps over (y, z) on its membranes."""
