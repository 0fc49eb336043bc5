"""Supply the diffusivity in water of a compound: its own value, or the regression on molar mass of the LeiCNS models."""

from __future__ import annotations

import math

from krogh.compounds.compound import Compound, Value
from krogh.errors import InputError

__all__ = ["aqueous_diffusivity", "leicns_diffusivity"]

_LARGEST_KG_MOL = 2.0  # the regression was made for small molecules


def leicns_diffusivity(molar_mass_kg_mol: float) -> Value:
    """Return the diffusivity in water at 37 C by log10 D [cm2/s] = -4.113 - 0.4609 log10 MW.

    Parameters
    ----------
    molar_mass_kg_mol : float
        Molar mass [kg/mol] > 0.

    Returns
    -------
    Value
        [m2/s], status C; above 2000 g/mol the source says that the formula is used outside its range.
    """
    if not (math.isfinite(molar_mass_kg_mol) and molar_mass_kg_mol > 0):
        raise InputError("molar mass", got=f"{molar_mass_kg_mol} kg/mol", expected="a number > 0")
    value = 1e-4 * 10.0 ** (-4.113 - 0.4609 * math.log10(molar_mass_kg_mol * 1e3))
    source = "LeiCNS formula log10 D[cm2/s] = -4.113 - 0.4609 log10 MW (Saleh 2021, PMC8405486)"
    if molar_mass_kg_mol > _LARGEST_KG_MOL:
        source += "; outside its range, which is small molecules up to about 2000 g/mol"
    return Value(value, source, "C")


def aqueous_diffusivity(compound: Compound) -> Value:
    """Return the compound's own diffusivity, or the one that :func:`leicns_diffusivity` gives for its molar mass."""
    if compound.diffusivity_m2_s is not None:
        return compound.diffusivity_m2_s
    return leicns_diffusivity(compound.need("molar_mass_kg_mol").value)
