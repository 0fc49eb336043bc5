"""Transform planes between cells and diffusion modes: two small matrix products per plane."""

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
        self._kept: dict[int, np.ndarray] = {}
        self._qy_t, self._qz_t = np.ascontiguousarray(self._qy.T), np.ascontiguousarray(self._qz.T)

    def forward(self, amount: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the modes (n, F) of amounts per cell (n, F): ``Qy^T f Qz``."""
        return self._apply(self._qy_t, amount, self._qz, out)

    def backward(self, modes: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the concentrations (n, F) of modes (n, F): ``Qy f Qz^T``."""
        return self._apply(self._qy, modes, self._qz_t, out)

    def kept(self, place: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array that is the same at every call: fresh memory would cost as much as the transform."""
        held = self._kept.get(place)
        if held is None or held.shape != shape:
            held = self._kept[place] = np.empty(shape)
        return held

    def _apply(self, left: np.ndarray, planes: np.ndarray, right: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        ny, nz = self.shape
        n = planes.shape[0]
        along_z = self.kept(-1, (n * ny, nz)) if out is not None else np.empty((n * ny, nz))
        np.matmul(planes.reshape(n * ny, nz), right, out=along_z)
        target = np.empty((n, ny * nz)) if out is None else out
        np.matmul(left, along_z.reshape(n, ny, nz), out=target.reshape(n, ny, nz))
        return target
