"""From exchange rates to permeability: k_ie, k_ei, PS and P of the vessel wall for water.

Two inputs are not measured by FEXI and must be stated: the blood volume fraction and the capillary radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError
from krogh.permeability import cylinder_surface_to_volume

__all__ = ["DERIVED_UNITS", "ExchangeMaps", "exchange_maps"]

FloatArray = NDArray[np.float64]
#: Unit of each derived map.
DERIVED_UNITS = {"k_ie_per_s": "1/s", "k_ei_per_s": "1/s", "ps_per_s": "1/s", "p_m_s": "m/s"}


@dataclass(frozen=True)
class ExchangeMaps:
    """Hold what AXR implies, with the inputs it was computed from.

    ``ps_per_s`` is PS per volume of tissue [m3/(s m3) = 1/s]; times 6000 it is mL/min/100 mL.
    """

    k_ie_per_s: FloatArray  #: blood to tissue
    k_ei_per_s: FloatArray  #: tissue to blood
    ps_per_s: FloatArray
    p_m_s: FloatArray
    blood_fraction: FloatArray
    capillary_radius_m: float


def exchange_maps(axr_per_s: ArrayLike, *, blood_fraction: ArrayLike = 0.04, capillary_radius_m: float = 3e-6) -> ExchangeMaps:
    """Return k_ie = f_e AXR, k_ei = f_i AXR, PS = v_b k_ie and P = k_ie V/S with V/S = r/2 (cylinder).

    Parameters
    ----------
    axr_per_s : array
        AXR = k_ie + k_ei [1/s]; NaN stays NaN.
    blood_fraction : float or array, optional
        f_i = v_b, share of the water that is in blood (default 0.04).
    capillary_radius_m : float, optional
        Radius of the exchanging vessels [m] (default 3 um).

    Returns
    -------
    ExchangeMaps
        Arrays of the shape of `axr_per_s`.

    Raises
    ------
    InputError
        If the blood fraction is not within (0, 1) or the radius not > 0.

    Notes
    -----
    Detailed balance f_i k_ie = f_e k_ei is assumed. Example: AXR 3 1/s, v_b 0.04, r 3 um give k_ie 2.88 1/s, PS 691 mL/min/100
    mL and P 4.3 um/s.
    """
    f = np.asarray(blood_fraction, float)
    if not np.all((f > 0) & (f < 1) | np.isnan(f)):
        raise InputError("blood_fraction", got="a value outside (0, 1)", expected="the share of blood, e.g. 0.04")
    axr = np.asarray(axr_per_s, float)
    f = np.broadcast_to(f, axr.shape)
    k_ie = (1.0 - f) * axr
    ps, p = f * k_ie, k_ie / cylinder_surface_to_volume(capillary_radius_m)
    return ExchangeMaps(k_ie, f * axr, ps, p, f, capillary_radius_m)
