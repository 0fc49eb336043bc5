"""Compiled integral over ADC and sigma for each rate: ADC by the Gaussian formula, sigma by Gauss-Legendre about its best."""

from __future__ import annotations

import math

from numba import njit

from krogh.fexi.estimators._series import JIT

__all__ = ["conditional"]

_REACH = 6.0  # SDs of sigma on either side
_TINY = 1e-300


@njit(**JIT)
def _slice(a11, a12, a22, b1, b2, sigma, low, high):  # type: ignore[no-untyped-def]
    """Return ln mass, mean and variance of ADC within (low, high) for one sigma and rate."""
    curvature = a11 + sigma * (2.0 * a12 + sigma * a22)
    slope = b1 + sigma * b2
    m, sd = slope / curvature, 1.0 / math.sqrt(curvature)
    left, right = (low - m) / sd, (high - m) / sd
    mass = 0.5 * (math.erfc(left / math.sqrt(2.0)) - math.erfc(right / math.sqrt(2.0)))
    level = 0.5 * slope * m - 0.5 * math.log(curvature)
    if mass < 1e-12:  # the best ADC lies far outside of the bounds
        edge = low if left > 0.0 else high
        far = max(left, -right)
        return level - 0.5 * far * far - math.log(1.0 + abs(far)), edge, sd * sd / (1.0 + far * far)
    p, q = math.exp(-0.5 * left * left) / mass, math.exp(-0.5 * right * right) / mass
    p, q = p / math.sqrt(2.0 * math.pi), q / math.sqrt(2.0 * math.pi)
    shift = p - q
    return level + math.log(mass), m + sd * shift, sd * sd * max(1.0 + left * p - right * q - shift * shift, 1e-9)


@njit(**JIT)
def conditional(a11, a12, a22, b1, b2, rest, bounds, sigma_prior, node, weight, log_evidence, moment):  # type: ignore[no-untyped-def]
    """Fill ln evidence [voxel, rate] and `moment` [4, voxel, rate]: mean and variance of ADC, of sigma.

    The misfit at ADC a and sigma is ``rest - 2 a (b1 + sigma b2) + a^2 (a11 + 2 sigma a12 + sigma^2 a22)``; bounds [2, 2];
    `sigma_prior` is mean and 1 / SD of a Gaussian (0: none).
    """
    n = node.size
    for v in range(a12.shape[0]):
        for j in range(a12.shape[1]):
            det = max(a11[v] * a22[v, j] - a12[v, j] * a12[v, j], 1e-12 * a11[v] * a22[v, j] + _TINY)
            best = (a22[v, j] * b1[v] - a12[v, j] * b2[v, j]) / det
            safe = min(max(best, bounds[0, 0]), bounds[0, 1])
            ratio = (a11[v] * b2[v, j] - a12[v, j] * b1[v]) / det / safe
            spread = math.sqrt(max(a11[v] + ratio * (2.0 * a12[v, j] + ratio * a22[v, j]), 0.0) / det) / safe
            own, prior = 1.0 / max(spread * spread, _TINY), sigma_prior[1] * sigma_prior[1]
            ratio, spread = (own * ratio + prior * sigma_prior[0]) / (own + prior), 1.0 / math.sqrt(own + prior)
            centre = min(max(ratio, bounds[1, 0]), bounds[1, 1])
            low, high = max(centre - _REACH * spread, bounds[1, 0]), min(centre + _REACH * spread, bounds[1, 1])
            half = 0.5 * (high - low)
            total, top = 0.0, -math.inf
            a_1 = a_2 = s_1 = s_2 = 0.0
            for i in range(n):
                sigma = low + half * (1.0 + node[i])
                level, mean, variance = _slice(a11[v], a12[v, j], a22[v, j], b1[v], b2[v, j], sigma, bounds[0, 0], bounds[0, 1])
                off = (sigma - sigma_prior[0]) * sigma_prior[1]
                level -= 0.5 * off * off
                if level > top:
                    keep = math.exp(top - level)
                    total, a_1, a_2, s_1, s_2, top = total * keep, a_1 * keep, a_2 * keep, s_1 * keep, s_2 * keep, level
                w = weight[i] * math.exp(level - top)
                total += w
                a_1 += w * mean
                a_2 += w * (variance + mean * mean)
                s_1 += w * sigma
                s_2 += w * sigma * sigma
            moment[0, v, j], moment[2, v, j] = a_1 / total, s_1 / total
            moment[1, v, j] = max(a_2 / total - (a_1 / total) ** 2, 1e-12)
            moment[3, v, j] = max(s_2 / total - (s_1 / total) ** 2, 1e-12)
            log_evidence[v, j] = top + math.log(total * half + _TINY) - 0.5 * rest[v]
