"""Replace single values of a compound, as ``--set NAME.key=value`` and keyword arguments do; everything else stays as it was.

Keys are those of a compound file. A key of a species-wise table applies to all species unless the species is named:
``fu_brain`` and ``fu_brain.rat``. Transporters and enzymes go by their names: ``P-gp.vmax``, ``LAT1.competitors.leucine``,
``AADC.rate`` (every place where the enzyme acts) or ``AADC.neuron.rate``. A new permeability becomes the preferred one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from krogh.compounds import schema
from krogh.compounds.compound import Compound
from krogh.compounds.parse import concentration_kind, read_parameter, read_permeability, read_pk_entry
from krogh.compounds.values import read_value
from krogh.errors import InputError, nearest

__all__ = ["split_setting", "with_values"]

# a given unbound fraction must not be overruled by a tabulated volume, nor the reverse
_RIVALS = {"fu_brain": "vu_brain_m3_kg", "vu_brain": "fu_brain"}


# the name that Compound.need gives in its hint is accepted too
_KEY_OF_FIELD = {field: key for table in (schema.SCALARS, schema.PER_SPECIES) for key, (field, _) in table.items()}


def split_setting(text: str) -> tuple[str, str, str]:
    """Return the parts of ``NAME.key=value``."""
    left, equals, value = text.partition("=")
    name, dot, key = left.partition(".")
    if not (equals and dot and name.strip() and key.strip()):
        raise InputError("--set", got=repr(text[:80]), expected="NAME.key=value, e.g. levodopa.fu_brain=0.8")
    return name.strip(), key.strip(), value.strip()


def _set_species(compound: Compound, key: str, species: str, raw: object, where: str) -> Compound:
    field, kind = schema.PER_SPECIES[key]
    if species and species not in schema.SPECIES:
        raise InputError(where, got=f"unknown species '{species}'", hint=nearest(species, schema.SPECIES))
    chosen = (species,) if species else schema.SPECIES
    value = read_value(raw, kind, where)
    changed: dict[str, Any] = {field: {**getattr(compound, field), **dict.fromkeys(chosen, value)}}
    if key in _RIVALS:
        changed[_RIVALS[key]] = {s: v for s, v in getattr(compound, _RIVALS[key]).items() if s not in chosen}
    return dataclasses.replace(compound, **changed)


def _set_transporter(compound: Compound, index: int, rest: str, raw: object, where: str) -> Compound:
    held = compound.transporters[index]
    head, _, tail = rest.partition(".")
    if rest == "km":
        held = dataclasses.replace(held, km_mol_m3=read_value(raw, concentration_kind(compound.molar_mass_kg_mol), where))
    elif rest == "vmax":
        held = dataclasses.replace(held, vmax_mol_m2_s=read_value(raw, schema.FLUX, where))
    elif head == "competitors" and tail:
        held = dataclasses.replace(held, competitors={**held.competitors, tail: read_value(raw, schema.RATIO, where)})
    elif head == "parameters" and tail:
        held = dataclasses.replace(held, parameters={**held.parameters, tail: read_parameter(tail, raw, where)})
    else:
        raise InputError(where, got=f"unknown key '{rest}'", expected="km, vmax, competitors.NAME or parameters.NAME")
    return dataclasses.replace(compound, transporters=(*compound.transporters[:index], held, *compound.transporters[index + 1 :]))


def _set_metabolism(compound: Compound, enzyme: str, rest: str, raw: object, where: str) -> Compound:
    location, _, key = rest.rpartition(".")
    kinds = {"rate": ("rate_per_s", schema.RATE), "km": ("km_mol_m3", concentration_kind(compound.molar_mass_kg_mol))}
    places = [m for m in compound.metabolism if m.enzyme.lower() == enzyme and location in ("", m.location)]
    if key not in kinds or not places:
        raise InputError(where, got=f"unknown key '{rest}'", expected="rate or km, or LOCATION.rate or LOCATION.km")
    field, kind = kinds[key]
    value = read_value(raw, kind, where)
    metabolism = tuple(dataclasses.replace(m, **{field: value}) if m in places else m for m in compound.metabolism)  # type: ignore[arg-type]
    return dataclasses.replace(compound, metabolism=metabolism)


def _set_pk(compound: Compound, rest: str, raw: object, where: str) -> Compound:
    species, _, key = rest.partition(".")
    if species not in compound.pk:
        raise InputError(where, got=f"no plasma model for '{species}'", hint="give a whole [pk.SPECIES] table in a compound file")
    held = compound.pk[species]
    if key == "body_mass":
        held = dataclasses.replace(held, body_mass_kg=read_value(raw, schema.BODY_MASS, where))
    elif key in schema.PK:
        value = read_pk_entry(key, raw, held.body_mass_kg.value, where)
        held = dataclasses.replace(held, **{schema.PK[key][0]: value})  # type: ignore[arg-type]
    else:
        raise InputError(where, got=f"unknown key '{key}'", hint=nearest(key, schema.PK_KEYS))
    return dataclasses.replace(compound, pk={**compound.pk, species: held})


def _set(compound: Compound, key: str, raw: Any, basis: object) -> Compound:
    where = f"{compound.name}.{key}"
    head, _, rest = key.partition(".")
    head = _KEY_OF_FIELD.get(head, head)
    key = f"{head}.{rest}" if rest else head
    if not rest and key in schema.SCALARS:
        field, kind = schema.SCALARS[key]
        return dataclasses.replace(compound, **{field: read_value(raw, kind, where)})  # type: ignore[arg-type]
    if head in schema.PER_SPECIES:
        return _set_species(compound, head, rest, raw, where)
    if key == "permeability":
        return dataclasses.replace(compound, permeabilities=(read_permeability(raw, where, basis), *compound.permeabilities))
    if key in ("pka_acid", "pka_base"):
        parts = raw.split(",") if isinstance(raw, str) else raw if isinstance(raw, (list, tuple)) else [raw]
        values = tuple(read_value(p, schema.PKA, where) for p in parts if p != "")
        return (
            dataclasses.replace(compound, pka_acid=values)
            if key == "pka_acid"
            else dataclasses.replace(compound, pka_base=values)
        )
    if head == "pk":
        return _set_pk(compound, rest, raw, where)
    for index, transporter in enumerate(compound.transporters):
        if key.lower().startswith(transporter.name.lower() + "."):
            return _set_transporter(compound, index, key[len(transporter.name) + 1 :], raw, where)
    for item in compound.metabolism:
        if key.lower().startswith(item.enzyme.lower() + "."):
            return _set_metabolism(compound, item.enzyme.lower(), key[len(item.enzyme) + 1 :], raw, where)
    known = [*schema.SCALARS, *schema.PER_SPECIES, "permeability", "permeability_basis", "pka_acid", "pka_base"]
    known += [f"{t.name}.{k}" for t in compound.transporters for k in ("km", "vmax")]
    known += [f"{m.enzyme}.rate" for m in compound.metabolism]
    known += [f"pk.{s}.{k}" for s in compound.pk for k in ("v1", "cl")]
    raise InputError(where[:120], got="a key that this compound does not have", hint=nearest(key[:60], known))


def with_values(compound: Compound, values: Mapping[str, Any]) -> Compound:
    """Return a copy of `compound` with `values` in place of its own; they get status U and the source "user".

    Parameters
    ----------
    compound : Compound
        Left as it is.
    values : mapping
        Key to value with its unit, e.g. ``{"fu_brain": "0.3", "permeability": "25 nm/s", "permeability_basis": "apparent"}``.
        A keyword that cannot hold a dot has ``__`` in its place: ``fu_brain__rat``.

    Raises
    ------
    InputError
        If a key is unknown or a value is malformed, out of range or in the wrong unit.

    Notes
    -----
    Setting ``fu_brain`` removes a tabulated ``vu_brain`` of the same species, and the reverse, so that the value given is used.
    """
    given = {str(k).replace("__", "."): v for k, v in values.items()}
    basis = given.pop("permeability_basis", None)
    if basis is not None and "permeability" not in given:
        raise InputError(f"{compound.name}.permeability_basis", got="no permeability beside it", hint="give permeability too")
    for key, raw in given.items():
        compound = _set(compound, key, raw, basis)
    return compound
