"""Solve a small dense-free system by right-preconditioned GMRES with re-orthogonalisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

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
    # one orthogonalisation leaves fewer digits than round-off, but more than a loose goal needs
    careful = tolerance < 1e-7
    while used < most:
        step, count, reached = _cycle(apply, residual, precondition, goal, min(restart, most - used), careful=careful)
        x = x + step
        used += count
        if reached and not careful:
            return x, used, True
        residual = b - apply(x)
        # the recursion may be a little ahead of the true residual
        if float(np.linalg.norm(residual)) <= 1.5 * goal or count == 0:
            return x, used, True
    return x, used, False


@njit(cache=True, nogil=True, fastmath=True)
def _orthogonalise(basis, count, w, column) -> float:  # type: ignore[no-untyped-def]
    """Take the parts along the first vectors of `basis` out of `w`, one by one, and add them to `column`; return what is left."""
    n = w.size
    for j in range(count):
        v = basis[j]
        part = 0.0
        for i in range(n):
            part += v[i] * w[i]
        column[j] += part
        for i in range(n):
            w[i] -= part * v[i]
    square = 0.0
    for i in range(n):
        square += w[i] * w[i]
    return math.sqrt(square)


def _cycle(
    apply: Operator, b: np.ndarray, precondition: Operator | None, goal: float, m: int, *, careful: bool
) -> tuple[np.ndarray, int, bool]:
    """Return the update of one cycle of at most `m` products, how many it took, and whether it reached the goal."""
    beta = float(np.linalg.norm(b))
    if beta <= goal:
        return np.zeros_like(b), 0, True
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
        column = np.zeros(k + 1)
        for _ in range(2 if careful else 1):
            length = _orthogonalise(basis, k + 1, w, column)
        h = [*column, length]
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
        np.multiply(w, 1.0 / length, out=basis[k + 1])
    if not cosines:
        return np.zeros_like(b), 0, False
    n = len(cosines)
    y = np.linalg.solve(upper[:n, :n], np.array(right[:n]))
    return y @ images[:n], n, abs(right[n]) <= goal
