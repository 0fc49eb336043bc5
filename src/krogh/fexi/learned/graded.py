"""A dictionary whose cells are narrow where a prior is narrow, next to the bounds too.

Cells made for the noise alone are wider than a Gaussian of the prior that is narrow, or that lies next to a bound, where a step
of the parameter is many on the logit scale. A sum over them then gives the voxels of half a cell one value, and intervals hold
as little as a fifth of what they say. With c the centre of a Gaussian on an axis of u, s its SD there at given other parameters,
and d that of the likelihood of a voxel (or less: that of the first dictionary over 1.3), the cells at u are

    1.6 / sqrt(1 / (s^2 + (u - c)^2 / 4) + 1 / d^2)

wide, the least over the Gaussians: 1.6 SD of their product, where a sum is within 1e-3 of the integral, and more further away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.learned.dictionary import SPACING, Dictionary, assemble
from krogh.fexi.learned.prior import MixturePrior, to_theta, to_u

__all__ = ["graded"]

FloatArray = NDArray[np.float64]
_STEP, _GROWTH, _LEAST = 1.6, 0.5, 8
#: Of the SDs of many priors, the quantile that counts; the most atoms; where the logit scale ends.
_NARROW, _MOST, _END = 0.1, 60_000, 14.0


def graded(grid: Dictionary, priors: Sequence[MixturePrior]) -> Dictionary:
    """Return a dictionary for `priors`, all of as many components, over the range of `grid`, which is made for the noise.

    Of many priors, draws of one, the cells follow the narrower ones. Where that needs more than 60,000 atoms and more than
    `grid` has, all are wider.
    """
    if not priors[0].n_components:
        return grid
    mean, cov = np.array([g.mean for g in priors]), np.array([g.cov for g in priors])
    sd = np.quantile(1 / np.sqrt(np.diagonal(np.linalg.inv(cov), axis1=-2, axis2=-1)), _NARROW, axis=0)
    counts = [
        _count(edges, bounds, mean[..., p].mean(axis=0), mean[..., p].std(axis=0), sd[:, p])
        for p, (edges, bounds) in enumerate(zip(grid.edges, grid.bounds, strict=True))
    ]
    wider, most = 1.0, max(_MOST, grid.n_atoms)
    while math.prod(_nodes(count, wider) for _, count in counts) > most:
        wider *= 1.05
    axes = []
    for (u, count), old, bounds in zip(counts, grid.edges, grid.bounds, strict=True):
        edges = to_theta(np.interp(np.linspace(0, count[-1], _nodes(count, wider) + 1), count, u), bounds[None])
        edges[0], edges[-1] = old[0], old[-1]
        axes.append(edges)
    return assemble(grid.model, grid.protocol, tuple(axes))


def _nodes(count: FloatArray, wider: float) -> int:
    return max(_LEAST, math.ceil(count[-1] / wider))


def _count(
    edges: FloatArray, bounds: FloatArray, centre: FloatArray, around: FloatArray, sd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return points u of an axis, and how many cells lie below each; `centre`, `around` (its SD) and `sd` are [component]."""
    low, high = np.clip(to_u(edges[[0, -1]], bounds[None]), -_END, _END)
    fine = np.linspace(low, high, 4001)
    u = 0.5 * (fine[1:] + fine[:-1])
    theta = to_theta(u, bounds[None])
    cell = np.diff(edges)[np.clip(np.searchsorted(edges, theta) - 1, 0, edges.size - 2)]
    likely = cell / SPACING * np.ptp(bounds) / ((theta - bounds[0]) * (bounds[1] - theta))
    away = np.maximum(np.abs(u - centre[:, None]) - around[:, None], 0)
    prior = np.min(sd[:, None] ** 2 + (_GROWTH * away) ** 2, axis=0)
    rate = np.sqrt(1 / prior + 1 / likely**2) / _STEP
    return fine, np.concatenate([[0.0], np.cumsum(rate * np.diff(fine))])
