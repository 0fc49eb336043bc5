"""Pass once over the cells of a block: compiled loops for the residual, the elimination along x, and sums over planes."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "add_leaf",
    "add_leaf_cells",
    "add_uptake",
    "bulk",
    "eliminate",
    "factor",
    "held_and_residual",
    "plane_sums",
    "pull_bulk",
    "substitute",
    "uptake_slope",
    "window_solve",
]


@njit(cache=True, nogil=True, fastmath=False)
def bulk(u, r, held, gh, mass, link, lateral, loss, inflow, blood, dy, dz, ty, tz, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``out = gh F(u)``, or with `held` ``r - C u + gh F(u)``: diffusion, losses and perfusion of one species."""
    nx, ny, nz = u.shape
    acc = np.empty(nz)
    side = np.empty(nz)
    for i in range(nx):
        back = link[i - 1] if i > 0 else 0.0
        ahead = link[i] if i < nx - 1 else 0.0
        given = inflow[i] * blood
        taken = loss[i] + inflow[i]
        d = lateral[i]
        for j in range(ny):
            row = u[i, j]
            above, below = u[max(i - 1, 0), j], u[min(i + 1, nx - 1), j]
            left, right = u[i, max(j - 1, 0)], u[i, min(j + 1, ny - 1)]
            h = dy[j]
            cl, cr = d * ty[j], d * ty[j + 1]
            for k in range(nz):
                c = row[k]
                x = given - taken * c + back * (above[k] - c) + ahead * (below[k] - c)
                y = cl * (left[k] - c) + cr * (right[k] - c)
                acc[k] = (h * x + y) * dz[k]
            for k in range(nz - 1):
                side[k] = d * h * tz[k + 1] * (row[k + 1] - row[k])
            for k in range(nz - 1):
                acc[k] += side[k]
            for k in range(1, nz):
                acc[k] -= side[k - 1]
            target = out[i, j]
            if held:
                known = r[i, j]
                m = mass[i] * h
                for k in range(nz):
                    target[k] = known[k] - m * dz[k] * row[k] + gh * acc[k]
            else:
                for k in range(nz):
                    target[k] = gh * acc[k]


@njit(cache=True, nogil=True)
def add_leaf(u, leaf, r, held, gh, mass, exchange, trapping, area, out_cell, out_leaf) -> None:  # type: ignore[no-untyped-def]
    """Add the exchange of tissue and cells to ``out_cell``; write ``r - C u + gh F`` (or ``gh F``) of the leaf. Arrays (n, F)."""
    n, faces = leaf.shape
    for i in range(n):
        g, m = exchange[i], mass[i]
        for f in range(faces):
            flow = g * area[f] * (u[i, f] - leaf[i, f] / trapping)
            out_cell[i, f] -= gh * flow
            if held:
                out_leaf[i, f] = r[i, f] - m * area[f] * leaf[i, f] + gh * flow
            else:
                out_leaf[i, f] = gh * flow


@njit(cache=True, nogil=True)
def add_leaf_cells(u, leaf, r, held, gh, mass, exchange, trapping, area, out_cell, out_leaf) -> None:  # type: ignore[no-untyped-def]
    """Do the same where ``mass`` and ``exchange`` (n, F) differ from cell to cell."""
    n, faces = leaf.shape
    for i in range(n):
        for f in range(faces):
            flow = exchange[i, f] * area[f] * (u[i, f] - leaf[i, f] / trapping)
            out_cell[i, f] -= gh * flow
            if held:
                out_leaf[i, f] = r[i, f] - mass[i, f] * area[f] * leaf[i, f] + gh * flow
            else:
                out_leaf[i, f] = gh * flow


@njit(cache=True, nogil=True)
def add_uptake(u, rate, inverse_km, area, factor, out) -> None:  # type: ignore[no-untyped-def]
    """Add ``factor`` times what a Michaelis-Menten reaction takes at each cell; arrays (n, F)."""
    n, faces = u.shape
    for i in range(n):
        k = factor * rate[i]
        for f in range(faces):
            v = u[i, f]
            out[i, f] += k * area[f] * v / (1.0 + max(v, 0.0) * inverse_km)


@njit(cache=True, nogil=True)
def uptake_slope(u, rate, inverse_km) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the mean over each plane of the derivative of the same, per area."""
    n, faces = u.shape
    out = np.empty(n)
    for i in range(n):
        total = 0.0
        for f in range(faces):
            s = 1.0 / (1.0 + max(u[i, f], 0.0) * inverse_km)
            total += s * s
        out[i] = rate[i] * total / faces
    return out


@njit(cache=True, nogil=True)
def plane_sums(u, weight) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the weighted sum over each plane of (n, F)."""
    n, faces = u.shape
    out = np.empty(n)
    for i in range(n):
        total = 0.0
        for f in range(faces):
            total += u[i, f] * weight[f]
        out[i] = total
    return out


@njit(cache=True, nogil=True)
def held_and_residual(u, residual, mass, area):  # type: ignore[no-untyped-def]
    """Return the sum of ``mass area |u|`` over (n, F), and the norm of the residual."""
    n, faces = u.shape
    held, square = 0.0, 0.0
    for i in range(n):
        here = 0.0
        for f in range(faces):
            here += abs(u[i, f]) * area[f]
            square += residual[i, f] * residual[i, f]
        held += here * mass[i]
    return held, np.sqrt(square)


@njit(cache=True, nogil=True)
def pull_bulk(u, w, dy, dz, ty, tz, between, link, lateral, both, sums) -> None:  # type: ignore[no-untyped-def]
    """Add up what links and lateral conductances get from weights `w` of the balances, and the area sums of ``w u`` and ``w``."""
    nx, ny, nz = u.shape
    for i in range(nx):
        along = across = product = total = 0.0
        for j in range(ny):
            for k in range(nz):
                a = dy[j] * dz[k]
                product += a * w[i, j, k] * u[i, j, k]
                total += a * w[i, j, k]
                if not between:
                    continue
                if i < nx - 1:
                    along += a * (w[i + 1, j, k] - w[i, j, k]) * (u[i, j, k] - u[i + 1, j, k])
                if j < ny - 1:
                    across += dz[k] * ty[j + 1] * (w[i, j + 1, k] - w[i, j, k]) * (u[i, j, k] - u[i, j + 1, k])
                if k < nz - 1:
                    across += dy[j] * tz[k + 1] * (w[i, j, k + 1] - w[i, j, k]) * (u[i, j, k] - u[i, j, k + 1])
        link[i], lateral[i], both[i], sums[i] = along, across, product, total


@njit(cache=True, nogil=True, fastmath=True)
def factor(diagonal, spread, modes, lower, upper, w0, w1, inverse) -> None:  # type: ignore[no-untyped-def]
    """Write the inverse pivots of ``diagonal_i + spread_i modes_f`` with off-diagonals -lower, -upper.

    Rows below `w0` are eliminated downwards, those above `w1` upwards; the window w0..w1 between them downwards.
    """
    nx, faces = inverse.shape
    for i in range(nx - 1, w1, -1):
        q = upper[i] * lower[i + 1] if i < nx - 1 else 0.0
        for f in range(faces):
            d = diagonal[i] + spread[i] * modes[f]
            if i < nx - 1:
                d -= q * inverse[i + 1, f]
            inverse[i, f] = 1.0 / d
    for i in range(w1 + 1):
        q = lower[i] * upper[i - 1] if i > 0 else 0.0
        p = upper[i] * lower[i + 1] if i == w1 and i < nx - 1 else 0.0
        for f in range(faces):
            d = diagonal[i] + spread[i] * modes[f]
            if i > 0:
                d -= q * inverse[i - 1, f]
            if p != 0.0:
                d -= p * inverse[i + 1, f]
            inverse[i, f] = 1.0 / d


@njit(cache=True, nogil=True, fastmath=True)
def eliminate(y, inverse, lower, upper, w0, w1) -> None:  # type: ignore[no-untyped-def]
    """Carry the right-hand side ``y`` (nx, F) from both ends to the window, in place."""
    nx, faces = y.shape
    for i in range(1, w0 + 1):
        q = lower[i]
        for f in range(faces):
            y[i, f] += q * inverse[i - 1, f] * y[i - 1, f]
    for i in range(nx - 2, w1 - 1, -1):
        q = upper[i]
        for f in range(faces):
            y[i, f] += q * inverse[i + 1, f] * y[i + 1, f]


@njit(cache=True, nogil=True, fastmath=True)
def window_solve(y, inverse, lower, upper, w0) -> None:  # type: ignore[no-untyped-def]
    """Solve inside the window in place; ``y`` (window, F) starts at row `w0`."""
    n, faces = y.shape
    for k in range(1, n):
        q = lower[w0 + k]
        for f in range(faces):
            y[k, f] += q * inverse[w0 + k - 1, f] * y[k - 1, f]
    for f in range(faces):
        y[n - 1, f] *= inverse[w0 + n - 1, f]
    for k in range(n - 2, -1, -1):
        q = upper[w0 + k]
        for f in range(faces):
            y[k, f] = inverse[w0 + k, f] * (y[k, f] + q * y[k + 1, f])


@njit(cache=True, nogil=True, fastmath=True)
def substitute(y, inverse, lower, upper, w0, w1) -> None:  # type: ignore[no-untyped-def]
    """Go from the solved window outwards to both ends, in place."""
    nx, faces = y.shape
    for i in range(w0 - 1, -1, -1):
        q = upper[i]
        for f in range(faces):
            y[i, f] = inverse[i, f] * (y[i, f] + q * y[i + 1, f])
    for i in range(w1 + 1, nx):
        q = lower[i]
        for f in range(faces):
            y[i, f] = inverse[i, f] * (y[i, f] + q * y[i - 1, f])
