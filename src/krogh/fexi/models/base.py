"""What all signal models share: S0 per series, bounds, and derivatives by complex step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError, nearest
from krogh.fexi.protocol import Protocol

__all__ = ["SeriesModel", "complex_step", "split_parameters"]

FloatArray = NDArray[np.float64]
_STEP = 1e-30


class SeriesModel(ABC):
    """Predict ``S = S0(series) * shape(theta)``; a model adds ``shape`` and, unless complex step will do, ``shape_jacobian``."""

    name: str
    parameter_names: tuple[str, ...]
    units: tuple[str, ...]
    bounds: FloatArray

    @abstractmethod
    def shape(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal for S0 = 1 [voxel, volume] from theta [voxel, param]."""

    def shape_jacobian(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d shape / d theta [voxel, volume, param]."""
        return complex_step(self, np.asarray(theta, float), protocol)

    def predict(self, theta: FloatArray, s0: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal [voxel, volume] from theta [voxel, param] and s0 [voxel, series]."""
        return np.asarray(s0)[:, protocol.series_index] * self.shape(theta, protocol)

    def jacobian(self, theta: FloatArray, s0: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d signal / d (theta, s0) [voxel, volume, param + series]."""
        series = protocol.series_index
        shape = self.shape(theta, protocol)
        own = np.asarray(s0)[:, series, None] * self.shape_jacobian(theta, protocol)
        member = series[:, None] == np.arange(protocol.n_series)
        return np.concatenate([own, shape[:, :, None] * member], axis=2)


def complex_step(model: SeriesModel, theta: FloatArray, protocol: Protocol) -> FloatArray:
    """Return d shape / d theta [voxel, volume, param] exact to round-off: Im f(theta + i h) / h.

    Costs one complex prediction per parameter. Needs a ``shape`` that is analytic (no abs, min, max of theta).

    References
    ----------
    Squire and Trapp 1998 doi:10.1137/S003614459631241X
    """
    columns = []
    scale = np.abs(model.bounds).max(axis=1)
    for p in range(theta.shape[1]):
        moved = theta.astype(complex)
        moved[:, p] += 1j * _STEP * scale[p]
        columns.append(np.imag(model.shape(moved, protocol)) / (_STEP * scale[p]))
    return np.stack(columns, axis=2)


def split_parameters(
    where: str,
    table: Mapping[str, tuple[str, float, float]],
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> tuple[tuple[str, ...], tuple[str, ...], FloatArray]:
    """Return names, units and bounds [param, 2] of the parameters in `table` that are not in `fixed`.

    Raises
    ------
    InputError
        If a name is unknown, a fixed value is negative, or a bound is not finite and ascending.
    """
    for name in (*fixed, *bounds):
        if name not in table:
            raise InputError(where, got=repr(name), expected="a parameter of the model", hint=nearest(name, table))
    for name, value in fixed.items():
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{where}.{name}", got=value, expected="a finite value >= 0")
    free = tuple(name for name in table if name not in fixed)
    limits = np.array([bounds.get(name, table[name][1:]) for name in free], float).reshape(-1, 2)
    for name, (low, high) in zip(free, limits, strict=True):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"{where}.bounds.{name}", got=(float(low), float(high)), expected="finite low < high")
    return free, tuple(table[name][0] for name in free), limits
