"""Solve a symmetric positive definite system by preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["conjugate_gradients"]

Operator = Callable[[np.ndarray], np.ndarray]


def conjugate_gradients(
    apply: Operator, b: np.ndarray, precondition: Operator, *, enough: Callable[[np.ndarray, np.ndarray], bool], most: int
) -> tuple[np.ndarray, int, bool]:
    """Return (x, products, converged) for ``A x = b``.

    Parameters
    ----------
    apply, precondition : callable
        A and an approximation of its inverse, on arrays like `b`.
    enough : callable
        Called with x and the preconditioned residual, which estimates the error of x; True ends the iteration.
    most : int
        Most products.

    References
    ----------
    Hestenes & Stiefel 1952, doi:10.6028/jres.049.044.
    """
    x, residual = np.zeros_like(b), b.copy()
    z = precondition(residual)
    rho = float(np.vdot(residual, z))
    direction = z.copy()
    for count in range(most):
        if rho <= 0.0 or enough(x, z):
            return x, count, True
        image = apply(direction)
        step = rho / float(np.vdot(direction, image))
        if not np.isfinite(step):
            return x, count, False
        x += step * direction
        residual -= step * image
        z = precondition(residual)
        before, rho = rho, float(np.vdot(residual, z))
        direction *= rho / before
        direction += z
    return x, most, enough(x, z)
