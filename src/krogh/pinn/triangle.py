"""Reduce tall rows to a triangle by QR, on the processor or a GPU, in double precision or single."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from krogh.errors import UsageError
from krogh.transport.block.device.place import place_of

__all__ = ["ON_CPU", "Triangle", "triangle_on"]

PRECISIONS = ("float64", "mixed")


@dataclass(frozen=True)
class Triangle:
    """Hold where QR runs, and whether the steps of hidden weights are reduced in single precision.

    Output weights are always solved for in double precision: in single, what they cancel would be lost.
    """

    device: str = "cpu"
    mixed: bool = False
    single: bool = False

    @property
    def of_steps(self) -> Triangle:
        """Return the one that reduces the steps of hidden weights."""
        return replace(self, single=self.mixed)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return R (column or row, column) of `rows` = Q R."""
        import torch

        at = torch.from_numpy(rows)
        if self.device != "cpu" or self.single:
            at = at.to(self.device, torch.float32 if self.single else torch.float64)
        found = torch.linalg.qr(at, mode="r")[1].cpu().numpy()
        return found.astype(np.float64) if self.single else found


ON_CPU = Triangle()


def triangle_on(device: str, precision: str) -> Triangle:
    """Return the reduction for a device and a precision, checked.

    Raises
    ------
    UsageError
        If torch does not see that device, or a name is unknown.
    """
    if precision not in PRECISIONS:
        raise UsageError("precision of the networks", got=repr(precision), expected=" or ".join(PRECISIONS))
    place = place_of(device)
    return Triangle(place.device if place else "cpu", precision == "mixed")
