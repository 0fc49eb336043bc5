"""Compute the posterior mean of (ADC, sigma, AXR) on a grid.

It has the smallest mean squared error that any estimator can reach on its prior.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["posterior_mean"]

FloatArray = NDArray[np.float64]
_MIN_SNR = 15.0


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(y, single, triple, nodes, sd, out):  # type: ignore[no-untyped-def]
    """Fill out [voxel, 6] with mean and variance; single [adc, channel], triple [adc, sigma, axr, channel] hold predictions."""
    n_a, n_s, n_k, n_c = triple.shape
    half = 0.5 / (sd * sd)
    n_1 = single.shape[1]
    for v in range(y.shape[0]):
        total = 0.0
        moment, square = np.zeros(3), np.zeros(3)
        alone = np.empty(n_a)
        top = -math.inf
        for a in range(n_a):
            alone[a] = 0.0
            for c in range(n_1):
                d = y[v, c] - single[a, c]
                alone[a] -= half * d * d + 0.5 * math.log(single[a, c])
            top = max(top, alone[a])
        for a in range(n_a):
            if alone[a] < top - 30.0:
                continue
            for s in range(n_s):
                for k in range(n_k):
                    level, product = alone[a] - top, 1.0
                    for c in range(n_c):
                        d = y[v, n_1 + c] - triple[a, s, k, c]
                        level -= half * d * d
                        product *= triple[a, s, k, c]
                    if level < -60.0:
                        continue
                    w = math.exp(level) / math.sqrt(product)
                    total += w
                    for p, i in enumerate((a, s, k)):
                        moment[p] += w * nodes[p, i]
                        square[p] += w * nodes[p, i] * nodes[p, i]
        for p in range(3):
            mean = moment[p] / total
            out[v, p] = mean
            out[v, 3 + p] = max(square[p] / total - mean * mean, 0.0)


def posterior_mean(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    prior: FloatArray,
    noise_sd: float,
    nodes: tuple[int, int, int] = (120, 40, 50),
) -> tuple[FloatArray, FloatArray]:
    """Return posterior mean and SD [voxel, 3] (SI) under a uniform prior [3, 2], S0 = 1 and Rician noise.

    The likelihood uses ``I0(z) ~ exp(z)/sqrt(2 pi z)``; midpoint nodes along (ADC, sigma, AXR).

    Raises
    ------
    InputError
        If 1 / noise_sd is below 15, where that approximation of I0 fails.
    """
    if noise_sd * _MIN_SNR > 1:
        raise InputError("noise_sd", got=noise_sd, expected="at most 1/15 of S0 for the Bayes floor")
    axes = [low + (high - low) * (np.arange(n) + 0.5) / n for (low, high), n in zip(prior, nodes, strict=True)]
    informative = protocol.b_s_m2 > 0
    free = protocol.filter_b_s_m2 == 0
    alone, rest = np.flatnonzero(informative & free), np.flatnonzero(informative & ~free)
    theta = np.stack([g.reshape(-1) for g in np.meshgrid(*axes, indexing="ij")], 1)
    triple = np.concatenate([model.shape(part, protocol)[:, rest] for part in np.array_split(theta, 24)])
    line = np.stack([axes[0], np.full(nodes[0], prior[1, 0]), np.full(nodes[0], prior[2, 0])], 1)
    table = np.zeros((3, max(nodes)))
    unit = np.abs(prior).max(axis=1)
    for p in range(3):
        table[p, : nodes[p]] = axes[p] / unit[p]
    out = np.empty((signals.shape[0], 6))
    y = np.ascontiguousarray(np.concatenate([signals[:, alone], signals[:, rest]], axis=1), float)
    _accumulate(y, model.shape(line, protocol)[:, alone], triple.reshape(*nodes, rest.size), table, float(noise_sd), out)
    return out[:, :3] * unit, np.sqrt(out[:, 3:]) * unit
