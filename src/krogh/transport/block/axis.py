"""Cut the two directions along the barrier into cells, and know their diffusion modes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from krogh.errors import InputError

__all__ = ["Axis", "uniform_axis"]


@dataclass(frozen=True)
class Axis:
    """Cells along one direction, closed at both ends (mirror symmetry).

    Attributes
    ----------
    width_m : array, shape (n,)
        Cell widths [m], > 0.
    """

    width_m: np.ndarray

    def __post_init__(self) -> None:
        """Refuse widths that are none."""
        if self.width_m.ndim != 1 or self.width_m.size < 1 or not np.all(np.isfinite(self.width_m) & (self.width_m > 0)):
            raise InputError("cells along the barrier", got="a width that is not positive", expected="finite widths > 0 m")

    @property
    def size(self) -> int:
        """Return the number of cells."""
        return int(self.width_m.size)

    @property
    def edge_m(self) -> np.ndarray:
        """Return the faces, starting at 0 [m]."""
        return np.concatenate([[0.0], np.cumsum(self.width_m)])

    @property
    def center_m(self) -> np.ndarray:
        """Return the cell centres [m]."""
        return 0.5 * (self.edge_m[1:] + self.edge_m[:-1])

    @cached_property
    def link_1_m(self) -> np.ndarray:
        """Return 1 / distance of neighbouring centres, shape (n + 1,), zero at the closed ends [1/m]."""
        inner = 2.0 / (self.width_m[1:] + self.width_m[:-1])
        return np.concatenate([[0.0], inner, [0.0]])

    @cached_property
    def modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (lambda, Q): ``K Q = diag(width) Q lambda`` with ``Q^T diag(width) Q = 1``, K the closed second difference.

        On equal widths Q is the cosine transform. Lynch, Rice & Thomas 1964, doi:10.1007/BF01386067.
        """
        link = self.link_1_m
        k = np.diag(link[1:] + link[:-1]) - np.diag(link[1:-1], 1) - np.diag(link[1:-1], -1)
        root = 1.0 / np.sqrt(self.width_m)
        values, vectors = np.linalg.eigh(root[:, None] * k * root[None, :])
        values[0] = 0.0
        return np.maximum(values, 0.0), np.ascontiguousarray(root[:, None] * vectors)


def uniform_axis(length_m: float, cells: int) -> Axis:
    """Return `cells` equal cells over `length_m`.

    Raises
    ------
    InputError
        If the length is not positive or there is no cell.
    """
    if not (np.isfinite(length_m) and length_m > 0):
        raise InputError("length along the barrier", got=f"{length_m} m", expected="a finite length > 0 m")
    if cells < 1:
        raise InputError("cells along the barrier", got=cells, expected=">= 1")
    return Axis(np.full(cells, length_m / cells))
