"""Turn the settings of an uneven tissue into maps over its cells: balls, images, values, functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from krogh.errors import InputError, nearest
from krogh.runs.config import TissueConfig
from krogh.transport.block.problem import BlockProblem
from krogh.transport.block.uneven import TissueMaps, even_maps
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
    model = problem.model()
    even = even_maps(model)
    maps = TissueMaps(
        even.diffusivity.copy(), even.storage.copy(), even.uptake.copy(),
        tuple(x.copy() for x in even.leaf_storage), tuple(x.copy() for x in even.leaf_exchange),
    )  # fmt: skip
    for setting in settings:
        target, start, stop = _target(problem, setting, maps)
        edge = np.concatenate([[0.0], np.cumsum(problem.mesh.width_m[start:stop])])
        region = Region(edge, problem.y, problem.z)
        where = f"{setting.quantity} of {setting.medium}"
        values = _values(setting, region, volumes, where)
        _check(values, setting, where)
        species = _species(problem, setting)
        part = target[species]
        if setting.quantity == "uptake":
            part += parse_quantity(setting.rate, "rate", where=f"{where}, rate") * values
        else:
            part *= values
    return replace(problem, tissue=replace(maps))  # checked as a whole


def _target(problem: BlockProblem, setting: TissueConfig, maps: TissueMaps) -> tuple[np.ndarray, int, int]:
    """Return the map that a setting changes, (S, n, F) as a view, and the cells along x that it covers."""
    whole = problem.whole
    layers = {layer.name: i for i, layer in enumerate(whole.layers) if layer.name != "lumen"}
    cells = {cell.name: k for k, cell in enumerate(whole.cells)}
    if setting.medium not in layers and setting.medium not in cells:
        raise InputError("tissue", got=f"medium '{setting.medium}'", hint=nearest(setting.medium, [*layers, *cells]))
    layer = layers[setting.medium] if setting.medium in layers else whole.cells[cells[setting.medium]].layer
    own = np.flatnonzero(problem.mesh.layer == layer)
    start, stop = int(own[0]), int(own[-1]) + 1
    known = ("diffusivity", "storage", "uptake") if setting.medium in layers else ("storage", "exchange")
    if setting.quantity not in known:
        raise InputError(f"tissue of {setting.medium}", got=setting.quantity, expected=" or ".join(known))
    if setting.medium in layers:
        return getattr(maps, setting.quantity)[:, start:stop], start, stop
    return getattr(maps, f"leaf_{setting.quantity}")[cells[setting.medium]], start, stop


def _species(problem: BlockProblem, setting: TissueConfig) -> slice:
    names = problem.barrier.species
    if setting.compound is None:
        return slice(None)
    if setting.compound not in names:
        raise InputError("tissue", got=f"compound '{setting.compound}'", hint=nearest(setting.compound, names))
    k = names.index(setting.compound)
    return slice(k, k + 1)


def _values(setting: TissueConfig, region: Region, volumes: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    """Return the map of one setting on the cells of its medium, (n, F)."""
    if setting.shape in ("uniform", "ball"):
        _check(np.array([setting.factor]), setting, f"{where}, factor")
    if setting.shape == "uniform":
        found = np.full(region.shape, setting.factor)
    elif setting.shape == "ball":
        outside = 0.0 if setting.quantity == "uptake" else 1.0
        found = ball(region, _center(setting, region, where), parse_quantity(setting.radius, "length", where=f"{where}, radius"),
                     setting.factor, outside)  # fmt: skip
    elif setting.shape == "values":
        found = from_volume(_numbers(setting.values, where), region, where=where)
    elif setting.shape == "function":
        if not callable(setting.function):
            raise InputError(where, got="no function", expected="function=f(depth_m, y_m, z_m)",
                             hint="from Python; or use a volume file")  # fmt: skip
        found = from_function(setting.function, region)
    else:
        if setting.file is None or setting.file not in volumes:
            got = "no file" if setting.file is None else f"'{setting.file}', which was not read"
            raise InputError(where, got=got, expected="file = 'tissue.npy' or 'tissue.nii.gz' (depth, y, z)")
        found = from_volume(volumes[setting.file], region, where=setting.file)
    return found.reshape(found.shape[0], -1)


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
