"""Eliminate along a tree of nodes, for many modes at once: compiled loops whose inner one runs over the modes.

Node i holds a species x species matrix ``D_i`` per mode; the edge to its parent p couples them by matrices that all modes
share: row i has ``-down_i x_p``, row p has ``-up_i x_i``. Nodes are eliminated in a given order, every one before its parent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["factor_tree", "solve_tree"]


@njit(cache=True, nogil=True)
def _invert(block, out) -> None:  # type: ignore[no-untyped-def]
    """Write the inverse of ``block`` (S, S, m) for every mode, by elimination without pivoting; a zero pivot counts as 1."""
    s, _, modes = block.shape
    for a in range(s):
        for c in range(s):
            for m in range(modes):
                out[a, c, m] = 1.0 if a == c else 0.0
    for k in range(s):
        for m in range(modes):
            pivot = block[k, k, m]
            block[k, k, m] = 1.0 / pivot if pivot != 0.0 else 1.0
        for c in range(s):
            for m in range(modes):
                out[k, c, m] *= block[k, k, m]
                if c > k:
                    block[k, c, m] *= block[k, k, m]
        for a in range(s):
            if a == k:
                continue
            for c in range(s):
                for m in range(modes):
                    out[a, c, m] -= block[a, k, m] * out[k, c, m]
                    if c > k:
                        block[a, c, m] -= block[a, k, m] * block[k, c, m]


@njit(cache=True, nogil=True)
def factor_tree(blocks, down, up, order, parent, inverse, gain) -> None:  # type: ignore[no-untyped-def]
    """Write ``inverse_i = D_i^-1`` and ``gain_i = D_i^-1 down_i``; ``blocks`` (node, S, S, m) is overwritten.

    The last of `order` is the root, which has no parent.
    """
    s, modes = blocks.shape[1], blocks.shape[3]
    for t in range(order.size):
        i = order[t]
        _invert(blocks[i], inverse[i])
        p = parent[i]
        if p < 0:
            continue
        for a in range(s):
            for c in range(s):
                for m in range(modes):
                    gain[i, a, c, m] = 0.0
                for k in range(s):
                    w = down[i, k, c]
                    for m in range(modes):
                        gain[i, a, c, m] += inverse[i, a, k, m] * w
        for a in range(s):
            for c in range(s):
                for k in range(s):
                    w = up[i, a, k]
                    for m in range(modes):
                        blocks[p, a, c, m] -= w * gain[i, k, c, m]


@njit(cache=True, nogil=True)
def solve_tree(x, inverse, gain, up, order, parent) -> None:  # type: ignore[no-untyped-def]
    """Solve in place for ``x`` (S, node, m)."""
    s, _, modes = x.shape
    here = np.empty((s, modes))
    for t in range(order.size):
        i = order[t]
        for a in range(s):
            for m in range(modes):
                here[a, m] = inverse[i, a, 0, m] * x[0, i, m]
            for k in range(1, s):
                for m in range(modes):
                    here[a, m] += inverse[i, a, k, m] * x[k, i, m]
        p = parent[i]
        for a in range(s):
            for m in range(modes):
                x[a, i, m] = here[a, m]
            if p >= 0:
                for k in range(s):
                    w = up[i, a, k]
                    for m in range(modes):
                        x[a, p, m] += w * here[k, m]
    for t in range(order.size - 2, -1, -1):
        i = order[t]
        p = parent[i]
        for a in range(s):
            for k in range(s):
                for m in range(modes):
                    x[a, i, m] += gain[i, a, k, m] * x[k, p, m]
