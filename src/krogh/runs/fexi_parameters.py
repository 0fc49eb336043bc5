"""Name the quantities of FEXI the way maps, tables and options show them.

Inside the package every parameter is SI with the unit in its name (``adc_m2_s``); users meet ``adc`` in um2/ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from krogh.errors import InputError, nearest

__all__ = ["PARAMETERS", "Shown", "shown", "shown_by_name"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Describe one quantity for readers: short name, unit, factor from SI, words and formula."""

    field: str
    name: str
    unit: str
    si_per_unit: float
    label: str
    words: str
    formula: str = ""


_AXR = "S = S0 exp(-b ADC'), ADC' = ADC (1 - sigma exp(-AXR t_m)) after a filter, ADC' = ADC without one"
_POOLS = "two water pools, blood (i) and tissue (e), exchanging at k = k_ie + k_ei during the mixing time"
PARAMETERS: tuple[Shown, ...] = (
    Shown("adc_m2_s", "adc", "um2/ms", 1e-9, "ADC", "apparent diffusion coefficient at equilibrium", _AXR),
    Shown("sigma", "sigma", "1", 1.0, "sigma", "filter efficiency", _AXR),
    Shown("axr_per_s", "axr", "1/s", 1.0, "AXR", "apparent exchange rate", _AXR),
    Shown("f_i", "fi", "1", 1.0, "f_i", "water fraction of blood", _POOLS),
    Shown("d_i_m2_s", "di", "um2/ms", 1e-9, "D_i", "diffusivity of water in blood", _POOLS),
    Shown("d_e_m2_s", "de", "um2/ms", 1e-9, "D_e", "diffusivity of water in tissue", _POOLS),
    Shown("k_per_s", "k", "1/s", 1.0, "k", "exchange rate of water, k_ie + k_ei", _POOLS),
)
_BY_FIELD = {p.field: p for p in PARAMETERS}
_BY_NAME = {p.name: p for p in PARAMETERS} | {"f_i": _BY_FIELD["f_i"], "d_i": _BY_FIELD["d_i_m2_s"], "d_e": _BY_FIELD["d_e_m2_s"]}


def shown(field: str) -> Shown:
    """Return how the model parameter `field` is shown; an unknown one is shown as it is."""
    return _BY_FIELD.get(field) or Shown(field, "".join(c for c in field if c.isalnum()), "SI", 1.0, field, field)


def shown_by_name(name: str, where: str, allowed: Iterable[str] | None = None) -> Shown:
    """Return the parameter with the short name `name`.

    Raises
    ------
    InputError
        If there is none, or it is not in `allowed` (fields).
    """
    fields = set(_BY_FIELD if allowed is None else allowed)
    found = _BY_NAME.get(name.strip().lower())
    if found is None or found.field not in fields:
        names = [p.name for p in PARAMETERS if p.field in fields]
        raise InputError(where, got=repr(name), expected="one of " + ", ".join(names), hint=nearest(name, names))
    return found
