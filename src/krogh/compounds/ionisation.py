"""Compute which fraction of a compound is uncharged at a given pH, from any number of acid and base pKa values.

Each site is treated as independent (Henderson-Hasselbalch). For a zwitterion this means that the *uncharged* fraction is the
product over the sites, so the zwitterion, whose charges cancel, does not count as neutral although its mean charge is zero;
interactions between sites are ignored.
"""

from __future__ import annotations

import math

from krogh.compounds.compound import Compound
from krogh.errors import InputError

__all__ = ["mean_charge", "neutral_fraction"]

_LARGEST_EXPONENT = 300.0


def _charged(difference: float) -> float:
    """Return 10^x / (1 + 10^x), exact to rounding for every x."""
    if difference > 0:
        return 1.0 / (1.0 + 10.0 ** -min(difference, _LARGEST_EXPONENT))
    power = 10.0 ** max(difference, -_LARGEST_EXPONENT)
    return power / (1.0 + power)


def _check(ph: float) -> None:
    if not math.isfinite(ph):
        raise InputError("pH", got=ph, expected="a finite number")


def neutral_fraction(compound: Compound, ph: float) -> float:
    """Return the fraction [0, 1] of molecules with no charged site at `ph`.

    ``f = prod_acids 1/(1 + 10^(pH - pKa)) * prod_bases 1/(1 + 10^(pKa - pH))``

    Notes
    -----
    1 for a compound without pKa values: either it has no ionisable site or none is known; its notes say which.
    """
    _check(ph)
    acids = [_charged(pka.value - ph) for pka in compound.pka_acid]
    bases = [_charged(ph - pka.value) for pka in compound.pka_base]
    return math.prod([*acids, *bases])


def mean_charge(compound: Compound, ph: float) -> float:
    """Return the mean number of elementary charges per molecule at `ph` (acids negative, bases positive)."""
    _check(ph)
    positive = math.fsum(_charged(pka.value - ph) for pka in compound.pka_base)
    return positive - math.fsum(_charged(ph - pka.value) for pka in compound.pka_acid)
