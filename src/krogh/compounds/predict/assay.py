"""Take unstirred water, filter, leak and charge out of a PAMPA or monolayer permeability."""

from __future__ import annotations

import math
from dataclasses import dataclass

from krogh.errors import InputError

__all__ = ["AssayResult", "assay_permeability"]


@dataclass(frozen=True, slots=True)
class AssayResult:
    """Hold the steps from an apparent to an intrinsic permeability [m/s].

    Attributes
    ----------
    apparent, water, membrane, intrinsic : float
        As measured; of the unstirred water alone; of the membrane at the pH of the assay; of the neutral species.
    share_of_water : float
        Share of the resistance that was water: near 1 the assay says little about the membrane.
    """

    apparent: float
    water: float
    membrane: float
    intrinsic: float
    share_of_water: float


def assay_permeability(
    apparent_m_s: float,
    *,
    diffusivity_m2_s: float,
    water_m: float,
    filter_m_s: float = math.inf,
    leak_m_s: float = 0.0,
    neutral_fraction: float = 1.0,
) -> AssayResult:
    """Return the intrinsic permeability behind an assay: 1/P_app = 1/P_water + 1/P_filter + 1/(P_membrane + P_leak).

    Parameters
    ----------
    apparent_m_s : float
        Measured permeability [m/s].
    diffusivity_m2_s : float
        In water [m2/s].
    water_m : float
        Unstirred water on both sides together [m]: stirred PAMPA about 1e-4, unstirred 1e-3 to 4e-3.
    filter_m_s : float
        Permeability of the bare filter [m/s].
    leak_m_s : float
        Paracellular permeability, e.g. that of mannitol or lucifer yellow [m/s].
    neutral_fraction : float
        Of the compound at the pH of the assay, (0, 1].

    Raises
    ------
    InputError
        If a number is out of range, or the assay was limited by water or leak alone, so that it holds no membrane permeability.
    """
    for name, value in (("apparent permeability", apparent_m_s), ("diffusivity", diffusivity_m2_s)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(name, got=value, expected="a finite value > 0")
    if not (math.isfinite(water_m) and water_m >= 0 and leak_m_s >= 0 and filter_m_s > 0 and 0 < neutral_fraction <= 1):
        raise InputError("assay", got=f"water {water_m} m, leak {leak_m_s}, filter {filter_m_s} m/s, neutral {neutral_fraction}",
                         expected="water, leak >= 0, filter > 0, neutral share in (0, 1]")  # fmt: skip
    water = diffusivity_m2_s / water_m if water_m > 0 else math.inf
    outside = apparent_m_s * (1.0 / water + 1.0 / filter_m_s)
    if outside >= 0.95:
        raise InputError(
            "apparent permeability", got=f"{apparent_m_s:.3g} m/s, {100 * outside:.0f} % of it unstirred water and filter",
            expected=f"well below {apparent_m_s / outside:.3g} m/s",
            hint="the assay gives a lower bound only; stir more or thin the water",
        )  # fmt: skip
    cells = apparent_m_s / (1.0 - outside)
    if leak_m_s >= 0.95 * cells:
        raise InputError("apparent permeability", got=f"{cells:.3g} m/s behind the water, leak {leak_m_s:.3g} m/s",
                         expected="more than the leak", hint="the compound crosses between the cells")  # fmt: skip
    membrane = cells - leak_m_s
    return AssayResult(apparent_m_s, water, membrane, membrane / neutral_fraction, outside)
