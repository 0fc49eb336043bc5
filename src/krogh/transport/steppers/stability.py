"""Bound the step of forward Euler on a graph."""

from __future__ import annotations

import math

import numpy as np

from krogh.transport.operator import Operator

__all__ = ["stability_limit_s"]


def stability_limit_s(operator: Operator) -> float:
    """Return the largest stable step of forward Euler, min C_i / sum of slopes out of i [s].

    By Gershgorin's theorem every eigenvalue lies within twice the largest (slopes out of a node / its capacity).
    Membrane faces have no capacity; the flow between two cells across them is bounded by the half-cell conductance
    alone, so the limit holds for any flux law.
    """
    graph = operator.graph
    rows, n = graph.shape[0] * graph.shape[1], graph.shape[2]
    out = (graph.loss + graph.outflow).reshape(rows, n)
    slopes = ((graph.tail, graph.conductance * graph.tail_factor), (graph.head, graph.conductance * graph.head_factor))
    for row in range(rows):
        for ends, slope in slopes:
            inside = ends < n
            out[row] += np.bincount(ends[inside], weights=slope.reshape(rows, -1)[row, inside], minlength=n)
        for reaction in graph.reactions:
            rate = np.broadcast_to(reaction.law.rate_per_s, (*graph.shape[:2], reaction.nodes.size)).reshape(rows, -1)
            out[row, reaction.nodes] += rate[row] * reaction.volume
    out = out.reshape(graph.shape)
    cells = graph.capacity > 0
    return float(np.min(np.where(cells & (out > 0), graph.capacity / np.where(out > 0, out, 1.0), math.inf)))
