"""Draw the maps of an uneven tissue from parts, each with one number that a gradient can name and move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.transport.block.model import BlockModel
from krogh.transport.block.uneven import TissueMaps, even_maps

__all__ = ["TissuePart", "draw"]


@dataclass(frozen=True)
class TissuePart:
    """Say what one number does to a map: ``floor + value * shape`` on the cells of one medium; factors multiply, uptakes add.

    Attributes
    ----------
    name : str
        What and where, the unit in the last word: ``interstitium tissue-1 diffusivity factor``.
    quantity : str
        ``diffusivity``, ``storage``, ``uptake`` or ``exchange``.
    leaf : int or None
        Which cells inside the tissue; None: the layer itself.
    start, stop : int
        Cells along x.
    species : slice
        Compounds that it holds for.
    value : float
        The number.
    floor, shape : arrays (n, F)
        The map without it, and by how much it grows with it.
    """

    name: str
    quantity: str
    leaf: int | None
    start: int
    stop: int
    species: slice
    value: float
    floor: np.ndarray
    shape: np.ndarray

    @property
    def even(self) -> bool:
        """Return whether it is the same all over each plane."""
        return bool(np.all(self.floor == self.floor[:, :1]) and np.all(self.shape == self.shape[:, :1]))

    def values(self) -> np.ndarray:
        """Return the map (n, F)."""
        return np.asarray(self.floor + self.value * self.shape)


def draw(model: BlockModel, parts: Sequence[TissuePart]) -> TissueMaps:
    """Return the maps of all parts on the cells of a block.

    Raises
    ------
    InputError
        If a value is not finite or negative.
    """
    even = even_maps(model)
    layers = {name: getattr(even, name).copy() for name in ("diffusivity", "storage", "uptake")}
    leaves = {name: tuple(x.copy() for x in getattr(even, f"leaf_{name}")) for name in ("storage", "exchange")}
    for part in parts:
        whole = layers[part.quantity][:, part.start : part.stop] if part.leaf is None else leaves[part.quantity][part.leaf]
        target = whole[part.species]
        if part.quantity == "uptake":
            target += part.values()
        else:
            target *= part.values()
    return TissueMaps(**layers, leaf_storage=leaves["storage"], leaf_exchange=leaves["exchange"])
