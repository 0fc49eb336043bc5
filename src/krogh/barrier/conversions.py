"""Turn the units of the laboratory (per mg protein, per gram of brain) into numbers per area of barrier; holds no data."""

from __future__ import annotations

import math

from krogh.errors import InputError
from krogh.permeability import permeability_from_ps

__all__ = ["permeability_from_in_situ", "vmax_from_brain_mass", "vmax_from_protein"]

_MINUTE_S = 60.0


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(name, got=value, expected="a finite value >= 0")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(name, got=value, expected="a finite value > 0")


def vmax_from_protein(vmax_nmol_min_mg: float, protein_mg_g: float, surface_area_m2_kg: float) -> float:
    """Return Vmax per area of barrier [mol/(m2 s)] from one per protein of isolated capillaries.

    Parameters
    ----------
    vmax_nmol_min_mg : float
        Vmax [nmol/min/mg capillary protein], >= 0.
    protein_mg_g : float
        Capillary protein per brain [mg/g], > 0. It is the number that varies most between laboratories: state it with the result.
    surface_area_m2_kg : float
        Area of barrier per mass of brain [m2/kg], > 0 (100 cm2/g = 10 m2/kg).

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    1 nmol/min/mg with 0.24 mg protein per g brain on 10 m2/kg:

    >>> f"{vmax_from_protein(1.0, 0.24, 10.0):.3g}"
    '4e-10'
    """
    _check(vmax_nmol_min_mg=vmax_nmol_min_mg)
    _check_positive(protein_mg_g=protein_mg_g, surface_area_m2_kg=surface_area_m2_kg)
    return vmax_from_brain_mass(vmax_nmol_min_mg * protein_mg_g, surface_area_m2_kg)


def vmax_from_brain_mass(vmax_nmol_min_g: float, surface_area_m2_kg: float) -> float:
    """Return Vmax per area of barrier [mol/(m2 s)] from one per mass of brain.

    Parameters
    ----------
    vmax_nmol_min_g : float
        Vmax [nmol/min/g brain], >= 0.
    surface_area_m2_kg : float
        Area of barrier per mass of brain [m2/kg], > 0.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    _check(vmax_nmol_min_g=vmax_nmol_min_g)
    _check_positive(surface_area_m2_kg=surface_area_m2_kg)
    per_kg_and_s = vmax_nmol_min_g * 1e-9 * 1e3 / _MINUTE_S
    return per_kg_and_s / surface_area_m2_kg


def permeability_from_in_situ(ps_ml_s_g: float, surface_area_m2_kg: float) -> float:
    """Return P = PS / S [m/s] from an in-situ perfusion.

    Parameters
    ----------
    ps_ml_s_g : float
        Permeability-surface product [mL/s/g brain], >= 0.
    surface_area_m2_kg : float
        Area of barrier per mass of brain [m2/kg], > 0.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> permeability_from_in_situ(0.025, 10.0)
    2.5e-06
    """
    _check(ps_ml_s_g=ps_ml_s_g)
    _check_positive(surface_area_m2_kg=surface_area_m2_kg)
    return permeability_from_ps(ps_ml_s_g * 1e-3, surface_area_m2_kg)
