"""Solve a small dense-free system by right-preconditioned GMRES with re-orthogonalisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["gmres"]

Operator = Callable[[np.ndarray], np.ndarray]


def gmres(
    apply: Operator, b: np.ndarray, precondition: Operator | None, *, tolerance: float, restart: int = 60, most: int = 240
) -> tuple[np.ndarray, int, bool]:
    """Return (x, products, converged) with ``|b - A x| <= tolerance |b|``.

    Parameters
    ----------
    apply, precondition : callable
        A and an approximation of its inverse, on vectors like `b`; None: A is well conditioned as it is.
    restart, most : int
        Vectors kept, and products in all.

    References
    ----------
    Saad & Schultz 1986, doi:10.1137/0907058.
    """
    x = np.zeros_like(b)
    first = float(np.linalg.norm(b))
    if first == 0.0:
        return x, 0, True
    residual, used, goal = b, 0, tolerance * first
    while used < most:
        step, count = _cycle(apply, residual, precondition, goal, min(restart, most - used))
        x = x + step
        used += count
        residual = b - apply(x)
        # the recursion may be a little ahead of the true residual
        if float(np.linalg.norm(residual)) <= 1.5 * goal or count == 0:
            return x, used, True
    return x, used, False


def _cycle(apply: Operator, b: np.ndarray, precondition: Operator | None, goal: float, m: int) -> tuple[np.ndarray, int]:
    """Return the update of one cycle of at most `m` products, and how many it took."""
    beta = float(np.linalg.norm(b))
    if beta <= goal:
        return np.zeros_like(b), 0
    basis = np.empty((m + 1, b.size))
    images = basis if precondition is None else np.empty((m, b.size))
    basis[0] = b / beta
    upper = np.zeros((m, m))
    cosines: list[float] = []
    sines: list[float] = []
    right = [beta]
    for k in range(m):
        if precondition is not None:
            images[k] = precondition(basis[k])
        w = apply(images[k])
        held = basis[: k + 1]
        column = held @ w
        w = w - column @ held
        again = held @ w
        w = w - again @ held
        length = float(np.linalg.norm(w))
        h = [*(column + again), length]
        for i in range(k):
            h[i], h[i + 1] = cosines[i] * h[i] + sines[i] * h[i + 1], -sines[i] * h[i] + cosines[i] * h[i + 1]
        size = math.hypot(h[k], h[k + 1])
        if size == 0.0:
            break
        cosines.append(h[k] / size)
        sines.append(h[k + 1] / size)
        upper[: k + 1, k] = [*h[:k], size]
        right.append(-sines[k] * right[k])
        right[k] *= cosines[k]
        if abs(right[k + 1]) <= goal or length <= 1e-300:
            break
        basis[k + 1] = w / length
    n = len(cosines)
    y = np.linalg.solve(upper[:n, :n], np.array(right[:n]))
    return y @ images[:n], n
