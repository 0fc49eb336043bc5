"""Draw the frozen networks of a layer: how steep their features are, and on which maps of the depth they lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from krogh.pinn.basis import Clock, Columns, Depth, Feature, Joined, Kernels, Tanh
from krogh.pinn.physics import Sheet, Slab

__all__ = ["Draw", "Size", "layer_columns"]

_REACH_T, _REACH_FRONT, _REACH_FLAT = 2.0, 2.2, 0.4
_ORDERS = 6
#: An older front that is wider by this needs features of its own.
_WIDER = 3.0


@dataclass(frozen=True, slots=True)
class Size:
    """Say how large the networks of a window are: features per field; points follow from it."""

    features: int = 80

    @property
    def depths(self) -> int:
        """Return the points across a layer."""
        return self.features // 16 + 6

    @property
    def times(self) -> int:
        """Return the points along time inside a layer."""
        return self.features // 6 + 10

    @property
    def face_times(self) -> int:
        """Return the points along time at a face."""
        return self.features // 4 + 20


#: What networks a layer has: (slab, layer, species, clock, size, first order of its heat kernels or None, random numbers).
Draw = Callable[[Slab, int, int, Clock, Size, int | None, np.random.Generator], Columns]


def layer_columns(
    slab: Slab, i: int, s: int, clock: Clock, size: Size, entered: int | None, rng: np.random.Generator, rate: float = 0.0
) -> Columns:
    """Return frozen features for one layer.

    `entered` is the first order of its heat kernels, None without; `rate` says how fast what varies along the barrier evens out,
    over a depth of ``1 / sqrt(rate)`` [1/m2].
    """
    sheet = slab.sheets[i]
    # fronts enter from the blood side, and the thinnest of all species sets the shared points
    late = max(clock.a_s, 0.1 * clock.b_s)
    front = float(np.sqrt(np.min(sheet.diffusivity / sheet.capacity) * late))
    thin = sheet.thickness > 3 * front
    spread_out = math.sqrt(4 * sheet.diffusivity[s] / sheet.capacity[s] * max(clock.a_s, 0.02 * clock.b_s))
    if rate:
        front, spread_out = (1.0 / math.hypot(1.0 / x, math.sqrt(rate)) for x in (front, spread_out))
    depth = Depth(sheet.thickness, front if sheet.thickness > 3 * front else None)
    reach = _REACH_FRONT if depth.front_m else min(_REACH_FRONT, max(_REACH_FLAT, sheet.thickness / spread_out))
    carried = _carried(sheet, clock, front, depth)

    def network() -> Feature:
        own = Tanh(size.features, reach, _REACH_T, rng)
        if not carried:
            return own
        return Joined(depth, ((depth, own), *((d, Tanh(size.features // 2, _REACH_FRONT, _REACH_T, rng)) for d in carried)))

    fields = [network() for _ in range(2 + len(sheet.pools))]
    orders = range(entered, _ORDERS + 1) if entered is not None and (clock.a_s == 0 or thin) else range(0)
    kernels = Kernels(orders, sheet.diffusivity[s] / sheet.capacity[s], sheet.loss[s] / sheet.capacity[s], clock.b_s)
    across = float(sheet.spread * sheet.diffusivity[s])
    return Columns(clock, depth, fields[0], fields[1], tuple(fields[2:]), kernels, across, carried, sheet.growth)


def _carried(sheet: Sheet, clock: Clock, front: float, depth: Depth) -> tuple[Depth, ...]:
    """Return the maps of what earlier doses left, as far as it is much wider than the front of the last one."""
    out: list[Depth] = []
    if depth.front_m is None:
        return ()
    for age in sorted(clock.ages_s):
        wide = float(np.sqrt(np.min(sheet.diffusivity / sheet.capacity) * (age + clock.b_s)))
        if wide > _WIDER * front:
            front = wide
            out.append(Depth(sheet.thickness, wide if sheet.thickness > 3 * wide else None))
    return tuple(out[:1] + out[1:][-1:])
