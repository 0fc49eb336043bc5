"""Smooth lines along x in two colours of (y, z), each colour in memory of its own: compiled loops of the multigrid.

Arrays (2, ny, nx, w) hold a colour c of (j + k) each: cell m of row j is k = 2 m + (j + c) % 2; where nz is odd, short rows end
with a zero. All lines of a row j lie together, since they are solved together. All neighbours of a line have the other colour,
those in the next rows at the same m. So a sweep reads nothing that it does not use, and what a sweep of one colour leaves on the
other are its couplings alone: no residual has to be formed.
"""

from __future__ import annotations

from numba import njit

__all__ = ["correct", "join", "restrict", "split", "sweep"]


@njit(cache=True, nogil=True)
def split(plain, out) -> None:  # type: ignore[no-untyped-def]
    """Write the colours of ``plain`` (nx, ny, nz)."""
    nx, ny, nz = plain.shape
    for j in range(ny):
        even, odd = out[j % 2, j], out[1 - j % 2, j]
        for i in range(nx):
            for m in range(nz // 2):
                even[i, m] = plain[i, j, 2 * m]
                odd[i, m] = plain[i, j, 2 * m + 1]
            if nz % 2:
                even[i, nz // 2] = plain[i, j, nz - 1]
                odd[i, nz // 2] = 0.0


@njit(cache=True, nogil=True)
def join(colours, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``out`` (nx, ny, nz) from its colours."""
    nx, ny, nz = out.shape
    for j in range(ny):
        even, odd = colours[j % 2, j], colours[1 - j % 2, j]
        for i in range(nx):
            for m in range(nz // 2):
                out[i, j, 2 * m] = even[i, m]
                out[i, j, 2 * m + 1] = odd[i, m]
            if nz % 2:
                out[i, j, nz - 1] = even[i, nz // 2]


@njit(cache=True, nogil=True, fastmath=True)
def _add_neighbours(u, j, colour, ty, tz, gh, out) -> None:  # type: ignore[no-untyped-def]
    """Add what the neighbours of the cells of a colour in row j give to ``out`` (nx, w)."""
    ny, nx, w = u.shape[1:]
    other, ahead = 1 - colour, min(j + 1, ny - 1)
    # whole rows of lines at a time: a view for every cell of a line would cost more than the sums
    near, left, right = u[other, j], u[other, max(j - 1, 0)], u[other, ahead]
    mine, its, a, b = tz[colour, j], tz[other, j], ty[colour, j], ty[other, ahead]
    if (j + colour) % 2 == 0:
        for i in range(nx):
            for m in range(w):
                out[i, m] += gh * (a[i, m] * left[i, m] + its[i, m] * near[i, m])
            for m in range(1, w):
                out[i, m] += gh * mine[i, m] * near[i, m - 1]
    else:
        for i in range(nx):
            for m in range(w):
                out[i, m] += gh * (a[i, m] * left[i, m] + mine[i, m] * near[i, m])
            for m in range(w - 1):
                out[i, m] += gh * its[i, m + 1] * near[i, m + 1]
    if j < ny - 1:
        for i in range(nx):
            for m in range(w):
                out[i, m] += gh * b[i, m] * right[i, m]


@njit(cache=True, nogil=True, fastmath=True)
def sweep(u, f, inverse, down, back, ty, tz, gh, colour, alone, y) -> None:  # type: ignore[no-untyped-def]
    """Solve the lines of one colour; with `alone`, as if the other held nothing.

    ``inverse`` are the inverse pivots of the lines, ``down`` and ``back`` those times the couplings to the cells before and
    behind; ``y`` (nx, w) is room to work in.
    """
    ny, nx, w = u.shape[1:]
    for j in range(ny):
        x, d, low, up = u[colour, j], inverse[colour, j], down[colour, j], back[colour, j]
        y[:] = f[colour, j]
        if not alone:
            _add_neighbours(u, j, colour, ty, tz, gh, y)
        for m in range(w):
            y[0, m] *= d[0, m]
        for i in range(1, nx):
            for m in range(w):
                y[i, m] = d[i, m] * y[i, m] + low[i, m] * y[i - 1, m]
        for m in range(w):
            x[nx - 1, m] = y[nx - 1, m]
        for i in range(nx - 2, -1, -1):
            for m in range(w):
                x[i, m] = y[i, m] + up[i, m] * x[i + 1, m]


@njit(cache=True, nogil=True, fastmath=True)
def restrict(u, ty, tz, gh, by_y, by_z, nz, y, out) -> None:  # type: ignore[no-untyped-def]
    """Write what is left after a sweep of colour 0 alone and one of colour 1, summed over groups of ``by_y x by_z`` lines."""
    ny, nx, _ = u.shape[1:]
    out[:] = 0.0
    for j in range(ny):
        y[:] = 0.0
        _add_neighbours(u, j, 0, ty, tz, gh, y)
        first = j % 2
        for i in range(nx):
            for m in range((nz - first + 1) // 2):
                out[i, j // by_y, (2 * m + first) // by_z] += y[i, m]


@njit(cache=True, nogil=True)
def correct(u, coarse, by_y, by_z, nz) -> None:  # type: ignore[no-untyped-def]
    """Add to every line of colour 0 what its group found; the other colour is solved anew from it."""
    ny, nx, _ = u.shape[1:]
    for j in range(ny):
        lines, first = u[0, j], j % 2
        for i in range(nx):
            for m in range((nz - first + 1) // 2):
                lines[i, m] += coarse[i, j // by_y, (2 * m + first) // by_z]
