"""Sum flows over the edges of a graph in compiled loops."""

from __future__ import annotations

from numba import njit

__all__ = ["divergence", "linear_flows", "return_deficits"]


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
