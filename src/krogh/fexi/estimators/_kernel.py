"""Compiled search for the global least-squares minimum of the AXR model, voxel by voxel.

A grid over AXR finds the valleys: for a fixed AXR the diffusivity of every series is linear in (ADC, ADC sigma), and its cost is
replaced by the parabola at its own minimum, so that the best pair has a closed form. From every valley Newton steps go to the
bottom.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from krogh.fexi.estimators._descend import descend, workspace
from krogh.fexi.estimators._series import JIT, series_terms

__all__ = ["GRID", "search"]

#: Fractions of the AXR range at which the valleys are looked for (denser near zero).
GRID = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 19)])


@njit(**JIT)
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
            _, d1, _, h, _ = series_terms(u, b, sw, ptr[s], ptr[s + 1], x, s0[s], e)
            target[s], weight[s] = (x - d1 / h if h > 0.0 else x), h
            nearer = min(max(target[s], x_low), x_high)
            if turn == 3 or abs(nearer - x) < 1e-3 * (x_high - x_low):
                break
            x = nearer


@njit(**JIT)
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


@njit(**JIT)
def _heights(target, weight, rests, low, high, adcs, sigmas, height):  # type: ignore[no-untyped-def]
    """Fill the best (ADC, sigma) and the cost (up to a constant) of the parabolas for every rate of the grid."""
    a11 = r1 = 0.0
    for s in range(target.size):
        a11 += weight[s]
        r1 += weight[s] * target[s]
    for i in range(rests.shape[0]):
        a12 = a22 = r2 = 0.0
        for s in range(target.size):
            hr = weight[s] * rests[i, s]
            a12 -= hr
            a22 += hr * rests[i, s]
            r2 -= hr * target[s]
        adcs[i], sigmas[i], height[i] = _valley(a11, a12, a22, r1, r2, low, high)


@njit(**JIT)
def _sums(target, weight, t, filtered, rate, low, high):  # type: ignore[no-untyped-def]
    """Return the best (ADC, sigma) and the cost of the parabolas at one AXR."""
    a11 = a12 = a22 = r1 = r2 = 0.0
    for s in range(target.size):
        rest = math.exp(-rate * t[s]) if filtered[s] else 0.0
        a11 += weight[s]
        r1 += weight[s] * target[s]
        a12 -= weight[s] * rest
        a22 += weight[s] * rest * rest
        r2 -= weight[s] * rest * target[s]
    return _valley(a11, a12, a22, r1, r2, low, high)


@njit(**JIT)
def _between(target, weight, t, filtered, low, high, rates, height, i, theta):  # type: ignore[no-untyped-def]
    """Move theta from node i of the grid to the bottom of the parabola through its height and its neighbours'."""
    left, right = rates[i] - rates[i - 1], rates[i + 1] - rates[i]
    up, down = (height[i + 1] - height[i]) / right, (height[i - 1] - height[i]) / left
    bend = (up + down) / (left + right)
    if bend > 0.0:
        rate = rates[i] - 0.5 * (up * left - down * right) / (bend * (left + right))
        adc, sigma, found = _sums(target, weight, t, filtered, rate, low, high)
        if found < height[i]:
            theta[0], theta[1], theta[2] = adc, sigma, rate


@njit(**JIT)
def _better_rate(u, b, sw, ptr, t, s0, adc, rests, e):  # type: ignore[no-untyped-def]
    """Return the grid index of the AXR at which sigma, now 0, would most like to be positive, or -1 if at none."""
    steepest, where = 0.0, -1
    slope = np.empty(t.size)
    for s in range(t.size):
        slope[s] = series_terms(u, b, sw, ptr[s], ptr[s + 1], adc, s0[s], e)[1]
    for i in range(rests.shape[0]):
        d = 0.0
        for s in range(t.size):
            d -= slope[s] * rests[i, s]
        if d < steepest:
            steepest, where = d, i
    return where


@njit(**JIT)
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


@njit(**JIT)
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
        _heights(target, weight, rests, low, high, adcs, sigmas, height)
        cost_out[v] = math.inf
        state_out[v] = 1
        for i in range(n_rates):
            if (i > 0 and height[i - 1] <= height[i]) or (i < n_rates - 1 and height[i + 1] < height[i]):
                continue
            theta[0], theta[1], theta[2] = adcs[i], sigmas[i], rates[i]
            if 0 < i < n_rates - 1:
                _between(target, weight, t, filtered, low, high, rates, height, i, theta)
            cost, good = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, theta, trial_s0, gauss, room)
            if theta[1] <= 0.0 <= low[1]:  # sigma = 0 hides AXR
                where = _better_rate(u, b, sw, ptr, t, known, theta[0], rests, e)
                if where >= 0:
                    theta[1], theta[2] = 0.02, rates[where]
                    cost, good = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, theta, trial_s0, gauss, room)
            elif theta[2] >= high[2] and height[n_rates - 2] < height[n_rates - 1] + 0.1 * cost:  # a second valley just below?
                edge[0], edge[1] = theta[0], theta[1]
                edge[2] = low[2] + 0.75 * (high[2] - low[2])
                lower, fine = descend(u, b, sw, ptr, t, filtered, known, low, high, -1, edge, edge_s0, edge_gauss, room)
                if lower < cost:
                    cost, good = lower, fine
                    theta[:], gauss[:], trial_s0[:] = edge, edge_gauss, edge_s0
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
