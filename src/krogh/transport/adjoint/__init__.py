"""Differentiate any metric of a run by all of its parameters at once: the discrete adjoint of the time steps."""
