"""Spread the exchange of a vessel over the tissue cells around it, so that it does not depend on the mesh."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse
from scipy.optimize import brentq
from scipy.special import i0e, i1e

from krogh.transport.network.vessels import Vessels

__all__ = ["exchange_factor", "spread_weights"]

_ALONG, _AROUND = 4, 24


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

    Points are spread evenly along the segment and over a disc of radius `reach_m` across it; those outside the tissue are
    mirrored back at its closed faces.
    """
    a, b = vessels.points_m[vessels.ends[:, 0]], vessels.points_m[vessels.ends[:, 1]]
    axis = (b - a) / np.linalg.norm(b - a, axis=1)[:, None]
    helper = np.eye(3)[np.abs(axis).argmin(axis=1)]
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1)[:, None]
    second = np.cross(axis, first)
    k = np.arange(_AROUND) + 0.5
    radius, angle = np.sqrt(k / _AROUND), k * np.pi * (3 - np.sqrt(5.0))  # sunflower: equal areas
    disc = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    along = (np.arange(_ALONG) + 0.5) / _ALONG
    center = a[:, None] + along[None, :, None] * (b - a)[:, None]
    across = reach_m[:, None, None] * (disc[None, :, :1] * first[:, None] + disc[None, :, 1:] * second[:, None])
    points = (center[:, :, None] + across[:, None]).reshape(len(a), -1, 3) - origin_m
    size = np.array(shape) * spacing_m
    points = np.abs(points)
    points = np.where(points > size, 2 * size - points, points)
    cell = np.clip((points / spacing_m).astype(int), 0, np.array(shape) - 1)
    flat = np.ravel_multi_index(np.moveaxis(cell, -1, 0), shape)
    rows = np.repeat(np.arange(len(a)), flat.shape[1])
    share = np.full(rows.size, 1.0 / flat.shape[1])
    return scipy.sparse.coo_matrix((share, (rows, flat.ravel())), shape=(len(a), int(np.prod(shape)))).tocsr()
