"""Pass over the cells of an uneven block: compiled loops for its flows, its linear operator and its lines along x.

Arrays are (nx, ny, nz) with z fastest. ``tx[i]``, ``ty[:, j]`` and ``tz[..., k]`` couple a cell to the one before; the first of
each is 0. A line along x has the rows ``pivot u_i - lower_i u_(i-1) - upper_i u_(i+1)``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["factor_lines", "uneven_bulk", "uneven_product"]


@njit(cache=True, nogil=True)
def _flow_row(u, i, j, tx, ty, tz, acc) -> None:  # type: ignore[no-untyped-def]
    """Write what flows into the cells of row (i, j)."""
    nx, ny, nz = u.shape
    row, above, below = u[i, j], u[max(i - 1, 0), j], u[min(i + 1, nx - 1), j]
    left, right = u[i, max(j - 1, 0)], u[i, min(j + 1, ny - 1)]
    t_above, t_below = tx[i, j], tx[min(i + 1, nx - 1), j]
    t_left, t_right, t_row = ty[i, j], ty[i, min(j + 1, ny - 1)], tz[i, j]
    for k in range(nz):
        c = row[k]
        flow = t_above[k] * (above[k] - c) + t_left[k] * (left[k] - c)
        flow += t_below[k] * (below[k] - c)
        acc[k] = flow + t_right[k] * (right[k] - c)
    for k in range(1, nz):
        acc[k] += t_row[k] * (row[k - 1] - row[k])
    for k in range(nz - 1):
        acc[k] += t_row[k + 1] * (row[k + 1] - row[k])


@njit(cache=True, nogil=True)
def uneven_bulk(u, r, held, gh, mass, tx, ty, tz, taken, given, area, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``out = gh F(u)``, or with `held` ``r - C u + gh F(u)``.

    ``mass`` and ``taken`` (loss and exchange with blood) are per area, ``given`` (nx, ny, nz) is what blood brings per area.
    """
    nx, ny, nz = u.shape
    acc = np.empty(nz)
    for i in range(nx):
        for j in range(ny):
            _flow_row(u, i, j, tx, ty, tz, acc)
            row, a, target = u[i, j], area[j], out[i, j]
            for k in range(nz):
                acc[k] += a[k] * (given[i, j, k] - taken[i, j, k] * row[k])
            if held:
                for k in range(nz):
                    target[k] = r[i, j, k] - mass[i, j, k] * a[k] * row[k] + gh * acc[k]
            else:
                for k in range(nz):
                    target[k] = gh * acc[k]


@njit(cache=True, nogil=True, fastmath=True)
def uneven_product(u, pivot, gh, tx, ty, tz, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``pivot u - gh (flows)``: the linear part of a stage without membranes."""
    nx, ny, nz = u.shape
    acc = np.empty(nz)
    for i in range(nx):
        for j in range(ny):
            _flow_row(u, i, j, tx, ty, tz, acc)
            target = out[i, j]
            for k in range(nz):
                target[k] = pivot[i, j, k] * u[i, j, k] - gh * acc[k]


@njit(cache=True, nogil=True, fastmath=True)
def factor_lines(pivot, lower, upper, ty, tz, gh, inverse) -> None:  # type: ignore[no-untyped-def]
    """Write the inverse pivots of every line, coupling to its neighbours in y and z included."""
    nx, ny, nz = pivot.shape
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                side = ty[i, j, k] + tz[i, j, k]
                if j < ny - 1:
                    side += ty[i, j + 1, k]
                if k < nz - 1:
                    side += tz[i, j, k + 1]
                d = pivot[i, j, k] + gh * side
                if i > 0:
                    d -= lower[i, j, k] * upper[i - 1, j, k] * inverse[i - 1, j, k]
                inverse[i, j, k] = 1.0 / d
