"""Pump back towards blood (P-gp, BCRP, MRP): Michaelis-Menten on the membrane, driven by the free drug on its brain side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from krogh.barrier.routes.base import Flux, positive_part

__all__ = ["Efflux"]


@dataclass(frozen=True, slots=True)
class Efflux:
    """Pump from side 2 to side 1: J = -Vmax u2 / (Km + u2).

    On the luminal membrane side 2 is the cytosol of the endothelium and side 1 the blood; on the abluminal one, the
    basement membrane and the cytosol.

    Attributes
    ----------
    vmax_mol_m2_s, km_mol_m3 : array, broadcast to (batch, species, face)
        Capacity per barrier area [mol/(m2 s)] and Michaelis constant [mol/m3], > 0.
    activity : array
        Share of the pump that works, 0 (knocked out) .. 1 (healthy) or above (induced).
    """

    vmax_mol_m2_s: Any
    km_mol_m3: Any
    activity: Any = 1.0
    linear: ClassVar[bool] = False
    name: str = "efflux"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return J = -Vmax u2 / (Km + u2)."""
        capacity = self.activity * self.vmax_mol_m2_s
        crowd = self.km_mol_m3 + positive_part(u_brain)
        outward = capacity * u_brain / crowd
        d_brain = -capacity * self.km_mol_m3 / crowd**2
        nothing = 0.0 * u_blood
        return Flux(nothing, outward, nothing, d_brain)
