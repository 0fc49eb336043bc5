"""Take divided differences of the exponential: what a linear system does with exponential input, and how that changes with it.

``exp[x0, x1]`` is the mean slope of exp between two points, ``exp[x0, x1, x2]`` half its mean curvature between three, and so on;
points may coincide. They are sums of positive terms in disguise, and computed so that nothing cancels.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["divided_exp"]

_NEAR = 1.0
_TERMS = 18


def divided_exp(nodes: np.ndarray) -> np.ndarray:
    """Return ``exp[x_0, ..., x_m]`` (...) from nodes (..., m + 1), real, in any order.

    Nodes that lie within 1 of each other: the Taylor series around their mean, in complete homogeneous polynomials. Else the
    recurrence ``(exp[x_1 ...] - exp[x_0 ...]) / (x_m - x_0)`` over sorted nodes, whose two terms then differ (McCurdy 1984
    doi:10.1090/S0025-5718-1984-0758198-0 uses the same two regimes).
    """
    x = np.sort(nodes, axis=-1)
    count = x.shape[-1]
    if count == 1:
        return np.exp(x[..., 0])
    width = x[..., -1] - x[..., 0]
    safe = np.where(width > 0, width, 1.0)
    if count == 2:
        return np.exp(x[..., 1]) * np.where(width > 0, -np.expm1(-width) / safe, 1.0)
    far = (divided_exp(x[..., 1:]) - divided_exp(x[..., :-1])) / safe
    return np.where(width > _NEAR, far, _series(x))


def _series(x: np.ndarray) -> np.ndarray:
    """Return the divided difference of close nodes; of others something finite that nobody reads."""
    mean = x.mean(-1)
    y = np.clip(x - mean[..., None], -_NEAR, _NEAR)
    homogeneous = [np.ones_like(mean)]
    for _ in range(1, _TERMS):
        homogeneous.append(homogeneous[-1] * y[..., 0])
    for j in range(1, x.shape[-1]):
        for k in range(1, _TERMS):
            homogeneous[k] = homogeneous[k] + y[..., j] * homogeneous[k - 1]
    order = x.shape[-1] - 1
    return np.exp(mean) * sum(h / math.factorial(k + order) for k, h in enumerate(homogeneous))
