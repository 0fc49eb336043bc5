"""Solve one implicit Newton step on a chain of nodes with leaves: tridiagonal elimination in compiled loops.

The chain runs from blood to the far side of the tissue; every cell compartment (neuron, astrocyte) is a leaf on its
tissue node and is eliminated first. Rows are independent problems (drugs), or the species of one problem where nothing
couples them; coupled species use the block kernel, in which every number of the elimination is a small species x species matrix.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from krogh.transport.flows import add_flows, add_reaction, add_reaction_slope, linear_rate, move, stage_residual

__all__ = ["chain_newton_pass", "chain_newton_step", "coupled_chain_newton_step"]


@njit(cache=True, nogil=True)
def chain_newton_step(capacity, gh, slope_tail, slope_head, tail, head, n_chain, node_slope, residual, step) -> None:  # type: ignore[no-untyped-def]
    """Solve (C + gh L) step = -residual, row by row.

    ``slope_tail``, ``slope_head`` (row, edge): derivatives of each edge's flow by its tail and (minus) its head;
    ``node_slope`` (row, node): derivative of the losses. Edges: n_chain - 1 along the chain, one to each leaf, then those from
    the blood (tail = N).
    """
    rows, n = residual.shape
    n_leaf = n - n_chain
    diagonal = np.empty(n)  # after its elimination the inverse: divisions are what takes the time
    for r in range(rows):
        for i in range(n):
            diagonal[i] = capacity[r, i] + gh * node_slope[r, i]
            step[r, i] = -residual[r, i]
        for e in range(tail.size):
            if tail[e] < n:
                diagonal[tail[e]] += gh * slope_tail[r, e]
            if head[e] < n:
                diagonal[head[e]] += gh * slope_head[r, e]
        for j in range(n_leaf):  # leaf row: diagonal x_leaf - gh slope_tail x_parent
            e = n_chain - 1 + j
            leaf, parent = n_chain + j, tail[e]
            diagonal[leaf] = 1.0 / diagonal[leaf] if diagonal[leaf] != 0.0 else 1.0
            factor = gh * slope_head[r, e] * diagonal[leaf]
            diagonal[parent] -= factor * gh * slope_tail[r, e]
            step[r, parent] += factor * step[r, leaf]
        for i in range(n_chain - 1, 0, -1):  # from the tissue towards the blood
            diagonal[i] = 1.0 / diagonal[i] if diagonal[i] != 0.0 else 1.0
            factor = gh * slope_head[r, i - 1] * diagonal[i]
            diagonal[i - 1] -= factor * gh * slope_tail[r, i - 1]
            step[r, i - 1] += factor * step[r, i]
        if diagonal[0] != 0.0:
            step[r, 0] /= diagonal[0]
        for i in range(1, n_chain):
            step[r, i] = (step[r, i] + gh * slope_tail[r, i - 1] * step[r, i - 1]) * diagonal[i]
        for j in range(n_leaf):
            e = n_chain - 1 + j
            leaf, parent = n_chain + j, tail[e]
            step[r, leaf] = (step[r, leaf] + gh * slope_tail[r, e] * step[r, parent]) * diagonal[leaf]


@njit(cache=True, nogil=True)
def chain_newton_pass(  # type: ignore[no-untyped-def]
    u, blood, capacity, gh, known, tail, head, g_tail, g_head, upstream, blend, sink, node_slope, curved, net, d_tail, d_head,
    reacting, first_order, inverse, bending, bent_order, bent_inverse, n_chain, floor,
) -> float:  # fmt: skip
    """Take one Newton step of C u - gh F(u) = known in place; return its size as ``move`` does.

    The parts are those of ``Operator.rate`` and ``Operator.slopes`` for one species: ``curved`` edges carry ``net`` beside the
    linear flows, with derivatives ``d_tail`` and minus ``d_head`` (row, curved edge); of the reactions, those that saturate are
    named again after all.
    """
    rate, residual, step = np.empty_like(u), np.empty_like(u), np.empty_like(u)
    linear_rate(u, blood, tail, head, g_tail, g_head, upstream, blend, sink, rate)
    add_flows(net, curved, tail, head, rate)
    add_reaction(u, reacting, first_order, inverse, -1.0, rate)
    stage_residual(capacity, u, gh, rate, known, residual)
    slope_tail, slope_head, slope_node = g_tail, g_head, node_slope
    if curved.size > 0:
        slope_tail, slope_head = g_tail.copy(), g_head.copy()
        for r in range(u.shape[0]):
            for k in range(curved.size):
                slope_tail[r, curved[k]] += d_tail[r, k]
                slope_head[r, curved[k]] += d_head[r, k]
    if bending.size > 0:
        slope_node = node_slope.copy()
        add_reaction_slope(u, bending, bent_order, bent_inverse, slope_node)
    chain_newton_step(capacity, gh, slope_tail, slope_head, tail, head, n_chain, slope_node, residual, step)
    return move(u, step, floor)


@njit(cache=True, nogil=True)
def _solve_small(matrix, rhs) -> None:  # type: ignore[no-untyped-def]
    """Solve matrix x = rhs in place (both overwritten) by elimination with partial pivoting; rhs has columns."""
    n, columns = rhs.shape
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            for j in range(columns):
                rhs[k, j], rhs[pivot, j] = rhs[pivot, j], rhs[k, j]
        if matrix[k, k] == 0.0:
            matrix[k, k] = 1.0
        for i in range(k + 1, n):
            f = matrix[i, k] / matrix[k, k]
            for j in range(k, n):
                matrix[i, j] -= f * matrix[k, j]
            for j in range(columns):
                rhs[i, j] -= f * rhs[k, j]
    for j in range(columns):
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                rhs[i, j] -= matrix[i, k] * rhs[k, j]
            rhs[i, j] /= matrix[i, i]


@njit(cache=True, nogil=True)
def coupled_chain_newton_step(capacity, gh, slope_tail, slope_head, tail, head, n_chain, node_slope, residual, step) -> None:  # type: ignore[no-untyped-def]
    """Solve the same for species that act on each other.

    Shapes: capacity, residual, step (batch, species, node); slopes (batch, edge, species, species); node_slope (batch, node,
    species, species).
    """
    batch, s, n = residual.shape
    n_leaf = n - n_chain
    diagonal = np.empty((n, s, s))
    rhs = np.empty((n, s, s + 1))  # scratch: [coupling block | right-hand side]
    x = np.empty((n, s))
    for b in range(batch):
        for i in range(n):
            for a in range(s):
                x[i, a] = -residual[b, a, i]
                for c in range(s):
                    diagonal[i, a, c] = gh * node_slope[b, i, a, c]
                diagonal[i, a, a] += capacity[b, a, i]
        for e in range(tail.size):
            for a in range(s):
                for c in range(s):
                    if tail[e] < n:
                        diagonal[tail[e], a, c] += gh * slope_tail[b, e, a, c]
                    if head[e] < n:
                        diagonal[head[e], a, c] += gh * slope_head[b, e, a, c]
        for pair in range(n - 1):  # leaves first, then the chain from the tissue towards the blood
            e = n_chain - 1 + pair if pair < n_leaf else n_chain - 2 - (pair - n_leaf)
            i = n_chain + pair if pair < n_leaf else e + 1
            parent = tail[e]
            for a in range(s):
                for c in range(s):
                    rhs[i, a, c] = gh * slope_tail[b, e, a, c]
                rhs[i, a, s] = x[i, a]
            _solve_small(diagonal[i], rhs[i])
            for a in range(s):
                for k in range(s):
                    up = gh * slope_head[b, e, a, k]
                    for c in range(s):
                        diagonal[parent, a, c] -= up * rhs[i, k, c]
                    x[parent, a] += up * rhs[i, k, s]
        for a in range(s):
            for c in range(s):
                rhs[0, a, c] = 0.0
            rhs[0, a, s] = x[0, a]
        _solve_small(diagonal[0], rhs[0])
        for a in range(s):
            x[0, a] = rhs[0, a, s]
        for pair in range(n - 2, -1, -1):
            e = n_chain - 1 + pair if pair < n_leaf else n_chain - 2 - (pair - n_leaf)
            i = n_chain + pair if pair < n_leaf else e + 1
            parent = tail[e]
            for a in range(s):
                total = rhs[i, a, s]
                for c in range(s):
                    total += rhs[i, a, c] * x[parent, c]
                x[i, a] = total
        for i in range(n):
            for a in range(s):
                step[b, a, i] = x[i, a]
