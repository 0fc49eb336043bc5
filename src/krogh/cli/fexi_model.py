"""Read the options that describe a tissue model: ``--model``, ``--bound``, ``--fix``, ``--relax``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.errors import InputError, UsageError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel

__all__ = ["Bound", "Fix", "Model", "Relax", "tissue_model"]

Model = Annotated[str, typer.Option("--model", help="axr, 2cm or 2cmr.")]
Bound = Annotated[list[str] | None, typer.Option("--bound", help="Limits of a parameter, e.g. sigma=-0.5:1. Repeatable.")]
Fix = Annotated[list[str] | None, typer.Option("--fix", help="Hold a parameter of 2cm or 2cmr, e.g. di=10 (um2/ms).")]
Relax = Annotated[list[str] | None, typer.Option("--relax", help="Relaxation time of 2cmr, e.g. t1_e='0.83 s'.")]


def tissue_model(name: str, bound: list[str], fix: list[str], relax: list[str], *, whole: bool = False) -> SignalModel:
    """Return the model that the options describe; with `whole`, all parameters of 2cm and 2cmr are its own, D_i as well.

    Raises
    ------
    UsageError, InputError
        If a name or a value is wrong.
    """
    from krogh.fexi.models import get_model
    from krogh.runs.fexi_parameters import shown_by_name
    from krogh.units import parse_quantity

    inputs: dict[str, Any] = {}
    for text in bound:
        key, _, limits = text.partition("=")
        p = shown_by_name(key, "--bound")
        low, _, high = limits.partition(":")
        inputs.setdefault("bounds", {})[p.field] = (_float(low, text) * p.si_per_unit, _float(high, text) * p.si_per_unit)
    for text in fix:
        key, _, value = text.partition("=")
        p = shown_by_name(key, "--fix")
        inputs.setdefault("fixed", {})[p.field] = _float(value, text) * p.si_per_unit
    for text in relax:
        key, _, value = text.partition("=")
        if key not in ("t1_i", "t1_e", "t2_i", "t2_e"):
            raise UsageError("--relax", got=repr(text), expected="t1_i, t1_e, t2_i or t2_e, e.g. t1_e='0.83 s'")
        inputs[f"{key}_s"] = parse_quantity(value, "time", where=f"--relax {key}")
    if whole and name in ("2cm", "2cmr"):
        inputs["fixed"] = {}
    return get_model(name, **inputs)


def _float(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError("option", got=repr(whole), expected="name=value or name=low:high with numbers") from None
