"""Sum flows over the edges of a graph in compiled loops."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "add_flows",
    "add_reaction",
    "add_reaction_slope",
    "euler_step",
    "linear_rate",
    "move",
    "return_deficits",
    "stage_residual",
]


@njit(cache=True, nogil=True)
def linear_rate(u, blood, tail, head, g_tail, g_head, upstream, blend, sink, out) -> None:  # type: ignore[no-untyped-def]
    """Write what the flows ``g_tail u[tail] - g_head u[head]`` bring to each node, less ``sink u``; index N reads the blood.

    Where ``blend`` (row, edge) is given, the tail is read as ``(1 - blend) u[tail] + blend u[upstream]``.
    """
    rows, n = u.shape
    for r in range(rows):
        for i in range(n):
            out[r, i] = -sink[r, i] * u[r, i]
        for e in range(tail.size):
            i, j = tail[e], head[e]
            a = u[r, i] if i < n else blood[r]
            b = u[r, j] if j < n else blood[r]
            if blend.shape[1] > 0 and blend[r, e] != 0.0:
                k = upstream[e]
                a += blend[r, e] * ((u[r, k] if k < n else blood[r]) - a)
            flow = g_tail[r, e] * a - g_head[r, e] * b
            if i < n:
                out[r, i] -= flow
            if j < n:
                out[r, j] += flow


@njit(cache=True, nogil=True)
def add_flows(flow, edges, tail, head, out) -> None:  # type: ignore[no-untyped-def]
    """Take the flow (row, len(edges)) through some edges from their tails and add it to their heads; the blood is no node."""
    rows, n = out.shape
    for r in range(rows):
        for k in range(edges.size):
            i, j = tail[edges[k]], head[edges[k]]
            if i < n:
                out[r, i] -= flow[r, k]
            if j < n:
                out[r, j] += flow[r, k]


@njit(cache=True, nogil=True)
def add_reaction(u, nodes, first_order, inverse_km, sign, out) -> None:  # type: ignore[no-untyped-def]
    """Add ``sign`` times what a Michaelis-Menten reaction takes, k u / (1 + max(u, 0) / Km), at each of its nodes."""
    for r in range(u.shape[0]):
        for j in range(nodes.size):
            k = first_order[r, j]
            if k != 0.0:
                v = u[r, nodes[j]]
                out[r, nodes[j]] += sign * k * v / (1.0 + max(v, 0.0) * inverse_km[r, j])


@njit(cache=True, nogil=True)
def add_reaction_slope(u, nodes, first_order, inverse_km, out) -> None:  # type: ignore[no-untyped-def]
    """Add the derivative of the same."""
    for r in range(u.shape[0]):
        for j in range(nodes.size):
            k = first_order[r, j]
            if k != 0.0:
                s = 1.0 / (1.0 + max(u[r, nodes[j]], 0.0) * inverse_km[r, j])
                out[r, nodes[j]] += k * s * s


@njit(cache=True, nogil=True)
def stage_residual(capacity, u, gh, rate, known, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``capacity u - gh rate - known``."""
    rows, n = u.shape
    for r in range(rows):
        for i in range(n):
            out[r, i] = capacity[r, i] * u[r, i] - gh * rate[r, i] - known[r, i]


@njit(cache=True, nogil=True)
def euler_step(u, rate, inverse, dt, auc, new) -> None:  # type: ignore[no-untyped-def]
    """Write ``u + dt inverse rate`` to `new` and add ``dt u`` to the area, in one pass; vectors."""
    for i in range(u.size):
        auc[i] += dt * u[i]
        new[i] = u[i] + dt * inverse[i] * rate[i]


@njit(cache=True, nogil=True)
def move(u, step, floor) -> float:  # type: ignore[no-untyped-def]
    """Add the step to u in place; return the largest step over the largest value of its row, or NaN where one is not finite."""
    rows, n = u.shape
    worst = 0.0
    for r in range(rows):
        top, far, total = floor[r], 0.0, 0.0
        for i in range(n):
            total += step[r, i]
            far = max(far, abs(step[r, i]))
            u[r, i] += step[r, i]
            top = max(top, abs(u[r, i]))
        if not np.isfinite(total):
            return np.nan
        worst = max(worst, far / top)
    return worst


@njit(cache=True, nogil=True)
def return_deficits(u, capacity, parent) -> float:  # type: ignore[no-untyped-def]
    """Let each negative cell take its deficit from the next cell towards the blood; return the largest concentration moved.

    This is an extra flow along inner edges, so the sum of capacity * u does not change. Nodes without capacity (faces)
    are passed over. Parents have smaller indices than their children; the first cell keeps what it cannot pass on.
    """
    rows, n = u.shape
    largest = 0.0
    for r in range(rows):
        for i in range(n - 1, 0, -1):
            if u[r, i] >= 0.0 or capacity[r, i] == 0.0:
                continue
            j = parent[i]
            while j > 0 and capacity[r, j] == 0.0:
                j = parent[j]
            if j < 0 or capacity[r, j] == 0.0:
                continue
            largest = max(largest, -u[r, i])
            u[r, j] += u[r, i] * capacity[r, i] / capacity[r, j]
            u[r, i] = 0.0
    return largest
