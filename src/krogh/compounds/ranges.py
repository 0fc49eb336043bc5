"""Name every number of a compound that a simulation may use, and put other numbers in their place.

Keys are those of :func:`krogh.compounds.with_values` (``permeability``, ``fu_plasma``, ``P-gp.km``, ``AADC.neuron.rate``,
``pk.cl``), for one species. Unlike there, a number keeps everything else that its :class:`Value` says: basis, method, source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from krogh.compounds import schema
from krogh.compounds.compound import Compound, Value
from krogh.compounds.parse import concentration_kind
from krogh.compounds.values import Kind

__all__ = ["Leaf", "leaves", "with_numbers"]

Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class Leaf:
    """Hold one number: its key, the way to it through fields, keys and indices, and which numbers it accepts."""

    key: str
    path: tuple[str | int, ...]
    value: Value
    kind: Kind


def leaves(compound: Compound, species: str, method: str | None = None) -> Iterator[Leaf]:
    """Yield the numbers that a simulation of `compound` in `species` may use.

    Parameters
    ----------
    compound : Compound
        Its values.
    species : str
        ``human``, ``rat`` or ``mouse``.
    method : str, optional
        Which permeability is used; the first by default.
    """
    if compound.diffusivity_m2_s is not None:
        yield Leaf("diffusivity", ("diffusivity_m2_s",), compound.diffusivity_m2_s, schema.SCALARS["diffusivity"][1])
    yield from _bindings(compound, species)
    for i, p in enumerate(compound.permeabilities):
        if method is None or p.method == method:
            yield Leaf("permeability", ("permeabilities", i, "p_m_s"), p.p_m_s, schema.VELOCITY)
            break
    for field in ("pka_acid", "pka_base"):
        for i, v in enumerate(getattr(compound, field)):
            yield Leaf(f"{field}.{i + 1}", (field, i), v, schema.PKA)
    yield from _kinetics(compound)
    pk = compound.pk.get(species)
    for key, (field, kind) in schema.PK.items() if pk is not None else ():
        if getattr(pk, field) is not None:
            yield Leaf(f"pk.{key}", ("pk", species, field), getattr(pk, field), kind)


def _bindings(compound: Compound, species: str) -> Iterator[Leaf]:
    if species in compound.fu_plasma:
        yield Leaf("fu_plasma", ("fu_plasma", species), compound.fu_plasma[species], schema.PER_SPECIES["fu_plasma"][1])
    for source in (species, *(s for s in schema.LENDERS if s != species)):
        for key in ("vu_brain", "fu_brain"):
            field, kind = schema.PER_SPECIES[key]
            held = getattr(compound, field)
            if source in held:
                yield Leaf(key, (field, source), held[source], kind)
                return


def _kinetics(compound: Compound) -> Iterator[Leaf]:
    km = concentration_kind(compound.molar_mass_kg_mol)
    for i, t in enumerate(compound.transporters):
        at = ("transporters", i)
        if t.km_mol_m3 is not None:
            yield Leaf(f"{t.name}.km", (*at, "km_mol_m3"), t.km_mol_m3, km)
        if t.vmax_mol_m2_s is not None:
            yield Leaf(f"{t.name}.vmax", (*at, "vmax_mol_m2_s"), t.vmax_mol_m2_s, schema.FLUX)
        for name, v in t.competitors.items():
            yield Leaf(f"{t.name}.competitors.{name}", (*at, "competitors", name), v, schema.RATIO)
        for name, v in t.parameters.items():
            ends = [s for s in schema.PARAMETER_SUFFIXES if name.endswith(s)]
            kind = Kind((schema.PARAMETER_SUFFIXES[max(ends, key=len)] if ends else "fraction",))
            yield Leaf(f"{t.name}.parameters.{name}", (*at, "parameters", name), v, kind)
    for i, m in enumerate(compound.metabolism):
        key = f"{m.enzyme}.{m.location}"
        yield Leaf(f"{key}.rate", ("metabolism", i, "rate_per_s"), m.rate_per_s, schema.RATE)
        if m.km_mol_m3 is not None:
            yield Leaf(f"{key}.km", ("metabolism", i, "km_mol_m3"), m.km_mol_m3, km)


def with_numbers(owner: Owner, numbers: Mapping[tuple[str | int, ...], float]) -> Owner:
    """Return a copy of a compound or a physiology with other numbers in SI at the paths of some :class:`Leaf`, unchecked."""
    for path, number in numbers.items():
        owner = _put(owner, path, number)
    return owner


def _put(node: Any, path: tuple[str | int, ...], number: float) -> Any:
    if not path:
        return replace(node, value=number, low=None, high=None)
    head, rest = path[0], path[1:]
    if isinstance(node, tuple):
        assert isinstance(head, int)
        return (*node[:head], _put(node[head], rest, number), *node[head + 1 :])
    if isinstance(node, Mapping):
        return {**node, head: _put(node[head], rest, number)}
    return replace(node, **{str(head): _put(getattr(node, str(head)), rest, number)})
