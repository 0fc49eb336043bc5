"""Turn the sourced values of one compound into the numbers that its routes need.

A measured permeability belongs to the whole path from blood to interstitium: two membranes in series with the cytosol
between them and the basement membrane and end-feet behind. The membranes get the value that makes this series equal
the measurement; a test closes that circle for every compound of the library.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import brentq

from krogh.barrier.physiology import Physiology
from krogh.barrier.routes.paracellular import Pore, pore_permeability
from krogh.compounds.compound import Compound, Permeability
from krogh.compounds.diffusivity import aqueous_diffusivity
from krogh.compounds.ionisation import neutral_fraction
from krogh.errors import InputError

__all__ = ["HEALTHY_PORE", "Crossing", "barrier_permeability", "crossing", "target_permeability"]

#: Fitted to the rat in-situ permeabilities of mannitol, sucrose and inulin (Smith 2024, doi:10.1186/s12987-024-00584-y) with the
#: diffusivities of the library; tests/barrier/test_paracellular.py repeats the fit.
HEALTHY_PORE = Pore(radius_m=1.0284e-8, area_fraction=6.787e-7)

#: Methods that measure the lipid membrane alone; the leak between the cells comes on top.
_MEMBRANE_ONLY = ("PAMPA", "in silico")
_LARGEST_RATIO = 1e3


@dataclass(frozen=True, slots=True)
class Crossing:
    """Hold the passive part of a compound's crossing: effective values at plasma pH, ``permeant`` fractions relative to it.

    Attributes
    ----------
    target_m_s : float or None
        Permeability that the barrier as a whole is to have; None where nothing was measured (carrier only).
    membrane_m_s : float
        Permeability of each endothelial membrane for the free drug at plasma pH.
    paracellular_m_s : float
        Leak of the healthy barrier.
    permeant_cell, permeant_interstitium : float
        Neutral fraction there over that in plasma.
    diffusivity_m2_s : float
        In water at 37 C.
    notes : tuple of str
        What could not be honoured, in words.
    """

    target_m_s: float | None
    membrane_m_s: float
    paracellular_m_s: float
    permeant_cell: float
    permeant_interstitium: float
    diffusivity_m2_s: float
    notes: tuple[str, ...] = ()


def target_permeability(compound: Compound, measured: Permeability, ph_plasma: float) -> float:
    """Return P for free drug at plasma pH [m/s]: intrinsic values times the neutral fraction, apparent ones as they are."""
    if measured.basis == "intrinsic":
        return measured.p_m_s.value * neutral_fraction(compound, ph_plasma)
    return measured.p_m_s.value


def barrier_permeability(
    p_membrane: float, p_leak: float, cell: float, interstitium: float, d: float, physiology: Physiology
) -> float:
    """Return the initial uptake permeability of the assembled barrier [m/s]: flux into an empty brain over free in plasma.

    ``P = (P_e + P_l) / (1 + (phi_e P_e + P_l) R)`` with ``1/P_e = 2/P_m + phi_c h/D`` and R the resistance of basement
    membrane and end-feet.
    """
    cytosol = cell * physiology.endothelium_thickness_m.value / d
    endothelium = 1.0 / (2.0 / p_membrane + cytosol) if p_membrane > 0 else 0.0
    basement = physiology.basement_membrane_thickness_m.value / (physiology.basement_membrane_hindrance.value * d)
    behind = basement + 1.0 / endfoot_permeability(p_membrane * interstitium, d, physiology)
    return (endothelium + p_leak) / (1.0 + (interstitium * endothelium + p_leak) * behind)


def endfoot_permeability(p_membrane: float, d: float, physiology: Physiology) -> float:
    """Return the permeability of the end-foot sheath [m/s]: the gaps, D C_M, beside two cell membranes in series."""
    return d * physiology.endfoot_gap_coefficient_1_m.value + p_membrane / 2.0


def crossing(compound: Compound, physiology: Physiology, measured: Permeability | None) -> Crossing:
    """Return the passive part of a compound's crossing.

    Parameters
    ----------
    compound : Compound
        What crosses.
    physiology : Physiology
        What is crossed.
    measured : Permeability or None
        The measurement to honour; None where a carrier is all that is known.

    Raises
    ------
    InputError
        If neither a diffusivity nor a molar mass is known.
    """
    d = aqueous_diffusivity(compound).value
    in_plasma = neutral_fraction(compound, physiology.ph_plasma.value)
    if in_plasma <= 0:
        raise InputError(f"compound '{compound.name}'", got="no neutral fraction at plasma pH", hint="check its pKa values")
    cell = neutral_fraction(compound, physiology.ph_cell.value) / in_plasma
    interstitium = neutral_fraction(compound, physiology.ph_interstitium.value) / in_plasma
    leak = pore_permeability(d, HEALTHY_PORE)
    if measured is None:
        return Crossing(None, 0.0, leak, cell, interstitium, d)
    target = target_permeability(compound, measured, physiology.ph_plasma.value)

    counted_leak = 0.0 if measured.method in _MEMBRANE_ONLY else leak

    def miss(p_membrane: float) -> float:
        return barrier_permeability(p_membrane, counted_leak, cell, interstitium, d, physiology) - target

    if miss(0.0) >= 0:
        leak_alone = _leak_for(target, d, physiology)
        note = f"measured permeability {target:.3g} m/s is below the pore leak {leak:.3g} m/s: taken as all leak"
        return Crossing(target, 0.0, leak_alone, cell, interstitium, d, (note,))
    top = _LARGEST_RATIO * d / physiology.endothelium_thickness_m.value
    if miss(top) <= 0:
        reached = miss(top) + target
        note = (
            f"measured permeability {target:.3g} m/s is beyond what diffusion through cytosol and basement membrane allows: "
            f"membranes left open, barrier {reached:.3g} m/s (uptake is limited by blood flow anyway)"
        )
        return Crossing(target, top, leak, cell, interstitium, d, (note,))
    p_membrane = float(brentq(miss, 0.0, top, xtol=1e-300, rtol=1e-15, maxiter=500))
    whole = barrier_permeability(p_membrane, leak, cell, interstitium, d, physiology)
    return Crossing(whole, p_membrane, leak, cell, interstitium, d)


def _leak_for(target: float, d: float, physiology: Physiology) -> float:
    """Return the leak that gives `target` with closed membranes."""
    basement = physiology.basement_membrane_thickness_m.value / (physiology.basement_membrane_hindrance.value * d)
    behind = basement + 1.0 / endfoot_permeability(0.0, d, physiology)
    return target / (1.0 - target * behind)
