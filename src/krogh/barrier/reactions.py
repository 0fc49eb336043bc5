"""Turn one compound into another, or out of the model: enzymes in a layer or a cell, and the volumetric sink of early models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from krogh.barrier.routes.base import positive_part

__all__ = ["MichaelisMenten"]


@dataclass(frozen=True, slots=True)
class MichaelisMenten:
    """Remove at the rate r = k u / (1 + u/Km) per volume of free water, k = Vmax/Km; first order where Km is infinite.

    The same law with k and Km of a pump, spread through the endothelium, is the ``volumetric`` efflux of early models;
    it is kept for comparison only, since it also pumps what never reached the membrane.

    Attributes
    ----------
    rate_per_s : array, broadcast to (batch, species, node)
        k [1/s], >= 0; 0 for a species that is no substrate.
    km_mol_m3 : array
        Michaelis constant [mol/m3]; ``inf`` for first order.
    product : tuple of int or None, one per species
        Index of the species formed, None where it leaves the model.
    """

    rate_per_s: Any
    km_mol_m3: Any
    product: tuple[int | None, ...]
    name: str = "metabolism"

    def rate(self, u: Any) -> tuple[Any, Any]:
        """Return the rate [mol/(m3 s)] and its derivative [1/s] at the free concentration `u` [mol/m3]."""
        saturation = 1.0 / (1.0 + positive_part(u) / self.km_mol_m3)
        return self.rate_per_s * u * saturation, self.rate_per_s * saturation**2
