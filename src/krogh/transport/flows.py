"""Sum flows over the edges of a graph in compiled loops."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_reaction", "add_reaction_slope", "divergence", "linear_flows", "move", "return_deficits", "stage_residual"]


@njit(cache=True, nogil=True)
def linear_flows(u, blood, tail, head, g_tail, g_head, out) -> None:  # type: ignore[no-untyped-def]
    """Write ``out = g_tail u[tail] - g_head u[head]`` for every edge; index N reads the blood."""
    rows, n = u.shape
    for r in range(rows):
        for e in range(tail.size):
            a = u[r, tail[e]] if tail[e] < n else blood[r]
            b = u[r, head[e]] if head[e] < n else blood[r]
            out[r, e] = g_tail[r, e] * a - g_head[r, e] * b


@njit(cache=True, nogil=True)
def divergence(flow, tail, head, out) -> None:  # type: ignore[no-untyped-def]
    """Add each flow to its head and take it from its tail; what enters or leaves the blood is not a node's."""
    rows, n = out.shape
    for r in range(rows):
        for i in range(n):
            out[r, i] = 0.0
        for e in range(tail.size):
            if tail[e] < n:
                out[r, tail[e]] -= flow[r, e]
            if head[e] < n:
                out[r, head[e]] += flow[r, e]


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
