"""Where the voxels of a scan lie, and which of them are neighbours.

Voxels are gathered in blocks about half as wide as the smoothing length, so that a voxel has about twenty neighbouring blocks
whatever the size of the voxels. A block stands for its voxels in what they say to others, never in what is said of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError

__all__ = ["Blocks", "Neighbours", "correlation", "gather_blocks", "neighbours_of"]

FloatArray = NDArray[np.float64]
_REACH = 0.75  # of the smoothing length; with blocks beyond it the maps hardly change
_ROUND = 0.1  # a block may be narrower than half the length by this part of a voxel


def correlation(distance: FloatArray, fwhm: float) -> FloatArray:
    """Return the correlation ``exp(-2 ln2 d / FWHM)`` at `distance`: one half at FWHM / 2, a quarter at FWHM."""
    return np.asarray(np.exp(-2 * math.log(2) * distance / fwhm))


@dataclass(frozen=True)
class Neighbours:
    """Hold the smoothing length [m], the edges of a voxel [m] (x, y, z) and where each voxel lies [voxel, 3] (whole numbers)."""

    fwhm_m: float
    voxel_size_m: FloatArray
    index: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> Neighbours:
        """Return the places of the voxels `rows`."""
        return Neighbours(self.fwhm_m, self.voxel_size_m, self.index[rows])


def neighbours_of(index: ArrayLike, fwhm_m: float, voxel_size_m: ArrayLike | None) -> Neighbours:
    """Return voxels at `index` [voxel, 3] of a grid as neighbours.

    Raises
    ------
    UsageError
        If the length is not > 0, or too short for voxels of this size to have neighbours.
    InputError
        If the voxels do not have three edges > 0, or lie on another grid than a three-dimensional one.
    """
    size, place = np.asarray(np.nan if voxel_size_m is None else voxel_size_m, float), np.asarray(index, np.int64)
    if size.shape != (3,) or not (np.isfinite(size).all() and (size > 0).all()):
        raise InputError("voxel size", got=size.tolist(), expected="three edges > 0 in m, to know which voxels are neighbours")
    if place.ndim != 2 or place.shape[1] != 3:
        raise InputError("smooth", got=f"voxels with {place.shape[-1]} indices", expected="a scan on a grid x, y, z")
    if not (math.isfinite(fwhm_m) and fwhm_m > 0):
        raise UsageError("smooth", got=f"{fwhm_m:g}", expected="a length > 0")
    if _REACH * fwhm_m < size.min() * (1 - 1e-6):
        raise UsageError(
            "smooth", got=f"{1e3 * fwhm_m:.3g} mm", expected=f"at least {1e3 * size.min() / _REACH:.3g} mm",
            hint=f"voxels of {1e3 * size.min():.3g} mm have no neighbours that near",
        )  # fmt: skip
    return Neighbours(float(fwhm_m), size, place)


@dataclass(frozen=True)
class Blocks:
    """Hold the blocks around each voxel.

    Attributes
    ----------
    own : array of int [voxel]
        Block of each voxel.
    around : array of int [block, neighbour]
        Blocks within reach, itself first; the number of blocks where there is none.
    between : array [neighbour, neighbour]
        Correlation of the field at their centres.
    offset : array [voxel, 3]
        From the centre of its block to the voxel [m].
    place : array [neighbour, 3]
        From the centre of a block to those around it [m].
    fwhm_m : float
        Smoothing length.
    """

    own: NDArray[np.intp]
    around: NDArray[np.intp]
    between: FloatArray
    offset: FloatArray
    place: FloatArray
    fwhm_m: float

    def to_own(self) -> FloatArray:
        """Return the correlation between each voxel and the centre of its block [voxel]."""
        return correlation(np.linalg.norm(self.offset, axis=1), self.fwhm_m)

    def to_around(self, rows: NDArray[np.intp]) -> FloatArray:
        """Return the correlation between the voxels `rows` and the centres of the blocks around them [voxel, neighbour]."""
        return correlation(np.linalg.norm(self.place - self.offset[rows][:, None], axis=2), self.fwhm_m)

    def sums(self, values: FloatArray) -> FloatArray:
        """Return `values` [voxel, ...] added over the voxels of each block [block + 1, ...]; the last is nothing, 0."""
        out = np.zeros((self.around.shape[0] + 1, *values.shape[1:]))
        np.add.at(out, self.own, values)
        return out


def gather_blocks(voxels: Neighbours) -> Blocks:
    """Return the blocks of `voxels`, and which of them are near which."""
    per_axis = np.maximum(np.ceil(0.5 * voxels.fwhm_m / voxels.voxel_size_m - _ROUND), 1).astype(np.int64)
    cell, size = voxels.index // per_axis, per_axis * voxels.voxel_size_m
    reach = np.floor(_REACH * voxels.fwhm_m / size + 1e-6).astype(np.int64)
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, 3)
    distance = np.linalg.norm(steps * size, axis=1)
    near = np.flatnonzero(distance <= _REACH * voxels.fwhm_m * (1 + 1e-6))
    steps = steps[near[np.argsort(distance[near], kind="stable")]]
    low = cell.min(axis=0) - reach
    shape = cell.max(axis=0) + reach + 1 - low
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    known, own = np.unique((cell - low) @ stride, return_inverse=True)
    wanted = known[:, None] + steps @ stride
    found = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    around = np.where(known[found] == wanted, found, known.size)
    place = steps * size
    offset = (voxels.index - cell * per_axis - 0.5 * (per_axis - 1)) * voxels.voxel_size_m
    between = correlation(np.linalg.norm(place[:, None] - place, axis=2), voxels.fwhm_m)
    return Blocks(own.reshape(-1), around, between, offset, place, voxels.fwhm_m)
