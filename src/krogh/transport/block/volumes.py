"""Draw a property of the tissue over (x, y, z): balls, volumes, functions; each cell holds the mean over its volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError
from krogh.transport.block.axis import Axis

__all__ = ["Region", "ball", "from_function", "from_volume"]

_SAMPLES = 4


@dataclass(frozen=True)
class Region:
    """The cells of one layer: faces along x from the side of the blood [m], and the directions along the barrier."""

    edge_m: np.ndarray
    y: Axis
    z: Axis

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the number of cells in each direction."""
        return self.edge_m.size - 1, self.y.size, self.z.size

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the faces in each direction [m]."""
        return self.edge_m, self.y.edge_m, self.z.edge_m


def from_function(values: Callable[..., np.ndarray], region: Region) -> np.ndarray:
    """Return the mean of ``values(depth_m, y_m, z_m)`` over every cell, by 4 x 4 x 4 points in each."""
    share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    total = np.zeros(region.shape)
    along = [[e[:-1] + p * np.diff(e) for p in share] for e in region.edges]
    for x in along[0]:
        for y in along[1]:
            for z in along[2]:
                total += np.asarray(values(x[:, None, None], y[:, None], z), dtype=float)
    return total / _SAMPLES**3


def ball(region: Region, center_m: tuple[float, float, float], radius_m: float, inside: float, outside: float) -> np.ndarray:
    """Return `outside` with a ball of `inside`, cells on its rim by the share that it covers.

    Raises
    ------
    InputError
        If the ball has no size, or its centre lies outside the layer.
    """
    if not (np.isfinite(radius_m) and radius_m > 0):
        raise InputError("radius of a ball", got=f"{radius_m} m", expected="a finite length > 0 m")
    size = [float(e[-1]) for e in region.edges]
    if not all(0 <= c <= s for c, s in zip(center_m, size, strict=True)):
        got, limit = (" x ".join(f"{1e6 * v:g}" for v in values) for values in (center_m, size))
        raise InputError("centre of a ball", got=f"{got} um", expected=f"within {limit} um (depth in the layer, y, z)")

    def covered(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (x - center_m[0]) ** 2 + (y - center_m[1]) ** 2 + (z - center_m[2]) ** 2 <= radius_m**2

    return outside + (inside - outside) * from_function(covered, region)


def from_volume(values: np.ndarray, region: Region, *, where: str = "volume") -> np.ndarray:
    """Return an image of the layer (depth, y, z) on the cells: it is stretched over the layer, and a cell holds its mean.

    Raises
    ------
    InputError
        If it does not have three dimensions, or holds values that are not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 3 or values.size == 0:
        got = " x ".join(str(n) for n in values.shape) or "one"
        raise InputError(where, got=f"{got} values", expected="three dimensions: depth in the layer, y, z")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(where, got=f"{bad} values that are not a number", expected="finite values")
    for axis, edge in enumerate(region.edges):
        share = _overlap(values.shape[axis], edge)
        values = np.moveaxis(np.tensordot(share, values, axes=(1, axis)), 0, axis)
    return values


def _overlap(count: int, edge_m: np.ndarray) -> np.ndarray:
    """Return which share of every cell (n,) lies in each of `count` equal pieces of the whole, (n, count)."""
    edges = edge_m / edge_m[-1] * count
    pieces = np.arange(count)
    low, high = np.maximum(edges[:-1, None], pieces), np.minimum(edges[1:, None], pieces + 1)
    share = np.maximum(high - low, 0.0)
    return np.asarray(share / share.sum(1, keepdims=True))
