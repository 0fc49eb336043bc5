"""Let the tissue of a block differ from cell to cell: diffusivity, binding and uptake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from krogh.errors import InputError
from krogh.transport.block.model import BlockModel

__all__ = ["TissueMaps", "Uneven", "even_maps", "layered", "spread_maps"]


@dataclass(frozen=True)
class TissueMaps:
    """Say how cells differ from their layer; S species, F = ny nz cells of a plane.

    Attributes
    ----------
    diffusivity, storage : arrays (S, nx, F)
        Factors on the layer's diffusivity and capacity (volume fraction / unbound fraction), > 0.
    uptake : array (S, nx, F)
        First-order uptake of free drug beyond the layer's own loss, per volume of layer [1/s], >= 0.
    leaf_storage, leaf_exchange : tuples of arrays (S, n, F)
        The same for the cells inside the tissue: factors on their capacity (> 0) and on their exchange (>= 0).
    """

    diffusivity: np.ndarray
    storage: np.ndarray
    uptake: np.ndarray
    leaf_storage: tuple[np.ndarray, ...] = ()
    leaf_exchange: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        """Refuse maps that are none."""
        for name, values in (("diffusivity", [self.diffusivity]), ("storage", [self.storage, *self.leaf_storage])):
            for array in values:
                _check(f"map of {name}", array, positive=True)
        for name, values in (("uptake", [self.uptake]), ("exchange", list(self.leaf_exchange))):
            for array in values:
                _check(f"map of {name}", array, positive=False)

    @property
    def uniform(self) -> bool:
        """Return whether every plane is the same everywhere."""
        whole = (self.diffusivity, self.storage, self.uptake, *self.leaf_storage, *self.leaf_exchange)
        return all(bool(np.all(x == x[:, :, :1])) for x in whole)


def _check(where: str, values: np.ndarray, *, positive: bool) -> None:
    bad = values[~(np.isfinite(values) & ((values > 0) if positive else (values >= 0)))]
    if bad.size:
        expected = "finite values > 0" if positive else "finite values >= 0"
        raise InputError(where, got=f"a value of {bad.flat[0]:g} in {bad.size} cells", expected=expected)


def even_maps(model: BlockModel) -> TissueMaps:
    """Return maps that change nothing."""
    s, (nx, _, _), faces = len(model.species), model.grid, model.faces
    ones = np.ones((s, nx, faces))
    leaves = tuple(np.ones((s, leaf.stop - leaf.start, faces)) for leaf in model.leaves)
    return TissueMaps(ones, ones, np.zeros_like(ones), leaves, leaves)


@dataclass(frozen=True)
class Uneven:
    """The coefficients of a block, cell by cell.

    Attributes
    ----------
    mass, taken, loss : arrays (S, nx, F)
        Capacity times width [m]; everything first order that leaves a cell, and the part of it that is lost [m/s].
    given : array (S, nx, F)
        What a unit concentration of the blood reservoir brings [m/s].
    tx, ty, tz : arrays (S, nx, ny, nz)
        Conductance to the cell before, 0 at the first one [m3/s].
    port_half : array (P, S, F)
        Resistance of the half cell behind each port [s/m].
    leaf_mass, leaf_exchange : tuples of arrays (S, n, F)
        Per barrier area [m], [m/s].
    """

    mass: np.ndarray
    taken: np.ndarray
    loss: np.ndarray
    given: np.ndarray
    tx: np.ndarray
    ty: np.ndarray
    tz: np.ndarray
    port_half: np.ndarray
    leaf_mass: tuple[np.ndarray, ...]
    leaf_exchange: tuple[np.ndarray, ...]


def spread_maps(model: BlockModel, maps: TissueMaps) -> Uneven:
    """Return the coefficients of `model` with `maps` on them; fluxes see half of each cell in series.

    Raises
    ------
    InputError
        If a map does not have the shape of the block.
    """
    shape = (len(model.species), model.grid[0], model.faces)
    for name, array in (("diffusivity", maps.diffusivity), ("storage", maps.storage), ("uptake", maps.uptake)):
        if array.shape != shape:
            raise InputError(f"map of {name}", got=f"shape {array.shape}", expected=f"{shape} (species, x, y z)")
    width, factor = model.mesh.width_m, maps.diffusivity
    half = (width**2 / (2 * model.lateral))[:, :, None] / factor
    inflow = model.inflow[:, :, None] * np.ones(model.faces)
    if model.open_face:
        inflow[:, 0] *= factor[:, 0]
    loss = model.loss[:, :, None] + maps.uptake * model.volume_m[:, None]
    grid = (len(model.species), *model.grid)
    ty, tz = _lateral(model, (model.lateral[:, :, None] * factor).reshape(grid))
    tx = np.zeros(shape)
    tx[:, 1:] = np.where(model.link[:, :, None] > 0, 1.0 / (half[:, 1:] + half[:, :-1]), 0.0) * model.area_m2.ravel()
    return Uneven(
        mass=model.mass[:, :, None] * maps.storage, taken=loss + inflow, loss=loss, given=inflow,
        tx=tx.reshape(grid), ty=ty, tz=tz, port_half=half[:, model.port_cell].transpose(1, 0, 2).copy(),
        leaf_mass=_leaves([leaf.mass for leaf in model.leaves], maps.leaf_storage),
        leaf_exchange=_leaves([leaf.exchange for leaf in model.leaves], maps.leaf_exchange),
    )  # fmt: skip


def layered(model: BlockModel, maps: TissueMaps) -> BlockModel:
    """Return `model` with maps that are the same all over each plane worked into its layers."""
    factor, storage, uptake = (x[:, :, 0] for x in (maps.diffusivity, maps.storage, maps.uptake))
    half = model.mesh.width_m**2 / (2 * model.lateral * factor)
    inflow = model.inflow.copy()
    if model.open_face:
        inflow[:, 0] *= factor[:, 0]
    leaves = (
        replace(leaf, mass=leaf.mass * bound[:, :, 0], exchange=leaf.exchange * exchange[:, :, 0])
        for leaf, bound, exchange in zip(model.leaves, maps.leaf_storage, maps.leaf_exchange, strict=True)
    )
    return replace(
        model, mass=model.mass * storage, lateral=model.lateral * factor, inflow=inflow,
        link=np.where(model.link > 0, 1.0 / (half[:, 1:] + half[:, :-1]), 0.0),
        loss=model.loss + uptake * model.volume_m, port_half=half[:, model.port_cell].T.copy(), leaves=tuple(leaves),
    )  # fmt: skip


def _lateral(model: BlockModel, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the conductances along y and z from D times width (S, nx, ny, nz)."""
    dy, dz = model.y.width_m[:, None], model.z.width_m
    ty, tz = np.zeros_like(spread), np.zeros_like(spread)
    by_y, by_z = dy / (2 * spread), dz / (2 * spread)
    ty[:, :, 1:] = dz / (by_y[:, :, 1:] + by_y[:, :, :-1])
    tz[..., 1:] = dy / (by_z[..., 1:] + by_z[..., :-1])
    return ty, tz


def _leaves(values: Sequence[np.ndarray], factors: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(v[:, :, None] * f for v, f in zip(values, factors, strict=True))
