"""Find the rests of the walls' laws: Newton's method, its linear systems by GMRES over small matrices.

All of a window's layers and networks enter by one matrix per group of modes, how concentrations at the ports answer the rests: a
step costs products of small matrices and one evaluation of the laws.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

__all__ = ["settle"]

_STEPS = 30
_FORCING = 1e-2
#: Where a step that should have gained two digits gains none, this is as good as it gets.
_ROUND_OFF = 1e-6


def settle(
    rest: np.ndarray,
    misfit: Callable[[np.ndarray], tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]],
    *,
    tolerance: float,
    least: float = 0.0,
) -> tuple[np.ndarray, int, bool]:
    """Return rests at which ``misfit`` is small enough, the steps taken, and whether it was reached.

    Parameters
    ----------
    rest : array
        First guess.
    misfit : callable
        Returns ``laws(rest) - rest`` and its negative derivative as a product with a change.
    tolerance : float
        Largest misfit over the largest rest.
    least : float
        A misfit that is nothing but round-off: laws that are alike all over leave no rest, and round-off never settles.
    """
    if not rest.size:
        return rest, 0, True
    best = np.inf
    for step in range(_STEPS):
        miss, apply = misfit(rest)
        size = float(np.abs(miss).max())
        scale = max(float(np.abs(rest + miss).max()), 1e-300)
        if not np.isfinite(size):
            return rest, step, False
        if size <= max(tolerance * scale, least) or (size > 0.1 * best and size <= _ROUND_OFF * scale):
            return rest, step, True
        best = min(best, size)
        operator = LinearOperator((rest.size, rest.size), matvec=lambda v, f=apply, shape=rest.shape: f(v.reshape(shape)).ravel())
        change, _ = gmres(operator, miss.ravel(), rtol=_FORCING, restart=60, maxiter=3)
        rest = rest + change.reshape(rest.shape)
    return rest, _STEPS, False
