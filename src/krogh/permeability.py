"""Convert between permeability P, surface-area product PS, exchange rate k and residence time.

This is the number that both halves share: a drug's P sets how fast it crosses in ``simulate``; water's exchange rate measured by
FEXI in ``measure`` gives P back. Vessels are cylinders unless said otherwise: S/V = 2/r.
"""

from __future__ import annotations

import math

from krogh.errors import InputError

__all__ = [
    "crone_renkin_extraction",
    "cylinder_surface_to_volume",
    "exchange_rate",
    "permeability_from_exchange_rate",
    "permeability_from_ps",
    "ps_from_permeability",
    "residence_time",
    "series",
    "solubility_diffusion",
]


def _check(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise InputError(name, got=value, expected="a finite value >= 0")


def cylinder_surface_to_volume(radius_m: float) -> float:
    """Return S/V = 2/r [1/m] of a cylinder of radius `radius_m` [m] > 0."""
    _check(radius_m=radius_m)
    if radius_m == 0:
        raise InputError("radius_m", got=0, expected="a radius > 0 m")
    return 2.0 / radius_m


def exchange_rate(permeability_m_s: float, surface_to_volume_1_m: float) -> float:
    """Return k = P * S/V, the first-order exchange rate [1/s].

    Raises
    ------
    InputError
        If either value is negative or not finite.
    """
    _check(permeability_m_s=permeability_m_s, surface_to_volume_1_m=surface_to_volume_1_m)
    return permeability_m_s * surface_to_volume_1_m


def permeability_from_exchange_rate(exchange_rate_per_s: float, surface_to_volume_1_m: float) -> float:
    """Return P = k / (S/V) [m/s], the inverse of :func:`exchange_rate`."""
    _check(exchange_rate_per_s=exchange_rate_per_s, surface_to_volume_1_m=surface_to_volume_1_m)
    if surface_to_volume_1_m == 0:
        raise InputError("surface_to_volume_1_m", got=0, expected="a value > 0 1/m")
    return exchange_rate_per_s / surface_to_volume_1_m


def residence_time(exchange_rate_per_s: float) -> float:
    """Return 1/k [s]; infinite where nothing crosses (k = 0)."""
    _check(exchange_rate_per_s=exchange_rate_per_s)
    return math.inf if exchange_rate_per_s == 0 else 1.0 / exchange_rate_per_s


def ps_from_permeability(permeability_m_s: float, surface_area_m2_kg: float) -> float:
    """Return PS = P * S [m3/(s kg tissue)], S the barrier area per kg of tissue."""
    _check(permeability_m_s=permeability_m_s, surface_area_m2_kg=surface_area_m2_kg)
    return permeability_m_s * surface_area_m2_kg


def permeability_from_ps(ps_m3_s_kg: float, surface_area_m2_kg: float) -> float:
    """Return P = PS / S [m/s].

    Examples
    --------
    Caffeine, PS 0.025 mL/(s g) at 100 cm2/g (= 10 m2/kg) gives 2.5e-6 m/s:

    >>> permeability_from_ps(0.025e-6 / 1e-3, 10.0)
    2.5e-06
    """
    _check(ps_m3_s_kg=ps_m3_s_kg, surface_area_m2_kg=surface_area_m2_kg)
    if surface_area_m2_kg == 0:
        raise InputError("surface_area_m2_kg", got=0, expected="a value > 0 m2/kg")
    return ps_m3_s_kg / surface_area_m2_kg


def series(*permeabilities_m_s: float) -> float:
    """Return the permeability of sheets in series, 1/P = sum(1/P_i) [m/s]."""
    _check(**{f"permeability {i + 1}": p for i, p in enumerate(permeabilities_m_s)})
    if any(p == 0 for p in permeabilities_m_s):
        return 0.0
    return 1.0 / sum(1.0 / p for p in permeabilities_m_s)


def crone_renkin_extraction(ps_m3_s_kg: float, flow_m3_s_kg: float, fu_plasma: float = 1.0) -> float:
    """Return the single-pass extraction E = 1 - exp(-fu PS / F) of a capillary over an empty brain.

    References
    ----------
    Renkin 1959 doi:10.1152/ajplegacy.1959.197.6.1205; Crone 1963 doi:10.1111/j.1748-1716.1963.tb02652.x
    """
    _check(ps_m3_s_kg=ps_m3_s_kg, flow_m3_s_kg=flow_m3_s_kg, fu_plasma=fu_plasma)
    if flow_m3_s_kg == 0:
        return 1.0
    return -math.expm1(-fu_plasma * ps_m3_s_kg / flow_m3_s_kg)


def solubility_diffusion(partition: float, diffusivity_m2_s: float, thickness_m: float) -> float:
    """Return P = K D_m / d [m/s] of a lipid sheet.

    Parameters
    ----------
    partition : float
        Membrane/water partition coefficient of the permeant form.
    diffusivity_m2_s : float
        Diffusivity inside the membrane [m2/s].
    thickness_m : float
        Thickness of the membrane [m], > 0; about 4e-9 m for one bilayer.

    References
    ----------
    Overton's rule; see Diamond & Katz 1974, J Membrane Biol 17:121.
    """
    if not thickness_m > 0:
        raise InputError("thickness_m", got=thickness_m, expected="a thickness > 0 m")
    if partition < 0 or diffusivity_m2_s < 0:
        raise InputError("partition, diffusivity_m2_s", got=f"{partition}, {diffusivity_m2_s}", expected="values >= 0")
    return partition * diffusivity_m2_s / thickness_m
