"""Draw densities over (y, z): patches, pores, images, functions; each cell holds the mean over its area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from krogh.errors import InputError
from krogh.transport.block.axis import Axis

__all__ = ["from_function", "from_image", "from_numbers", "patch", "pores"]

_SAMPLES = 8


def from_function(density: Callable[[np.ndarray, np.ndarray], np.ndarray], y: Axis, z: Axis) -> np.ndarray:
    """Return the mean of ``density(y_m, z_m)`` over every cell, shape (ny, nz), by 8 x 8 points in each."""
    share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    fine_y, fine_z = ((a.edge_m[:-1, None] + share * a.width_m[:, None]).ravel() for a in (y, z))
    values = np.broadcast_to(np.asarray(density(fine_y[:, None], fine_z[None, :]), dtype=float), (fine_y.size, fine_z.size))
    return values.reshape(y.size, _SAMPLES, z.size, _SAMPLES).mean((1, 3))


def patch(y: Axis, z: Axis, center_m: tuple[float, float], radius_m: float, factor: float) -> np.ndarray:
    """Return 1 outside a disc and `factor` inside, cells on its rim by the share that it covers.

    Raises
    ------
    InputError
        If the disc has no size, is larger than the block, lies outside it, or the factor is no density.
    """
    size = float(y.edge_m[-1]), float(z.edge_m[-1])
    if not (np.isfinite(radius_m) and radius_m > 0):
        raise InputError("radius of a patch", got=f"{radius_m} m", expected="a finite length > 0 m")
    if 2 * radius_m > min(size):
        limit = f"at most {min(size) / 2e-6:g} um: it must fit into the block"
        raise InputError("radius of a patch", got=f"{radius_m * 1e6:g} um", expected=limit)
    if not (0 <= center_m[0] <= size[0] and 0 <= center_m[1] <= size[1]):
        raise InputError("centre of a patch", got=f"({center_m[0] * 1e6:g}, {center_m[1] * 1e6:g}) um",
                         expected=f"within 0..{size[0] * 1e6:g} x 0..{size[1] * 1e6:g} um")  # fmt: skip
    _check_factor(factor)
    covered = from_function(lambda a, b: np.hypot(a - center_m[0], b - center_m[1]) <= radius_m, y, z)
    return 1.0 + (factor - 1.0) * covered


def pores(y: Axis, z: Axis, count: int, radius_m: float, factor: float, seed: int) -> np.ndarray:
    """Return `count` discs at random places; where discs overlap they count once.

    Raises
    ------
    InputError
        If there is none, a disc has no size or is larger than the block, or the factor is no density.
    """
    if count < 1:
        raise InputError("pores", got=count, expected="at least 1")
    rng = np.random.default_rng(seed)
    places = rng.random((count, 2)) * [y.edge_m[-1], z.edge_m[-1]]
    _check_factor(factor)
    if not (np.isfinite(radius_m) and radius_m > 0):
        raise InputError("radius of pores", got=f"{radius_m} m", expected="a finite length > 0 m")
    widest = min(float(y.edge_m[-1]), float(z.edge_m[-1])) / 2
    if radius_m > widest:
        raise InputError("radius of pores", got=f"{radius_m * 1e6:g} um",
                         expected=f"at most {widest * 1e6:g} um: it must fit into the block")  # fmt: skip

    def inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.any([np.hypot(a - p, b - q) <= radius_m for p, q in places], axis=0)

    return 1.0 + (factor - 1.0) * from_function(inside, y, z)


def from_image(pixels: np.ndarray, y: Axis, z: Axis, low: float, high: float, *, where: str = "image") -> np.ndarray:
    """Return densities from grey values 0..1 (black: `low`, white: `high`), first row at y = 0.

    Raises
    ------
    InputError
        If the image is not a whole multiple of the cells in both directions, or holds values that are not finite.
    """
    shape = y.size, z.size
    if pixels.ndim != 2 or any(n < c or n % c for n, c in zip(pixels.shape, shape, strict=True)):
        got = " x ".join(str(n) for n in pixels.shape)
        raise InputError(
            where, got=f"{got} values", expected=f"{shape[0]} x {shape[1]}, the cells of the block, or a whole multiple"
        )
    if not np.all(np.isfinite(pixels)):
        raise InputError(where, got="a value that is not a number", expected="finite values")
    _check_factor(low)
    _check_factor(high)
    grey = pixels.reshape(shape[0], pixels.shape[0] // shape[0], shape[1], pixels.shape[1] // shape[1]).mean((1, 3))
    return low + (high - low) * grey


def from_numbers(values: object, y: Axis, z: Axis, *, where: str = "values") -> np.ndarray:
    """Return densities from rows of numbers along y: one per cell, or one per rectangle of cells.

    Raises
    ------
    InputError
        If they are no table of finite numbers >= 0, or the cells are no whole multiple of it.
    """
    try:
        table = np.asarray(values, dtype=float)
    except (ValueError, TypeError):
        raise InputError(where, got="values that are no table of numbers", expected="rows of equal length, one per y") from None
    shape = y.size, z.size
    if table.ndim != 2 or table.size == 0 or any(c % n for n, c in zip(table.shape, shape, strict=True)):
        got = " x ".join(str(n) for n in table.shape) or "0 x 0"
        expected = f"{shape[0]} x {shape[1]}, the cells of the block, or a table of which they are a whole multiple"
        raise InputError(where, got=f"{got} values", expected=expected)
    for value in table.flat:
        _check_factor(float(value))
    return np.repeat(np.repeat(table, shape[0] // table.shape[0], axis=0), shape[1] // table.shape[1], axis=1)


def _check_factor(factor: float) -> None:
    if not (np.isfinite(factor) and factor >= 0):
        raise InputError("density", got=factor, expected="a finite value >= 0 (1 = as the uniform barrier)")
