"""Turn the settings of an uneven tissue into maps over its cells: balls, images, values, functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from krogh.errors import InputError, nearest
from krogh.runs.config import TissueConfig
from krogh.transport.block.parts import TissuePart, draw
from krogh.transport.block.problem import BlockProblem
from krogh.transport.block.volumes import Region, ball, from_function, from_volume
from krogh.units import parse_quantity

__all__ = ["with_tissue"]


def with_tissue(problem: BlockProblem, settings: Sequence[TissueConfig], volumes: Mapping[str, np.ndarray]) -> BlockProblem:
    """Return `problem` with what the settings draw on its tissue; factors multiply, uptakes add.

    Raises
    ------
    InputError
        If a medium or compound is unknown, a map does not fit, or a value is not a number or negative.
    """
    if not settings:
        return problem
    parts: list[TissuePart] = []
    for number, setting in enumerate(settings, start=1):
        leaf, start, stop = _target(problem, setting)
        edge = np.concatenate([[0.0], np.cumsum(problem.mesh.width_m[start:stop])])
        region = Region(edge, problem.y, problem.z)
        where = f"{setting.quantity} of {setting.medium}"
        value, floor, shape = _values(setting, region, volumes, where)
        name = f"{setting.medium} tissue-{number} {setting.quantity} {'rate_per_s' if setting.quantity == 'uptake' else 'factor'}"
        part = TissuePart(name, setting.quantity, leaf, start, stop, _species(problem, setting), value, floor, shape)
        _check(part.values(), setting, where)
        parts.append(part)
    return replace(problem, tissue=draw(problem.model(), parts), parts=tuple(parts))


def _target(problem: BlockProblem, setting: TissueConfig) -> tuple[int | None, int, int]:
    """Return the cells inside the tissue that a setting means (or None), and the cells along x that it covers."""
    whole = problem.whole
    layers = {layer.name: i for i, layer in enumerate(whole.layers) if layer.name != "lumen"}
    cells = {cell.name: k for k, cell in enumerate(whole.cells)}
    if setting.medium not in layers and setting.medium not in cells:
        raise InputError("tissue", got=f"medium '{setting.medium}'", hint=nearest(setting.medium, [*layers, *cells]))
    layer = layers[setting.medium] if setting.medium in layers else whole.cells[cells[setting.medium]].layer
    own = np.flatnonzero(problem.mesh.layer == layer)
    known = ("diffusivity", "storage", "uptake") if setting.medium in layers else ("storage", "exchange")
    if setting.quantity not in known:
        raise InputError(f"tissue of {setting.medium}", got=setting.quantity, expected=" or ".join(known))
    return (None if setting.medium in layers else cells[setting.medium]), int(own[0]), int(own[-1]) + 1


def _species(problem: BlockProblem, setting: TissueConfig) -> slice:
    names = problem.barrier.species
    if setting.compound is None:
        return slice(None)
    if setting.compound not in names:
        raise InputError("tissue", got=f"compound '{setting.compound}'", hint=nearest(setting.compound, names))
    k = names.index(setting.compound)
    return slice(k, k + 1)


def _values(
    setting: TissueConfig, region: Region, volumes: Mapping[str, np.ndarray], where: str
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the number of a setting, and its map (n, F) as what is there without it and what grows with it."""
    if setting.shape in ("uniform", "ball"):
        _check(np.array([setting.factor]), setting, f"{where}, factor")
    value, floor = 1.0, np.zeros(region.shape)
    if setting.shape == "uniform":
        value, shape = setting.factor, np.ones(region.shape)
    elif setting.shape == "ball":
        radius = parse_quantity(setting.radius, "length", where=f"{where}, radius")
        shape = ball(region, _center(setting, region, where), radius, 1.0, 0.0)
        value = setting.factor
        floor = floor if setting.quantity == "uptake" else 1.0 - shape
    elif setting.shape == "values":
        shape = from_volume(_numbers(setting.values, where), region, where=where)
    elif setting.shape == "function":
        if not callable(setting.function):
            raise InputError(where, got="no function", expected="function=f(depth_m, y_m, z_m)",
                             hint="from Python; or use a volume file")  # fmt: skip
        shape = from_function(setting.function, region)
    else:
        if setting.file is None or setting.file not in volumes:
            got = "no file" if setting.file is None else f"'{setting.file}', which was not read"
            raise InputError(where, got=got, expected="file = 'tissue.npy' or 'tissue.nii.gz' (depth, y, z)")
        shape = from_volume(volumes[setting.file], region, where=setting.file)
    if setting.quantity == "uptake":  # the rate is the number, the map says where
        value, shape = parse_quantity(setting.rate, "rate", where=f"{where}, rate"), value * shape
    n = shape.shape[0]
    return value, floor.reshape(n, -1), shape.reshape(n, -1)


def _numbers(values: object, where: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (ValueError, TypeError):
        raise InputError(where, got="values that are no numbers", expected="nested lists: depth, y, z") from None


def _center(setting: TissueConfig, region: Region, where: str) -> tuple[float, float, float]:
    if setting.center is None:
        x, y, z = (0.5 * float(e[-1]) for e in region.edges)
    else:
        x, y, z = (parse_quantity(c, "length", where=f"{where}, center") for c in setting.center)
    return x, y, z


def _check(values: np.ndarray, setting: TissueConfig, where: str) -> None:
    positive = setting.quantity in ("diffusivity", "storage")
    bad = values[~(np.isfinite(values) & ((values > 0) if positive else (values >= 0)))]
    if bad.size:
        where = setting.file if setting.shape == "volume" and setting.file else where
        cells = f" in {bad.size} cells" if bad.size > 1 else ""
        raise InputError(where, got=f"a value of {bad.flat[0]:g}{cells}",
                         expected=f"finite values {'>' if positive else '>='} 0 (1 = as the layer)")  # fmt: skip
