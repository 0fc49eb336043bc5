"""Compiled masses of many Gaussians at the atoms of a dictionary."""

from __future__ import annotations

import numpy as np
from numba import njit

from krogh.fexi.learned._fast import FAST, fast_exp

__all__ = ["UNLIKELY", "gaussian_masses"]

UNLIKELY = -40.0  # exponents below it count as nothing: products of two such numbers are never too small for a fast float32


@njit(**FAST)
def gaussian_masses(u, volume, weight, mean, inverse, out):  # type: ignore[no-untyped-def]
    """Add weight x mass, which is 1 in all, of the Gaussians to `out` [draw, atom].

    `u` [param, atom] and `volume` [atom]; `weight` [draw]; `mean` [draw, param],
    `inverse` of its Cholesky root [draw, param, param].
    """
    n_p, n = u.shape
    line, square, mass = np.empty(n), np.empty(n), np.empty(n)
    for d in range(weight.size):
        for j in range(n):
            square[j] = 0.0
        for i in range(n_p):
            for j in range(n):
                line[j] = inverse[d, i, 0] * (u[0, j] - mean[d, 0])
            for k in range(1, i + 1):
                for j in range(n):
                    line[j] += inverse[d, i, k] * (u[k, j] - mean[d, k])
            for j in range(n):
                square[j] += line[j] * line[j]
        least, add = np.inf, 0.0
        for j in range(n):
            least = min(least, square[j])
        for j in range(n):
            value = -0.5 * (square[j] - least)
            mass[j] = volume[j] * fast_exp(value) if value > UNLIKELY else 0.0
        for j in range(n):
            add += mass[j]
        factor = weight[d] / add
        for j in range(n):
            out[d, j] += factor * mass[j]
