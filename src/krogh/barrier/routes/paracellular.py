"""Leak between the cells: hindered diffusion through water-filled pores of the tight junctions (Renkin).

One pore radius and one area fraction serve all compounds; they were fitted to the rat in-situ permeabilities of
mannitol, sucrose and inulin (``fit_pore``; the test repeats the fit from the data).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from krogh.barrier.routes.base import Flux
from krogh.errors import InputError

__all__ = ["PORE_LENGTH_M", "Paracellular", "Pore", "fit_pore", "pore_permeability", "renkin_hindrance", "stokes_radius"]

#: Path through the junction: the thickness of the endothelium for which the in-situ porosities were computed [m].
PORE_LENGTH_M = 5e-7
_KT_J = 1.380649e-23 * 310.15
#: Viscosity of water at 37 C [Pa s] (CRC Handbook).
_VISCOSITY_PA_S = 6.92e-4


@dataclass(frozen=True, slots=True)
class Pore:
    """Describe the tight junction by one equivalent pore."""

    radius_m: float
    area_fraction: float
    length_m: float = PORE_LENGTH_M


@dataclass(frozen=True, slots=True)
class Paracellular:
    """Leak through the junctions: J = P_para (u1 - u2), blood to basement membrane, past the endothelial cell."""

    permeability_m_s: Any
    linear: ClassVar[bool] = True
    name: str = "paracellular"

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return J = P (u1 - u2)."""
        d_blood = self.permeability_m_s + 0.0 * u_blood
        d_brain = self.permeability_m_s + 0.0 * u_brain
        return Flux(d_blood * u_blood, d_brain * u_brain, d_blood, -d_brain)


def stokes_radius(diffusivity_m2_s: float) -> float:
    """Return the hydrodynamic radius r = kT / (6 pi eta D) [m] in water at 37 C."""
    if not diffusivity_m2_s > 0:
        raise InputError("diffusivity_m2_s", got=diffusivity_m2_s, expected="a value > 0 m2/s")
    return _KT_J / (6 * math.pi * _VISCOSITY_PA_S * diffusivity_m2_s)


def renkin_hindrance(ratio: float) -> float:
    """Return (1-x)^2 (1 - 2.104 x + 2.09 x^3 - 0.95 x^5), the share of free diffusion left in a pore.

    Parameters
    ----------
    ratio : float
        x = r_solute / r_pore, >= 0; from 1 on nothing passes.

    References
    ----------
    Renkin 1954, doi:10.1085/jgp.38.2.225.
    """
    if ratio >= 1:
        return 0.0
    return (1 - ratio) ** 2 * (1 - 2.104 * ratio + 2.09 * ratio**3 - 0.95 * ratio**5)


def pore_permeability(diffusivity_m2_s: float, pore: Pore, leak_factor: float = 1.0) -> float:
    """Return P = leak * (area fraction) * D * hindrance(r/r_pore) / length [m/s].

    `leak_factor` scales the open area: 1 healthy, above 1 opened junctions (inflammation), below 1 tighter.
    """
    if not (math.isfinite(leak_factor) and leak_factor >= 0):
        raise InputError("leak_factor", got=leak_factor, expected="a finite value >= 0 (1 = healthy)")
    hindrance = renkin_hindrance(stokes_radius(diffusivity_m2_s) / pore.radius_m)
    return leak_factor * pore.area_fraction * diffusivity_m2_s * hindrance / pore.length_m


def fit_pore(diffusivities_m2_s: Sequence[float], permeabilities_m_s: Sequence[float]) -> Pore:
    """Fit one pore radius and area fraction to markers, least squares in log10 P.

    For a given radius the best area fraction is the geometric mean of measured / (D H / L), so the search is
    one-dimensional; a fine grid finds its global minimum.

    Raises
    ------
    InputError
        If there are fewer than two markers or a value is not positive.
    """
    d = np.asarray(diffusivities_m2_s, dtype=float)
    p = np.asarray(permeabilities_m_s, dtype=float)
    if d.size < 2 or d.shape != p.shape or not (np.all(d > 0) and np.all(p > 0)):
        raise InputError("pore markers", got=f"{d.size} diffusivities, {p.size} permeabilities", expected=">= 2 positive pairs")
    largest = max(stokes_radius(x) for x in d)
    best = (math.inf, 0.0, 0.0)
    for radius in largest * np.geomspace(1.002, 100.0, 4000):
        unit = np.array([pore_permeability(x, Pore(radius, 1.0)) for x in d])
        log_fraction = np.mean(np.log10(p / unit))
        misfit = float(np.sum((np.log10(p / unit) - log_fraction) ** 2))
        if misfit < best[0]:
            best = (misfit, float(radius), float(10**log_fraction))
    return Pore(radius_m=best[1], area_fraction=best[2])
