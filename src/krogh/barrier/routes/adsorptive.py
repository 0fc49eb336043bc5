"""Cross by adsorptive transcytosis: cationic cargo sticks to the charged surface and is carried over in vesicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from krogh.barrier.routes.base import Flux, positive_part

__all__ = ["AdsorptiveTranscytosis"]


@dataclass(frozen=True, slots=True)
class AdsorptiveTranscytosis:
    """Cross with the vesicle membrane and its fluid: J = v (u1 - u2) + k [ B u1/(Ka + u1) - B u2/(Ka + u2) ].

    Attributes
    ----------
    turnover_per_s : array
        Rate k at which surface is carried across [1/s].
    sites_mol_m2 : array
        Anionic sites B per barrier area [mol/m2].
    affinity_mol_m3 : array
        Half-saturation Ka [mol/m3], > 0.
    fluid_m_s : array
        Fluid carried along, v = vesicle volume per area and time [m/s]: the slow leak of any macromolecule.
    """

    turnover_per_s: Any
    sites_mol_m2: Any
    affinity_mol_m3: Any
    fluid_m_s: Any = 0.0
    linear: ClassVar[bool] = False
    name: str = "adsorptive"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return surface-bound plus fluid-phase transport."""
        top = self.turnover_per_s * self.sites_mol_m2
        ka = self.affinity_mol_m3
        crowd1, crowd2 = ka + positive_part(u_blood), ka + positive_part(u_brain)
        return Flux(
            top * u_blood / crowd1 + self.fluid_m_s * u_blood,
            top * u_brain / crowd2 + self.fluid_m_s * u_brain,
            top * ka / crowd1**2 + self.fluid_m_s,
            -top * ka / crowd2**2 - self.fluid_m_s,
        )
