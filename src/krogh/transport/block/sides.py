"""Solve along one direction at a time: compiled elimination along x, y and z for alternating directions."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["along_x", "along_y", "along_z"]

_ROWS = 8


@njit(cache=True, nogil=True, fastmath=True)
def along_x(f, pivot, tx, gh, out) -> None:  # type: ignore[no-untyped-def]
    """Write the solution of ``(pivot + gh Lx) out = f``; ``tx[i]`` couples i - 1 and i."""
    nx, ny, nz = f.shape
    share = np.empty((nx, nz))
    for j in range(ny):
        for i in range(nx):
            for k in range(nz):
                low = gh * tx[i, j, k]
                up = gh * tx[i + 1, j, k] if i < nx - 1 else 0.0
                d = pivot[i, j, k] + low + up
                value = f[i, j, k]
                if i > 0:
                    d -= low * share[i - 1, k]
                    value += low * out[i - 1, j, k]
                share[i, k] = up / d
                out[i, j, k] = value / d
        for i in range(nx - 2, -1, -1):
            for k in range(nz):
                out[i, j, k] += share[i, k] * out[i + 1, j, k]


@njit(cache=True, nogil=True, fastmath=True)
def along_y(v, mass, ty, gh) -> None:  # type: ignore[no-untyped-def]
    """Replace v by the solution of ``(mass + gh Ly) v' = mass v``."""
    nx, ny, nz = v.shape
    share = np.empty((ny, nz))
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                low = gh * ty[i, j, k]
                up = gh * ty[i, j + 1, k] if j < ny - 1 else 0.0
                d = mass[i, j, k] + low + up
                value = mass[i, j, k] * v[i, j, k]
                if j > 0:
                    d -= low * share[j - 1, k]
                    value += low * v[i, j - 1, k]
                share[j, k] = up / d
                v[i, j, k] = value / d
        for j in range(ny - 2, -1, -1):
            for k in range(nz):
                v[i, j, k] += share[j, k] * v[i, j + 1, k]


@njit(cache=True, nogil=True, fastmath=True)
def along_z(v, mass, tz, gh) -> None:  # type: ignore[no-untyped-def]
    """Do the same along z, a few rows abreast."""
    nx, ny, nz = v.shape
    share, w = np.empty((nz, _ROWS)), np.empty((nz, _ROWS))
    for i in range(nx):
        for first in range(0, ny, _ROWS):
            rows = min(_ROWS, ny - first)
            for k in range(nz):
                for r in range(rows):
                    j = first + r
                    low = gh * tz[i, j, k]
                    up = gh * tz[i, j, k + 1] if k < nz - 1 else 0.0
                    d = mass[i, j, k] + low + up
                    value = mass[i, j, k] * v[i, j, k]
                    if k > 0:
                        d -= low * share[k - 1, r]
                        value += low * w[k - 1, r]
                    share[k, r] = up / d
                    w[k, r] = value / d
            for k in range(nz - 2, -1, -1):
                for r in range(rows):
                    w[k, r] += share[k, r] * w[k + 1, r]
            for r in range(rows):
                for k in range(nz):
                    v[i, first + r, k] = w[k, r]
