"""Describe what varies along the barrier by cosines, closed at all sides, and evaluate them where laws need values.

``u(x, y, z, t) = sum_kl u_kl(x, t) c_k(y / Y) c_l(z / Z)``, ``c_0 = 1, c_k = sqrt(2) cos(k pi s)``: orthonormal over the barrier,
so that mode (0, 0) is the mean and the squares of all modes add up to the mean square. Diffusion along the barrier takes
``D pi^2 (k^2 / Y^2 + l^2 / Z^2)`` of each, as a loss would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.transport.block.axis import Axis

__all__ = ["Lateral", "Points", "cell_means", "cosines", "even_points", "wall_points"]

#: Gauss points in a cell of a map, at least.
_GAUSS = 2


def cosines(share: np.ndarray, count: int) -> np.ndarray:
    """Return c_k at shares of the length, (point, k)."""
    out = np.sqrt(2.0) * np.cos(np.pi * np.multiply.outer(share, np.arange(count)))
    out[..., 0] = 1.0
    return out


@dataclass(frozen=True)
class Lateral:
    """Hold which modes are kept; mode number ``k * along_z + l``.

    Attributes
    ----------
    y, z : Axis
        The cells of the maps.
    along_y, along_z : int
        How many cosines in each direction.
    """

    y: Axis
    z: Axis
    along_y: int
    along_z: int

    @property
    def count(self) -> int:
        """Return the number of modes."""
        return self.along_y * self.along_z

    @property
    def rate(self) -> np.ndarray:
        """Return pi^2 (k^2 / Y^2 + l^2 / Z^2) of every mode [1/m2]."""
        of_y, of_z = (
            (np.pi * np.arange(n) / axis.edge_m[-1]) ** 2 for n, axis in ((self.along_y, self.y), (self.along_z, self.z))
        )
        return (of_y[:, None] + of_z[None, :]).ravel()

    def widened(self) -> Lateral:
        """Return twice as many cosines in every direction that has more than the mean."""
        return Lateral(self.y, self.z, *(2 * n if n > 1 else 1 for n in (self.along_y, self.along_z)))

    def places(self, of: Lateral) -> np.ndarray:
        """Return the numbers here of the modes of a smaller set."""
        return (np.arange(of.along_y)[:, None] * self.along_z + np.arange(of.along_z)).ravel()


@dataclass(frozen=True)
class Points:
    """Hold points along y and z: cosines there, (point, k), and weights that add up to 1."""

    of_y: np.ndarray
    of_z: np.ndarray
    weight_y: np.ndarray
    weight_z: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of points along y and z."""
        return self.weight_y.size, self.weight_z.size

    def spread(self, modes: np.ndarray) -> np.ndarray:
        """Return (..., y, z) from (..., mode); of fewer modes than held, the first."""
        grid = modes.reshape(*modes.shape[:-1], self.of_y.shape[1], self.of_z.shape[1])
        return np.asarray(self.of_y @ (grid @ self.of_z.T))

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return (..., mode) from (..., y, z)."""
        out = (self.of_y * self.weight_y[:, None]).T @ (values @ (self.of_z * self.weight_z[:, None]))
        return np.asarray(out.reshape(*values.shape[:-2], -1))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the means over the barrier of (..., y, z)."""
        return np.asarray((values @ self.weight_z) @ self.weight_y)


def wall_points(lateral: Lateral) -> tuple[Points, tuple[int, int]]:
    """Return Gauss points inside every cell of the maps, which jump between cells, and how many a cell has along y and z."""
    line = [_in_cells(axis, n) for axis, n in ((lateral.y, lateral.along_y), (lateral.z, lateral.along_z))]
    (y, weight_y, by_y), (z, weight_z, by_z) = line
    return Points(cosines(y, lateral.along_y), cosines(z, lateral.along_z), weight_y, weight_z), (by_y, by_z)


def _in_cells(axis: Axis, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    per_cell = 1 if count == 1 else max(_GAUSS, -(-3 * count // axis.size))
    x, w = np.polynomial.legendre.leggauss(per_cell)
    length = axis.edge_m[-1]
    share = (axis.edge_m[:-1, None] + axis.width_m[:, None] * (x + 1) / 2) / length
    return share.ravel(), (axis.width_m[:, None] * w / 2).ravel() / length, per_cell


def even_points(lateral: Lateral) -> Points:
    """Return even points, enough for products of modes: for what is smooth along the barrier."""
    line = []
    for n in (lateral.along_y, lateral.along_z):
        count = 1 if n == 1 else 3 * n // 2 + 2
        line.append((cosines((np.arange(count) + 0.5) / count, n), np.full(count, 1.0 / count)))
    return Points(line[0][0], line[1][0], line[0][1], line[1][1])


def cell_means(lateral: Lateral) -> Points:
    """Return the means of the cosines over the cells in place of points."""
    line = []
    for axis, n in ((lateral.y, lateral.along_y), (lateral.z, lateral.along_z)):
        k = np.arange(n)
        middle, width = axis.center_m / axis.edge_m[-1], axis.width_m / axis.edge_m[-1]
        line.append((cosines(middle, n) * np.sinc(np.multiply.outer(width, k) / 2), width))
    return Points(line[0][0], line[1][0], line[0][1], line[1][1])
