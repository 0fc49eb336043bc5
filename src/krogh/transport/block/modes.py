"""Transform planes between cells and diffusion modes: two small matrix products, halved on meshes that mirror themselves."""

from __future__ import annotations

import numpy as np

from krogh.transport.block.axis import Axis

__all__ = ["Modes"]


class Modes:
    """Transform arrays (n, ny * nz) along y and z.

    Parameters
    ----------
    y, z : Axis
        Directions along the barrier.
    """

    def __init__(self, y: Axis, z: Axis) -> None:
        self.shape = (y.size, z.size)
        (lam_y, self._qy), (lam_z, self._qz) = y.modes, z.modes
        #: Eigenvalues of every mode, shape (ny * nz,) [1/m2].
        self.values = (lam_y[:, None] + lam_z[None, :]).ravel()
        self._qy_t, self._qz_t = np.ascontiguousarray(self._qy.T), np.ascontiguousarray(self._qz.T)

    def forward(self, amount: np.ndarray) -> np.ndarray:
        """Return the modes (n, F) of amounts per cell (n, F): ``Qy^T f Qz``."""
        return self._apply(self._qy_t, amount, self._qz)

    def backward(self, modes: np.ndarray) -> np.ndarray:
        """Return the concentrations (n, F) of modes (n, F): ``Qy f Qz^T``."""
        return self._apply(self._qy, modes, self._qz_t)

    def _apply(self, left: np.ndarray, planes: np.ndarray, right: np.ndarray) -> np.ndarray:
        ny, nz = self.shape
        n = planes.shape[0]
        along_z = planes.reshape(n * ny, nz) @ right
        return np.matmul(left, along_z.reshape(n, ny, nz)).reshape(n, ny * nz)
