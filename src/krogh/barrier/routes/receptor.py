"""Cross by receptor-mediated transcytosis (TfR, insulin receptor): bind, be taken in, be released on the other side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from krogh.barrier.routes.base import Flux, positive_part

__all__ = ["ReceptorTranscytosis"]


@dataclass(frozen=True, slots=True)
class ReceptorTranscytosis:
    """Cross inside vesicles on a receptor, binding and sorting taken as fast against the doses (quasi-steady).

    ``J = k_in R s [ g1 u1/(Kd + u1 + Kd L1) - g2 u2/(Kd + u2 + Kd L2) ]``: receptors R on each face (shares g1, g2), dissociation
    constant Kd, endogenous ligand at ``L = C_ligand / Kd_ligand``, internalisation rate k_in, and the share s of internalised
    receptors whose cargo is released on the far side (the rest is recycled or degraded; degradation is a metabolism).

    Attributes
    ----------
    internalisation_per_s : array
        Rate at which an occupied receptor is taken in [1/s].
    receptor_mol_m2 : array
        Receptors per barrier area [mol/m2].
    kd_mol_m3 : array
        Dissociation constant of the compound [mol/m3], > 0.
    sorted_share : array
        Share that is released on the far side, 0..1.
    luminal_share, abluminal_share : array
        Share of the receptors on each face.
    ligand_blood, ligand_brain : array
        Occupancy L of the endogenous ligand, dimensionless.
    """

    internalisation_per_s: Any
    receptor_mol_m2: Any
    kd_mol_m3: Any
    sorted_share: Any = 1.0
    luminal_share: Any = 0.5
    abluminal_share: Any = 0.5
    ligand_blood: Any = 0.0
    ligand_brain: Any = 0.0
    linear: ClassVar[bool] = False
    name: str = "receptor"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return the quasi-steady fluxes of the receptor cycle."""
        capacity = self.internalisation_per_s * self.receptor_mol_m2 * self.sorted_share
        kd1 = self.kd_mol_m3 * (1.0 + self.ligand_blood)
        kd2 = self.kd_mol_m3 * (1.0 + self.ligand_brain)
        top1, top2 = capacity * self.luminal_share, capacity * self.abluminal_share
        crowd1, crowd2 = kd1 + positive_part(u_blood), kd2 + positive_part(u_brain)
        return Flux(top1 * u_blood / crowd1, top2 * u_brain / crowd2, top1 * kd1 / crowd1**2, -top2 * kd2 / crowd2**2)
