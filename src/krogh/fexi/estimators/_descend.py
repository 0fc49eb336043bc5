"""Compiled Newton descent within the box of one voxel.

Steps come from the exact Hessian where it is positive definite and from the Gauss-Newton matrix where it is not; parameters on a
bound that the gradient pushes outwards stay there.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT, evaluate

__all__ = ["descend", "solve_box", "workspace"]

_MAX_STEPS = 80


@njit(**JIT)
def solve_box(h, damping, grad, theta, low, high, free, step, fixed, a, r):  # type: ignore[no-untyped-def]
    """Fill the step of the damped quadratic model within the box; False where it has no minimum (fixed, a, r: scratch)."""
    n = 3
    for i in range(n):
        fixed[i] = not free[i]
        step[i] = 0.0
    for _ in range(n + 1):
        for i in range(n):
            r[i] = -grad[i]
            for j in range(n):
                a[i, j] = h[i, j]
                if fixed[j] and not fixed[i]:
                    r[i] -= h[i, j] * step[j]
            a[i, i] += damping * max(h[i, i], 1e-300)
        for i in range(n):
            if fixed[i]:
                r[i] = step[i]
                for j in range(n):
                    a[i, j] = 0.0
                    a[j, i] = 0.0
                a[i, i] = 1.0
        for i in range(n):  # Cholesky in the lower triangle
            for j in range(i + 1):
                v = a[i, j]
                for k in range(j):
                    v -= a[i, k] * a[j, k]
                if i == j:
                    if not v > 1e-14 * abs(a[i, i]):
                        return False
                    a[i, i] = math.sqrt(v)
                else:
                    a[i, j] = v / a[j, j]
        for i in range(n):
            for k in range(i):
                r[i] -= a[i, k] * r[k]
            r[i] /= a[i, i]
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                r[i] -= a[k, i] * r[k]
            r[i] /= a[i, i]
        inside = True
        for i in range(n):
            if not fixed[i]:
                step[i] = r[i]
                if theta[i] + r[i] < low[i]:
                    step[i], fixed[i], inside = low[i] - theta[i], True, False
                elif theta[i] + r[i] > high[i]:
                    step[i], fixed[i], inside = high[i] - theta[i], True, False
        if inside:
            return True
    return True


@njit(**JIT)
def workspace(n_groups, n_series):  # type: ignore[no-untyped-def]
    """Return the scratch arrays of `descend`, made once for many voxels."""
    return (
        np.empty(n_groups), np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(n_series), np.empty((3, 3)),
        np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty(3, np.bool_), np.empty(3, np.bool_),
    )  # fmt: skip


@njit(**JIT)
def descend(u, b, sw, ptr, t, filtered, s0, low, high, held, theta, s0_out, gauss, room):  # type: ignore[no-untyped-def]
    """Move theta to a local minimum within the box, parameter `held` (or -1) kept; return cost and whether it converged."""
    n = 3
    e, grad, trial_grad, trial, step, trial_s0, newton, trial_newton, trial_gauss, a, r, free, fixed = room
    scale = 0.0
    for g in range(b.size):
        scale += u[g] * u[g]
    cost = evaluate(u, b, sw, ptr, t, filtered, s0, theta, e, s0_out, grad, newton, gauss)
    damping = 0.0
    for _ in range(_MAX_STEPS):
        moving = False
        for i in range(n):
            free[i] = i != held and not (theta[i] <= low[i] and grad[i] >= 0.0) and not (theta[i] >= high[i] and grad[i] <= 0.0)
            moving = moving or free[i]
        if not moving:
            return cost, True
        exact = solve_box(newton, damping, grad, theta, low, high, free, step, fixed, a, r)
        if not exact:
            damping = max(damping, 1e-6)
            while not solve_box(gauss, damping, grad, theta, low, high, free, step, fixed, a, r):
                damping *= 10.0
                if damping > 1e12:
                    return cost, False
        h = newton if exact else gauss
        gain = 0.0
        for i in range(n):
            trial[i] = min(max(theta[i] + step[i], low[i]), high[i])
            gain -= grad[i] * step[i]
            for j in range(n):
                gain -= 0.5 * step[i] * h[i, j] * step[j]
        if gain <= 1e-10 * cost + 1e-31 * scale:
            cut = False
            for i in range(n):
                cut = cut or (free[i] and fixed[i])
            if not cut or damping > 1e8:
                return cost, True
            damping = max(damping * 10.0, 1e-3)  # the box cut the step so that it no longer leads down: turn to the gradient
            continue
        trial_cost = evaluate(u, b, sw, ptr, t, filtered, s0, trial, e, trial_s0, trial_grad, trial_newton, trial_gauss)
        if trial_cost < cost:
            cost = trial_cost
            for i in range(n):
                theta[i], grad[i] = trial[i], trial_grad[i]
                for j in range(n):
                    newton[i, j], gauss[i, j] = trial_newton[i, j], trial_gauss[i, j]
            for s in range(t.size):
                s0_out[s] = trial_s0[s]
            damping = 0.0 if damping < 1e-5 else damping * 0.1
        else:
            if gain <= 1e-15 * math.sqrt(cost * scale) + 1e-30 * scale:  # below what round-off lets the cost show
                return cost, True
            damping = max(damping * 10.0, 1e-4)
            if damping > 1e12:
                return cost, gain <= 1e-7 * cost
    return cost, False
