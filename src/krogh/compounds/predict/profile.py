"""Permeability from a molecular dynamics profile: inhomogeneous solubility-diffusion across a membrane.

``1/P = integral of exp(dG(z) / RT) / D(z) dz`` (Marrink & Berendsen 1994, doi:10.1021/j100066a040).
"""

from __future__ import annotations

import numpy as np

from krogh.compounds.compound import Permeability, Value
from krogh.errors import InputError
from krogh.permeability import series

__all__ = ["BODY_TEMPERATURE_K", "barrier_from_membrane", "profile_permeability"]

BODY_TEMPERATURE_K = 310.15
_GAS_J_MOL_K = 8.314462618
_LARGEST_EXPONENT = 300.0


def profile_permeability(
    z_m: np.ndarray,
    free_energy_j_mol: np.ndarray,
    diffusivity_m2_s: np.ndarray | float,
    *,
    temperature_k: float = BODY_TEMPERATURE_K,
) -> float:
    """Return the permeability of one membrane [m/s] by the trapezoidal rule.

    Parameters
    ----------
    z_m : array, shape (n,)
        Positions across the whole membrane, water to water [m], rising.
    free_energy_j_mol : array, shape (n,)
        Free energy relative to water [J/mol]; it should end near 0 on both sides.
    diffusivity_m2_s : array or float
        Local diffusivity [m2/s], > 0.
    temperature_k : float
        Temperature of the profile [K].

    Raises
    ------
    InputError
        If there are fewer than three points, positions do not rise, or a number is out of range.
    """
    z, g = np.asarray(z_m, dtype=float), np.asarray(free_energy_j_mol, dtype=float)
    d = np.broadcast_to(np.asarray(diffusivity_m2_s, dtype=float), z.shape)
    if z.size < 3 or z.shape != g.shape:
        raise InputError("membrane profile", got=f"{z.size} positions, {g.size} free energies", expected=">= 3 pairs")
    if not (np.isfinite(z).all() and np.isfinite(g).all() and np.isfinite(d).all()) or not (d > 0).all():
        raise InputError("membrane profile", got="a number that is not finite, or a diffusivity <= 0", expected="finite, D > 0")
    if not (np.diff(z) > 0).all():
        raise InputError("membrane profile", got="positions that do not rise", expected="z from one water phase to the other")
    if not (np.isfinite(temperature_k) and temperature_k > 0):
        raise InputError("temperature", got=temperature_k, expected="a value > 0 K")
    exponent = g / (_GAS_J_MOL_K * temperature_k)
    if exponent.max() > _LARGEST_EXPONENT:
        raise InputError("membrane profile", got=f"a barrier of {g.max() / 1e3:.0f} kJ/mol", expected="below 770 kJ/mol",
                         hint="check the unit of the free energy")  # fmt: skip
    return float(1.0 / np.trapezoid(np.exp(exponent) / d, z))


def barrier_from_membrane(membrane_m_s: float, source: str) -> Permeability:
    """Return the intrinsic permeability of the endothelium: two such membranes in series."""
    return Permeability(Value(series(membrane_m_s, membrane_m_s), source, "C"), "intrinsic", "molecular dynamics", "in silico")
