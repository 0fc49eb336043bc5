"""Measure how fast water crosses the barrier from FEXI diffusion MRI."""
