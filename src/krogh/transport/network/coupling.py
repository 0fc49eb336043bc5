"""Spread the exchange of a vessel over the tissue cells around it, so that it does not depend on the mesh."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse
from scipy.optimize import brentq
from scipy.special import i0e, i1e

from krogh.transport.network.vessels import Vessels, crosswise

__all__ = ["exchange_factor", "spread_weights"]

_ALONG, _AROUND = 4, 24  # fewest points
_MOST_POINTS = 1_000_000  # at once


@lru_cache(maxsize=4096)
def exchange_factor(log_ratio: float) -> float:
    """Return g / (pi D) of a vessel whose exchange is spread over a disc, ``log_ratio = ln(radius of disc / radius of vessel)``.

    Every point of the disc takes ``g / (pi rho^2) (u_wall - u)`` per length. Inside, ``u_wall - u = A I0(x r / rho)`` with
    ``x^2 = g / (pi D)``; the outside sees a vessel of the true radius if ``I0(x) / (x I1(x)) = log_ratio``.

    Parameters
    ----------
    log_ratio : float
        > 0.
    """
    x = brentq(lambda v: i0e(v) / (v * i1e(v)) - log_ratio, 1e-6, 1e6, xtol=1e-14, rtol=1e-14)
    return float(x) ** 2


def spread_weights(
    vessels: Vessels, reach_m: np.ndarray, shape: tuple[int, int, int], origin_m: np.ndarray, spacing_m: float
) -> scipy.sparse.csr_matrix:
    """Return the share of every segment's exchange in every cell (m, cells), rows adding to 1.

    Points are spread evenly along the segment and over a disc of radius `reach_m` across it, about two in every cell that it
    passes, so that fine meshes have no gaps; those outside the tissue are mirrored back at its closed faces.
    """
    longest = float(vessels.length_m.max())
    along = max(_ALONG, int(np.ceil(2 * longest / spacing_m)))
    around = max(_AROUND, int(np.ceil(2 * np.pi * (float(reach_m.max()) / spacing_m) ** 2)))
    parts = []
    step = max(1, _MOST_POINTS // (along * around))
    for first in range(0, len(vessels.ends), step):
        own = slice(first, first + step)
        points = _points(vessels, own, reach_m[own], along, around) - origin_m
        parts.append(_shares(points, shape, spacing_m))
    return scipy.sparse.vstack(parts, format="csr")


def _points(vessels: Vessels, own: slice, reach_m: np.ndarray, along: int, around: int) -> np.ndarray:
    """Return the points (segment, along * around, 3) of some segments."""
    a, b = vessels.points_m[vessels.ends[own, 0]], vessels.points_m[vessels.ends[own, 1]]
    first, second = crosswise(a, b)
    k = np.arange(around) + 0.5
    radius, angle = np.sqrt(k / around), k * np.pi * (3 - np.sqrt(5.0))  # sunflower: equal areas
    disc = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    share = (np.arange(along) + 0.5) / along
    center = a[:, None] + share[None, :, None] * (b - a)[:, None]
    across = reach_m[:, None, None] * (disc[None, :, :1] * first[:, None] + disc[None, :, 1:] * second[:, None])
    return (center[:, :, None] + across[:, None]).reshape(len(a), -1, 3)


def _shares(points: np.ndarray, shape: tuple[int, int, int], spacing_m: float) -> scipy.sparse.csr_matrix:
    """Return the share of points (segment, n, 3) in every cell, mirrored back into the box."""
    size = np.array(shape) * spacing_m
    points = np.abs(points)
    points = np.where(points > size, 2 * size - points, points)
    cell = np.clip((points / spacing_m).astype(int), 0, np.array(shape) - 1)
    flat = np.ravel_multi_index(np.moveaxis(cell, -1, 0), shape)
    rows = np.repeat(np.arange(len(points)), flat.shape[1])
    share = np.full(rows.size, 1.0 / flat.shape[1])
    return scipy.sparse.coo_matrix((share, (rows, flat.ravel())), shape=(len(points), int(np.prod(shape)))).tocsr()
