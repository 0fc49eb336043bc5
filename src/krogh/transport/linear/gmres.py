"""Solve a small dense-free system by right-preconditioned GMRES with re-orthogonalisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

__all__ = ["Seen", "gmres"]

Operator = Callable[[np.ndarray], np.ndarray]


def gmres(
    apply: Operator,
    b: np.ndarray,
    precondition: Operator | None,
    *,
    tolerance: float,
    restart: int = 60,
    most: int = 240,
    seen: Seen | None = None,
) -> tuple[np.ndarray, int, bool]:
    """Return (x, products, converged) with ``|b - A x| <= tolerance |b|``.

    Parameters
    ----------
    apply, precondition : callable
        A and an approximation of its inverse, on vectors like `b`; None: A is well conditioned as it is.
    restart, most : int
        Vectors kept, and products in all.
    seen : Seen, optional
        What earlier solves with the same A have found; what they know of `b` is taken from them, and this one adds to it.

    References
    ----------
    Saad & Schultz 1986, doi:10.1137/0907058.
    """
    x = np.zeros_like(b)
    first = float(np.linalg.norm(b))
    if first == 0.0:
        return x, 0, True
    residual, used, goal = b, 0, tolerance * first
    if seen is not None:
        x, residual = seen.known(b)
    # one orthogonalisation leaves fewer digits than round-off, but more than a loose goal needs
    careful = tolerance < 1e-7
    while used < most:
        step, count, reached = _cycle(apply, residual, precondition, goal, min(restart, most - used), seen, careful=careful)
        x = x + step
        used += count
        if reached and not careful:
            return x, used, True
        residual = b - apply(x)
        # the recursion may be a little ahead of the true residual
        if float(np.linalg.norm(residual)) <= 1.5 * goal or count == 0:
            return x, used, True
    return x, used, False


class Seen:
    """Remember pairs (v, A v) of one matrix A, the images orthonormal, so that later solves start where earlier ones ended.

    Parameters
    ----------
    most : int
        Pairs to be kept; when there are more, all are dropped.
    """

    def __init__(self, most: int = 40) -> None:
        self._most = most
        self._vectors: list[np.ndarray] = []
        self._images: list[np.ndarray] = []

    def known(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (x, b - A x) with x the best of what was seen."""
        x, residual = np.zeros_like(b), b
        for vectors, images in zip(self._vectors, self._images, strict=True):
            part = images @ residual
            x, residual = x + part @ vectors, residual - part @ images
        return x, residual

    def add(self, vectors: np.ndarray, basis: np.ndarray, columns: list[list[float]]) -> None:
        """Add `vectors` (n, N) whose images are ``basis`` (n + 1, N) times the columns of a Hessenberg matrix."""
        n = len(columns)
        if sum(len(v) for v in self._vectors) + n > self._most:
            self._vectors.clear()
            self._images.clear()
        hessenberg = np.zeros((n + 1, n))
        for k, column in enumerate(columns):
            hessenberg[: len(column), k] = column
        images = hessenberg.T @ basis[: n + 1]
        vectors = vectors.copy()
        for old, old_images in zip(self._vectors, self._images, strict=True):
            part = images @ old_images.T
            images -= part @ old_images
            vectors -= part @ old
        square, turn = np.linalg.eigh(images @ images.T)
        good = square > 1e-10 * square[-1]
        scale = (turn[:, good] / np.sqrt(square[good])).T
        self._vectors.append(scale @ vectors)
        self._images.append(scale @ images)


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
    apply: Operator, b: np.ndarray, precondition: Operator | None, goal: float, m: int, seen: Seen | None, *, careful: bool
) -> tuple[np.ndarray, int, bool]:
    """Return the update of one cycle of at most `m` products, how many it took, and whether it reached the goal."""
    beta = float(np.linalg.norm(b))
    if beta <= goal:
        return np.zeros_like(b), 0, True
    basis = np.empty((m + 1, b.size))
    images = basis if precondition is None else np.empty((m, b.size))
    basis[0] = b / beta
    upper = np.zeros((m, m))
    columns: list[list[float]] = []
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
        columns.append(h.copy())
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
        np.multiply(w, 1.0 / max(length, 1e-300), out=basis[k + 1])
        if abs(right[k + 1]) <= goal or length <= 1e-300:
            break
    if not cosines:
        return np.zeros_like(b), 0, False
    n = len(cosines)
    y = np.linalg.solve(upper[:n, :n], np.array(right[:n]))
    if seen is not None and not careful:
        seen.add(images[:n], basis[: n + 1], columns)
    return y @ images[:n], n, abs(right[n]) <= goal
