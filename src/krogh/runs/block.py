"""Turn the settings of a block into its problem: size, lumen, and maps from patches, pores, images or functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from krogh.barrier.member import Member
from krogh.barrier.model import Barrier
from krogh.barrier.routes import with_density
from krogh.errors import InputError
from krogh.runs.block_tissue import with_tissue
from krogh.runs.config import BlockConfig, PatternConfig
from krogh.transport.block.axis import Axis, uniform_axis
from krogh.transport.block.maps import from_function, from_image, from_numbers, patch, pores
from krogh.transport.block.problem import BlockProblem, Lumen
from krogh.transport.cylinder import Capillary
from krogh.transport.march import BloodSource
from krogh.units import parse_quantity

__all__ = ["block_problem", "frame_times"]


def block_problem(
    settings: BlockConfig,
    barrier: Barrier,
    blood: BloodSource,
    duration_s: float,
    members: Sequence[Member],
    capillary: Capillary,
    maps: Mapping[str, np.ndarray],
) -> BlockProblem:
    """Return the problem of a block.

    The lumen has the volume per wall area of `capillary` (half its radius) and is renewed once per transit. `maps` holds the
    images, maps and volumes that the settings name, by file name.

    Raises
    ------
    InputError
        If a length is no length, or a pattern does not fit.
    """
    y = uniform_axis(parse_quantity(settings.width, "length", where="block.width"), settings.cells_y)
    z = uniform_axis(parse_quantity(settings.height, "length", where="block.height"), settings.cells_z)
    densities: dict[str, np.ndarray] = {}
    for pattern in settings.patterns:
        density = _density(pattern, y, z, maps)
        barrier = with_density(barrier, pattern.route, density)
        densities[pattern.route] = densities.get(pattern.route, 1.0) * density
    lumen = None
    if settings.lumen == "perfused":
        d = np.array([[m.crossing.diffusivity_m2_s for m in members]])
        lumen = Lumen(capillary.radius_m / 2, capillary.velocity_m_s / capillary.length_m, d)
    problem = BlockProblem(
        barrier, blood, duration_s, y, z, cells=settings.cells, lumen=lumen, fu_plasma=getattr(blood, "fu", 1.0),
        frames_s=frame_times(duration_s, settings.frames), densities=densities,
    )  # fmt: skip
    return with_tissue(problem, settings.tissue, maps)


def frame_times(duration_s: float, count: int) -> np.ndarray:
    """Return `count` times [s] for whole fields: geometric from a second after the first dose, the last at the end."""
    first = min(1.0, 0.01 * duration_s)
    return np.geomspace(first, duration_s, count) if count > 1 else np.array([duration_s])


def _density(pattern: PatternConfig, y: Axis, z: Axis, maps: Mapping[str, np.ndarray]) -> np.ndarray:
    where = f"pattern of {pattern.route}"
    if pattern.shape == "patch":
        middle = float(y.edge_m[-1]) / 2, float(z.edge_m[-1]) / 2
        center = middle
        if pattern.center is not None:
            center = tuple(parse_quantity(c, "length", where=f"{where}, center") for c in pattern.center)  # type: ignore[assignment]
        return patch(y, z, center, parse_quantity(pattern.radius, "length", where=f"{where}, radius"), pattern.factor)
    if pattern.shape == "pores":
        radius = parse_quantity(pattern.radius, "length", where=f"{where}, radius")
        return pores(y, z, pattern.count, radius, pattern.factor, pattern.seed)
    if pattern.shape == "function":
        if not callable(pattern.function):
            raise InputError(
                where, got="no function", expected="function=density(y_m, z_m)", hint="from Python; or use a map file"
            )
        return from_function(pattern.function, y, z)
    if pattern.shape == "values":
        if pattern.values is None:
            raise InputError(where, got="no values", expected="values = [[1, 0], [0, 100]], rows along y")
        return from_numbers(pattern.values, y, z, where=f"{where}, values")
    if pattern.file is None or pattern.file not in maps:
        got = "no file" if pattern.file is None else f"'{pattern.file}', which was not read"
        raise InputError(where, got=got, expected="file = 'density.png' (image) or 'density.csv' (map)")
    values = maps[pattern.file]
    if pattern.shape == "image":
        return from_image(values, y, z, pattern.low, pattern.high, where=pattern.file)
    if values.shape != (y.size, z.size):
        got = " x ".join(str(n) for n in values.shape)
        raise InputError(pattern.file, got=f"{got} values", expected=f"{y.size} x {z.size}, the cells of the block")
    return values
