"""Compiled minimisation of the AXR cost of one voxel at a time.

With S0 of every series eliminated, the cost is a sum over series of functions of one number, the apparent diffusivity x of the
series::

    F(ADC, sigma, AXR) = sum_s f_s(x_s),   x_s = ADC (1 - sigma E_s),   E_s = exp(-AXR t_s) or 0 without filter
    f_s(x) = min over S0 of  sum_g (u_g - S0 e_g)^2,   e_g = sqrt(W_g) exp(-b_g x),  u_g = sqrt(W_g) y_g

so gradient and Hessian are those of f_s times those of x_s. A grid over AXR finds the valleys: there x is linear in (ADC, ADC
sigma), and f_s is replaced by its parabola. Newton steps inside the box then go to the bottom. Units here: ms/um2, um2/ms, s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

__all__ = ["GRID", "descend", "evaluate", "search", "solve_box", "workspace"]

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
#: Fractions of the AXR range at which the valleys are looked for (denser near zero).
GRID = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 19)])
_MAX_STEPS = 80


@njit(**_JIT)
def _pair(u0, u1, b0, delta, sw0, sw1, x):  # type: ignore[no-untyped-def]
    """Return the same as `_series` for two b-values: f = (u0 rho - u1)^2 / (1 + rho^2), rho = sw1/sw0 exp(-delta x)."""
    rho = sw1 / sw0 * math.exp(-delta * x)
    inverse = 1.0 / (1.0 + rho * rho)
    d, n = u0 * rho - u1, u0 + u1 * rho
    g = d * n * inverse * inverse
    first = -2.0 * delta * rho * g
    mixed = (u0 * n + d * u1) * rho * inverse * inverse
    second = 2.0 * delta * delta * rho * (mixed + g - 4.0 * rho * rho * g * inverse)
    curvature = 2.0 * (delta * rho * n) ** 2 * inverse * inverse * inverse
    s0 = n * inverse / sw0
    return d * d * inverse, first, second, curvature, s0 if b0 == 0.0 else s0 * math.exp(b0 * x)


@njit(**_JIT)
def _series(u, b, sw, first, last, x, s0, e):  # type: ignore[no-untyped-def]
    """Return f, f', f'', Gauss-Newton curvature and S0 of one series at x; s0 NaN: eliminated, else known."""
    p = q = pb = qb = pbb = qbb = 0.0
    for g in range(first, last):
        bg = b[g]
        eg = sw[g] if bg == 0.0 else sw[g] * math.exp(-bg * x)
        e[g] = eg
        ue, ee = u[g] * eg, eg * eg
        p += ue
        q += ee
        pb += bg * ue
        qb += bg * ee
        pbb += bg * bg * ue
        qbb += bg * bg * ee
    if math.isnan(s0):
        s = p / q
        ds = (2.0 * s * qb - pb) / q
        curvature = 2.0 * s * s * (qbb - qb * qb / q)
        second = 2.0 * (ds * pb - s * pbb) - 4.0 * s * ds * qb + 4.0 * s * s * qbb
    else:
        s = s0
        curvature = 2.0 * s * s * qbb
        second = 2.0 * s * (2.0 * s * qbb - pbb)
    f = 0.0
    for g in range(first, last):
        r = u[g] - s * e[g]
        f += r * r
    return f, 2.0 * s * (pb - s * qb), second, max(curvature, 0.0), s


@njit(**_JIT)
def evaluate(u, b, sw, ptr, t, filtered, s0, theta, e, s0_out, grad, newton, gauss):  # type: ignore[no-untyped-def]
    """Return F at theta (adc, sigma, axr); fill gradient [3], exact and Gauss-Newton Hessian [3, 3] and S0 [series]."""
    adc, sigma, axr = theta[0], theta[1], theta[2]
    cost = 0.0
    g0 = g1 = g2 = 0.0
    n00 = n01 = n02 = n11 = n12 = n22 = 0.0
    h00 = h01 = h02 = h11 = h12 = h22 = 0.0
    for s in range(t.size):
        rest = math.exp(-axr * t[s]) if filtered[s] else 0.0
        j0 = 1.0 - sigma * rest
        j1 = -adc * rest
        j2 = adc * sigma * t[s] * rest
        i = ptr[s]
        if ptr[s + 1] - i == 2 and math.isnan(s0[s]):
            f, d1, d2, h, level = _pair(u[i], u[i + 1], b[i], b[i + 1] - b[i], sw[i], sw[i + 1], adc * j0)
        else:
            f, d1, d2, h, level = _series(u, b, sw, i, ptr[s + 1], adc * j0, s0[s], e)
        s0_out[s] = level
        cost += f
        g0 += d1 * j0
        g1 += d1 * j1
        g2 += d1 * j2
        n00 += d2 * j0 * j0
        n01 += d2 * j0 * j1 - d1 * rest
        n02 += d2 * j0 * j2 + d1 * sigma * t[s] * rest
        n11 += d2 * j1 * j1
        n12 += d2 * j1 * j2 + d1 * adc * t[s] * rest
        n22 += d2 * j2 * j2 - d1 * j2 * t[s]
        h00 += h * j0 * j0
        h01 += h * j0 * j1
        h02 += h * j0 * j2
        h11 += h * j1 * j1
        h12 += h * j1 * j2
        h22 += h * j2 * j2
    grad[0], grad[1], grad[2] = g0, g1, g2
    newton[0, 0], newton[0, 1], newton[0, 2], newton[1, 1], newton[1, 2], newton[2, 2] = n00, n01, n02, n11, n12, n22
    gauss[0, 0], gauss[0, 1], gauss[0, 2], gauss[1, 1], gauss[1, 2], gauss[2, 2] = h00, h01, h02, h11, h12, h22
    for m in (newton, gauss):
        m[1, 0], m[2, 0], m[2, 1] = m[0, 1], m[0, 2], m[1, 2]
    return cost


@njit(**_JIT)
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


@njit(**_JIT)
def workspace(n_groups, n_series):  # type: ignore[no-untyped-def]
    """Return the scratch arrays of `descend`, made once for many voxels."""
    return (
        np.empty(n_groups), np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(n_series), np.empty((3, 3)),
        np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty(3, np.bool_), np.empty(3, np.bool_),
    )  # fmt: skip


@njit(**_JIT)
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
        if gain <= 1e-12 * cost + 1e-31 * scale:
            return cost, True
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


@njit(**_JIT)
def _parabolas(u, b, sw, ptr, s0, x_low, x_high, target, weight, e):  # type: ignore[no-untyped-def]
    """Fill for each series the minimum and curvature of the parabola that touches f_s nearest to its own minimum."""
    for s in range(target.size):
        n0 = n1 = n2 = m0 = m1 = 0.0
        known = not math.isnan(s0[s])
        i = ptr[s]
        if ptr[s + 1] - i == 2 and not known and u[i] > 0.0 and u[i + 1] > 0.0:
            delta = b[i + 1] - b[i]
            x = math.log(u[i] * sw[i + 1] / (u[i + 1] * sw[i])) / delta
            if x_low <= x <= x_high:
                target[s] = x
                weight[s] = 2.0 * (delta * u[i] * u[i + 1]) ** 2 / (u[i] * u[i] + u[i + 1] * u[i + 1])
                continue
        for g in range(ptr[s], ptr[s + 1]):
            if u[g] > 0.0:
                w, level = u[g] * u[g], math.log(u[g] / sw[g])
                if known:
                    level -= math.log(s0[s])
                n0 += w
                n1 += w * b[g]
                n2 += w * b[g] * b[g]
                m0 += w * level
                m1 += w * b[g] * level
        determinant = n2 if known else n0 * n2 - n1 * n1
        slope = m1 if known else n0 * m1 - n1 * m0
        x = -slope / determinant if determinant > 1e-12 * n0 * n2 else x_high
        x = min(max(x, x_low), x_high)
        for turn in range(4):
            _, d1, _, h, _ = _series(u, b, sw, ptr[s], ptr[s + 1], x, s0[s], e)
            target[s], weight[s] = (x - d1 / h if h > 0.0 else x), h
            nearer = min(max(target[s], x_low), x_high)
            if turn == 3 or abs(nearer - x) < 1e-3 * (x_high - x_low):
                break
            x = nearer


@njit(**_JIT)
def _valley(a11, a12, a22, r1, r2, low, high):  # type: ignore[no-untyped-def]
    """Return the best (ADC, sigma) and value of a quadratic in (ADC, ADC sigma) over the box of ADC and sigma."""
    determinant = a11 * a22 - a12 * a12
    if determinant > 1e-12 * a11 * a22:
        adc, c = (r1 * a22 - r2 * a12) / determinant, (a11 * r2 - a12 * r1) / determinant
        if low[0] <= adc <= high[0] and low[1] * adc <= c <= high[1] * adc:
            return adc, c / adc, -(r1 * adc + r2 * c)
    best, best_adc, best_sigma = math.inf, low[0], low[1]
    for side in range(2):
        sigma = low[1] if side == 0 else high[1]
        h = a11 + 2.0 * sigma * a12 + sigma * sigma * a22
        adc = min(max((r1 + sigma * r2) / h, low[0]), high[0]) if h > 0.0 else low[0]
        value = h * adc * adc - 2.0 * adc * (r1 + sigma * r2)
        if value < best:
            best, best_adc, best_sigma = value, adc, sigma
        adc = low[0] if side == 0 else high[0]
        sigma = min(max((r2 / adc - a12) / a22, low[1]), high[1]) if a22 > 0.0 else low[1]
        value = adc * adc * (a11 + 2.0 * sigma * a12 + sigma * sigma * a22) - 2.0 * adc * (r1 + sigma * r2)
        if value < best:
            best, best_adc, best_sigma = value, adc, sigma
    return best_adc, best_sigma, best


@njit(**_JIT)
def _better_rate(u, b, sw, ptr, t, s0, adc, rests, e):  # type: ignore[no-untyped-def]
    """Return the grid index of the AXR at which sigma, now 0, would most like to be positive, or -1 if at none."""
    steepest, where = 0.0, -1
    slope = np.empty(t.size)
    for s in range(t.size):
        slope[s] = _series(u, b, sw, ptr[s], ptr[s + 1], adc, s0[s], e)[1]
    for i in range(rests.shape[0]):
        d = 0.0
        for s in range(t.size):
            d -= slope[s] * rests[i, s]
        if d < steepest:
            steepest, where = d, i
    return where


@njit(**_JIT)
def _spread(gauss, low, high, sd):  # type: ignore[no-untyped-def]
    """Fill the SDs for unit noise, the root diagonal of (gauss/2)^-1; return False (and NaN) where it is singular."""
    w0, w1, w2 = high[0] - low[0], high[1] - low[1], high[2] - low[2]
    a, b, c = gauss[0, 0] * w0 * w0 / 2, gauss[0, 1] * w0 * w1 / 2, gauss[0, 2] * w0 * w2 / 2
    d, e, f = gauss[1, 1] * w1 * w1 / 2, gauss[1, 2] * w1 * w2 / 2, gauss[2, 2] * w2 * w2 / 2
    i0, i1, i2 = d * f - e * e, a * f - c * c, a * d - b * b
    determinant = a * i0 - b * (b * f - c * e) + c * (b * e - c * d)
    if not (i0 > 0.0 and i1 > 0.0 and i2 > 0.0 and determinant > 1e-13 * (i0 + i1 + i2) * (a + d + f)):
        sd[:] = math.nan
        return False
    sd[0], sd[1], sd[2] = w0 * math.sqrt(i0 / determinant), w1 * math.sqrt(i1 / determinant), w2 * math.sqrt(i2 / determinant)
    return True


@njit(**_JIT)
def search(signals, b, sw, ptr, t, filtered, s0, low, high, rates, rests, out, s0_out, sd_out, cost_out, state_out):  # type: ignore[no-untyped-def]
    """Fit every row of `signals` [voxel, group] from all valleys of the profile over `rates`; keep the lowest.

    Fills theta, S0, SDs for unit noise, cost, and state: 0 converged, 1 not, 2 converged but with a singular Fisher matrix.
    """
    n_rates, n_series = rates.size, t.size
    target, weight, e = np.empty(n_series), np.empty(n_series), np.empty(b.size)
    height, adcs, sigmas = np.empty(n_rates), np.empty(n_rates), np.empty(n_rates)
    theta, trial_s0, gauss, best_gauss = np.empty(3), np.empty(n_series), np.empty((3, 3)), np.empty((3, 3))
    edge, edge_s0, edge_gauss = np.empty(3), np.empty(n_series), np.empty((3, 3))
    room = workspace(b.size, n_series)
    x_low, x_high = min(low[0] * (1.0 - high[1]), 0.0), high[0] * (1.0 - min(low[1], 0.0))
    for v in range(signals.shape[0]):
        u, known = signals[v], s0[v]
        _parabolas(u, b, sw, ptr, known, x_low, x_high, target, weight, e)
        a11 = r1 = 0.0
        for s in range(n_series):
            a11 += weight[s]
            r1 += weight[s] * target[s]
        for i in range(n_rates):
            a12 = a22 = r2 = 0.0
            for s in range(n_series):
                hr = weight[s] * rests[i, s]
                a12 -= hr
                a22 += hr * rests[i, s]
                r2 -= hr * target[s]
            adcs[i], sigmas[i], height[i] = _valley(a11, a12, a22, r1, r2, low, high)
        cost_out[v] = math.inf
        state_out[v] = 1
        for i in range(n_rates):
            if (i > 0 and height[i - 1] <= height[i]) or (i < n_rates - 1 and height[i + 1] < height[i]):
                continue
            theta[0], theta[1], theta[2] = adcs[i], sigmas[i], rates[i]
            cost, good = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, theta, trial_s0, gauss, room)
            if theta[1] <= 0.0 <= low[1]:  # sigma = 0 hides AXR
                where = _better_rate(u, b, sw, ptr, t, known, theta[0], rests, e)
                if where >= 0:
                    theta[1], theta[2] = 0.02, rates[where]
                    cost, good = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, theta, trial_s0, gauss, room)
            elif theta[2] >= high[2]:  # a second valley often lies just below the upper bound
                for p in range(3):
                    edge[p] = theta[p]
                edge[2] = low[2] + 0.75 * (high[2] - low[2])
                lower, fine = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, edge, edge_s0, edge_gauss, room)
                if lower < cost:
                    cost, good = lower, fine
                    for p in range(3):
                        theta[p] = edge[p]
                        for q in range(3):
                            gauss[p, q] = edge_gauss[p, q]
                    for s in range(n_series):
                        trial_s0[s] = edge_s0[s]
            if cost < cost_out[v]:
                cost_out[v], state_out[v] = cost, 0 if good else 1
                for p in range(3):
                    out[v, p] = theta[p]
                    for q in range(3):
                        best_gauss[p, q] = gauss[p, q]
                for s in range(n_series):
                    s0_out[v, s] = trial_s0[s]
        if not _spread(best_gauss, low, high, sd_out[v]) and state_out[v] == 0:
            state_out[v] = 2
