"""Cross by a carrier (LAT1, GLUT1): reversible Michaelis-Menten, with competition by whatever else it carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from krogh.barrier.routes.base import Flux, positive_part

__all__ = ["Carrier"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Cross by a symmetric carrier, J_i = Vmax_i [ (a_i/K_i) / (1 + A) - (b_i/K_i) / (1 + B) ].

    ``a`` and ``b`` are the free concentrations on the two sides; ``A = A0 + sum_j a_j/K_j`` and the like for B run over every
    simulated species that uses the carrier, ``A0`` and ``B0`` over the ones that are not simulated (the plasma amino
    acids). Equal concentrations give zero net flux, as a passive carrier must. For one species ``Vmax K (a - b) / ((K
    + a)(K + b))``.

    Attributes
    ----------
    vmax_mol_m2_s : array, broadcast to (batch, species, face)
        Maximal one-way flux [mol/(m2 s)]; 0 for a species that does not use the carrier.
    km_mol_m3 : array, shape (batch, species, 1)
        Michaelis constant [mol/m3]; infinite for a species that does not bind.
    background_blood, background_brain : array
        A0 and B0, dimensionless.
    """

    vmax_mol_m2_s: Any
    km_mol_m3: Any
    background_blood: Any = 0.0
    background_brain: Any = 0.0
    linear: ClassVar[bool] = False
    name: str = "carrier"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return the fluxes and, for more than one species, the full (species, species) derivatives."""
        inward, d_blood = self._side(u_blood, self.background_blood)
        outward, d_brain = self._side(u_brain, self.background_brain)
        return Flux(inward, outward, d_blood, -d_brain)

    def _side(self, u: Any, background: Any) -> tuple[Any, Any]:
        bound = u / self.km_mol_m3
        crowd = positive_part(bound)
        free_share = 1.0 / (1.0 + background + crowd.sum(1, keepdims=True))
        flux = self.vmax_mol_m2_s * bound * free_share
        slope = self.vmax_mol_m2_s / self.km_mol_m3 * free_share
        if u.shape[1] == 1:
            return flux, slope * (1.0 - crowd * free_share)
        # d J_i / d u_j = delta_ij slope_i - J_i / (K_j (1 + A)), the second term where u_j > 0
        cross = -flux[:, :, None] * (free_share / self.km_mol_m3 * (u > 0))[:, None]
        return flux, cross + np.eye(u.shape[1])[None, :, :, None] * (slope + 0.0 * u)[:, :, None]
