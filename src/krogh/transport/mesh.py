"""Cut layers into cells: faces on every interface, fine at the interfaces, coarse in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.barrier.model import Layer
from krogh.errors import InputError

__all__ = ["Mesh", "graded_widths", "layered_mesh"]


@dataclass(frozen=True, slots=True)
class Mesh:
    """One-dimensional cells along the path from blood to brain.

    Attributes
    ----------
    width_m : array, shape (cell,)
        Cell widths [m].
    layer : int array, shape (cell,)
        Index of the layer that each cell belongs to.
    """

    width_m: np.ndarray
    layer: np.ndarray

    @property
    def edge_m(self) -> np.ndarray:
        """Return the faces, shape (cell + 1,), starting at 0 on the blood side [m]."""
        return np.concatenate([[0.0], np.cumsum(self.width_m)])

    @property
    def center_m(self) -> np.ndarray:
        """Return the cell centres [m]."""
        edge = self.edge_m
        return 0.5 * (edge[1:] + edge[:-1])


def graded_widths(thickness_m: float, cells: int, *, ratio: float = 1.0) -> np.ndarray:
    """Return `cells` widths that grow by up to `ratio` from both ends to the middle and fill `thickness_m` exactly.

    The widths follow one smooth profile, so halving the mesh keeps its shape and second order holds on it.

    Parameters
    ----------
    thickness_m : float
        Length to fill [m].
    cells : int
        Number of cells, >= 1.
    ratio : float
        Widest over narrowest cell, >= 1; 1 is uniform.
    """
    if cells < 1:
        raise InputError("cells", got=cells, expected=">= 1")
    if not ratio >= 1:
        raise InputError("mesh ratio", got=ratio, expected=">= 1")
    # face positions x(s) with dx/ds proportional to 1 + (ratio - 1) sin^2(pi s): integrable in closed form
    s = np.linspace(0.0, 1.0, cells + 1)
    x = s + (ratio - 1) * (0.5 * s - np.sin(2 * np.pi * s) / (4 * np.pi))
    return np.diff(x / x[-1]) * thickness_m


def layered_mesh(layers: Sequence[Layer], cells: int | Sequence[int], *, ratio: float = 10.0) -> Mesh:
    """Return a mesh of the layers.

    Parameters
    ----------
    layers : sequence of Layer
        Blood side first.
    cells : int or sequence of int
        Total number, shared by the square root of thickness with at least 4 a layer, or the number in each layer.
    ratio : float
        Widest over narrowest cell inside each layer.

    Raises
    ------
    InputError
        If there are fewer than four cells per layer in total, or counts that do not match.
    """
    if isinstance(cells, (int, np.integer)):
        if cells < 4 * len(layers):
            raise InputError("cells", got=int(cells), expected=f">= {4 * len(layers)} (4 in each of {len(layers)} layers)")
        share = np.sqrt([layer.thickness_m for layer in layers])
        counts = 4 + np.floor((cells - 4 * len(layers)) * share / share.sum()).astype(int)
        counts[int(np.argmax(share))] += int(cells) - int(counts.sum())
    else:
        counts = np.asarray(cells, dtype=int)
        if counts.shape != (len(layers),):
            raise InputError("cells", got=f"{counts.size} counts", expected=f"{len(layers)} (one a layer)")
    widths = [graded_widths(layer.thickness_m, int(n), ratio=ratio) for layer, n in zip(layers, counts, strict=True)]
    index = np.repeat(np.arange(len(layers)), counts)
    return Mesh(np.concatenate(widths), index)
