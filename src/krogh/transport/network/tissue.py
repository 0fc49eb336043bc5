"""Put a box of equal cubes around a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError

__all__ = ["Tissue"]


@dataclass(frozen=True)
class Tissue:
    """A box of equal cubes.

    Attributes
    ----------
    origin_m : array (3,)
        Corner [m].
    shape : (nx, ny, nz)
        Cells.
    spacing_m : float
        Edge of a cell [m].
    """

    origin_m: np.ndarray
    shape: tuple[int, int, int]
    spacing_m: float

    @classmethod
    def around(cls, points_m: np.ndarray, cells: int, margin_m: float = 0.0) -> Tissue:
        """Return the box around points with `cells` along its longest side."""
        if cells < 2:
            raise InputError("tissue cells", got=cells, expected=">= 2")
        low, high = points_m.min(0) - margin_m, points_m.max(0) + margin_m
        spacing = float((high - low).max()) / cells
        if not spacing > 0:
            raise InputError("tissue", got="no extent", expected="nodes that are apart, or a margin")
        counts = np.maximum(1, np.ceil((high - low) / spacing - 1e-6)).astype(int)
        return cls(low, (int(counts[0]), int(counts[1]), int(counts[2])), spacing)

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return int(np.prod(self.shape))
