"""Cross the lipid membrane by solubility and diffusion: the permeant (neutral) fraction follows its own difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from krogh.barrier.routes.base import Flux
from krogh.permeability import solubility_diffusion

__all__ = ["Passive", "solubility_diffusion"]


@dataclass(frozen=True, slots=True)
class Passive:
    """Cross passively: J = P (f1 u1 - f2 u2).

    Attributes
    ----------
    permeability_m_s : array, broadcast to (batch, species, face)
        Permeability of the permeant form [m/s], >= 0.
    permeant_blood, permeant_brain : array
        Permeant fraction of the free drug on each side, 0..1 (Henderson-Hasselbalch at that side's pH); equal fractions make
        the route symmetric, unequal ones trap the ionised form.
    """

    permeability_m_s: Any
    permeant_blood: Any = 1.0
    permeant_brain: Any = 1.0
    linear: ClassVar[bool] = True
    name: str = "passive"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return J = P (f1 u1 - f2 u2); linear, so the derivatives are constant."""
        d_blood = self.permeability_m_s * self.permeant_blood + 0.0 * u_blood
        d_brain = self.permeability_m_s * self.permeant_brain + 0.0 * u_brain
        return Flux(d_blood * u_blood, d_brain * u_brain, d_blood, -d_brain)
