"""Turn the mapping that a compound file holds into a :class:`~krogh.compounds.compound.Compound`; reads no file itself.

Everything that is wrong is reported in one line that names the key; nothing is guessed and nothing unknown is ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from krogh.compounds import schema
from krogh.compounds.compound import Basis, Compound, Metabolism, Permeability, PlasmaPK, Transporter, Value
from krogh.compounds.values import STATUSES, Kind, check_keys, read_choice, read_table, read_text, read_value
from krogh.errors import InputError
from krogh.permeability import solubility_diffusion

__all__ = ["compound_from_mapping", "concentration_kind", "read_parameter", "read_permeability", "read_pk_entry"]

_BASES: tuple[str, ...] = get_args(Basis)
_ROUTES = ("carrier", "efflux", "receptor", "adsorptive")
_SUBSTRATE = ("yes", "strong", "weak", "no", "disputed")
_SIDES = ("luminal", "abluminal", "both")
_LOCATIONS = ("endothelium", "interstitium", "neuron", "astrocyte")
_LONGEST_NAME = 80


def _with(kind: Kind, **convert: float) -> Kind:
    return dataclasses.replace(kind, convert=convert)


def _sequence(raw: object, where: str) -> Sequence[Any]:
    if not isinstance(raw, (list, tuple)):
        raise InputError(where, got=type(raw).__name__, expected="a list")
    return raw


def _required(table: Mapping[str, Any], where: str, *keys: str) -> None:
    for key in keys:
        if key not in table:
            raise InputError(where, got=f"no '{key}'", expected=", ".join(keys))


def read_permeability(raw: object, where: str, basis: object = None) -> Permeability:
    """Return one permeability; text such as ``"25 nm/s"`` needs `basis` (intrinsic or apparent) beside it."""
    if not isinstance(raw, Mapping):
        if basis is None:
            raise InputError(
                where,
                got="no basis",
                expected="permeability_basis = intrinsic or apparent",
                hint="the two differ by orders of magnitude",
            )
        chosen = read_choice(basis, _BASES, f"{where}_basis")
        return Permeability(read_value(raw, schema.VELOCITY, where), chosen, "user", "user")  # type: ignore[arg-type]
    table = read_table(raw, where)
    check_keys(table, schema.PERMEABILITY_KEYS, where)
    _required(table, where, "basis", "method", "species")
    if "partition" in table:
        table = _sheet(table, where)
    kind = schema.VELOCITY
    if "surface" in table:
        kind = _with(kind, clearance_per_mass=1.0 / read_value(table["surface"], schema.SURFACE, f"{where}.surface").value)
    number = {k: v for k, v in table.items() if k not in ("basis", "method", "species", "surface")}
    chosen = read_choice(table["basis"], _BASES, f"{where}.basis")
    method, species = (read_text(table[k], f"{where}.{k}") for k in ("method", "species"))
    return Permeability(read_value(number, kind, where), chosen, method, species)  # type: ignore[arg-type]


def _sheet(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the table with P = K D_m / d in place of the three numbers of solubility-diffusion."""
    if "value" in table:
        raise InputError(where, got="a value and a partition", expected="one of them")
    _required(table, where, *schema.SHEET)
    k, d, thickness = (read_value(table[key], kind, f"{where}.{key}").value for key, kind in schema.SHEET.items())
    rest = {key: v for key, v in table.items() if key not in schema.SHEET}
    source = f"K D_m / d with K {k:g}, D_m {d:g} m2/s, d {thickness:g} m"
    return {"source": source, "status": "C"} | rest | {"value": solubility_diffusion(k, d, thickness), "unit": "m/s"}


def read_parameter(key: str, raw: object, where: str) -> Value:
    """Return a transporter parameter whose dimension is told by the end of its name."""
    ends = [s for s in schema.PARAMETER_SUFFIXES if key.endswith(s)]
    dimension = schema.PARAMETER_SUFFIXES[max(ends, key=len)] if ends else "fraction"
    return read_value(raw, Kind((dimension,)), where)


def concentration_kind(molar_mass: Value | None) -> Kind:
    """Return what a Michaelis constant may be: a mass concentration too, once the molar mass is known."""
    return schema.CONCENTRATION if molar_mass is None else _with(schema.CONCENTRATION, mass_concentration=1.0 / molar_mass.value)


def _transporter(raw: object, where: str, molar_mass: Value | None) -> Transporter:
    table = read_table(raw, where)
    check_keys(table, schema.TRANSPORTER_KEYS, where)
    _required(table, where, "name", "route", "substrate", "source", "status")
    name = read_text(table["name"], f"{where}.name")
    where = f"{where} {name[:_LONGEST_NAME]}"
    competitors = read_table(table.get("competitors", {}), f"{where}.competitors")
    parameters = read_table(table.get("parameters", {}), f"{where}.parameters")
    km, vmax = table.get("km"), table.get("vmax")
    return Transporter(
        name=name,
        route=read_choice(table["route"], _ROUTES, f"{where}.route"),  # type: ignore[arg-type]
        substrate=read_choice(table["substrate"], _SUBSTRATE, f"{where}.substrate"),
        source=read_text(table["source"], f"{where}.source"),
        status=read_choice(table["status"], STATUSES, f"{where}.status"),  # type: ignore[arg-type]
        side=read_choice(table.get("side", "luminal"), _SIDES, f"{where}.side"),  # type: ignore[arg-type]
        km_mol_m3=None if km is None else read_value(km, concentration_kind(molar_mass), f"{where}.km"),
        vmax_mol_m2_s=None if vmax is None else read_value(vmax, schema.FLUX, f"{where}.vmax"),
        competitors={k: read_value(v, schema.RATIO, f"{where}.competitors.{k}") for k, v in competitors.items()},
        parameters={k: read_parameter(k, v, f"{where}.parameters.{k}") for k, v in parameters.items()},
    )


def _metabolism(raw: object, where: str, molar_mass: Value | None) -> Metabolism:
    table = read_table(raw, where)
    check_keys(table, schema.METABOLISM_KEYS, where)
    _required(table, where, "enzyme", "location", "rate")
    km, product = table.get("km"), table.get("product")
    return Metabolism(
        enzyme=read_text(table["enzyme"], f"{where}.enzyme"),
        location=read_choice(table["location"], _LOCATIONS, f"{where}.location"),  # type: ignore[arg-type]
        rate_per_s=read_value(table["rate"], schema.RATE, f"{where}.rate"),
        km_mol_m3=None if km is None else read_value(km, concentration_kind(molar_mass), f"{where}.km"),
        product=None if product is None else read_text(product, f"{where}.product"),
    )


def read_pk_entry(key: str, raw: object, body_mass_kg: float, where: str) -> Value:
    """Return one entry of a plasma model; volumes and clearances per kg are multiplied by the body mass."""
    return read_value(raw, _with(schema.PK[key][1], volume_per_mass=body_mass_kg, clearance_per_mass=body_mass_kg), where)


def _plasma_pk(species: str, raw: object, where: str) -> PlasmaPK:
    table = read_table(raw, where)
    check_keys(table, schema.PK_KEYS, where)
    _required(table, where, "body_mass", "v1", "cl")
    body_mass = read_value(table["body_mass"], schema.BODY_MASS, f"{where}.body_mass")
    given = {
        name: read_pk_entry(key, table[key], body_mass.value, f"{where}.{key}")
        for key, (name, _) in schema.PK.items()
        if key in table
    }
    for number in ("2", "3"):
        if (f"q{number}" in table) != (f"v{number}" in table):
            raise InputError(where, got=f"only one of q{number} and v{number}", expected="both, or neither")
    basis = read_choice(table.get("basis", "total"), ("total", "unbound"), f"{where}.basis")
    return PlasmaPK(species=species, body_mass_kg=body_mass, basis=basis, **given)  # type: ignore[arg-type]


def _per_species(raw: object, kind: Kind, where: str) -> dict[str, Value]:
    table = read_table(raw, where)
    check_keys(table, schema.SPECIES, where)
    return {species: read_value(value, kind, f"{where}.{species}") for species, value in table.items()}


def _permeabilities(table: Mapping[str, Any], where: str) -> tuple[Permeability, ...]:
    raw = table.get("permeability", [])
    if "permeability_basis" in table and not isinstance(raw, (str, int, float)):
        raise InputError(
            f"{where}permeability_basis", got="no permeability as text beside it", hint="a table has its own 'basis'"
        )
    if not isinstance(raw, (list, tuple)):
        return (read_permeability(raw, f"{where}permeability", table.get("permeability_basis")),)
    return tuple(read_permeability(entry, f"{where}permeability {i}") for i, entry in enumerate(raw, 1))


def compound_from_mapping(table: Mapping[str, Any], *, where: str = "compound file") -> Compound:
    """Return the compound that `table` describes.

    Parameters
    ----------
    table : mapping
        What ``tomllib`` gives for a compound file; the keys are those of ``docs/reference/compound-file.md``.
    where : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If a key is unknown or a value missing, malformed or out of range.
    """
    table = read_table(table, where)
    check_keys(table, schema.COMPOUND_KEYS, where)
    _required(table, where, "name")
    name = read_text(table["name"], f"{where}: name").strip()
    if not name or len(name) > _LONGEST_NAME or "." in name or "=" in name:
        raise InputError(f"{where}: name", got=repr(name[:_LONGEST_NAME]), expected="1 to 80 characters without '.' and '='")
    where = f"{where}: "
    scalars: dict[str, Any] = {f: read_value(table[k], kind, where + k) for k, (f, kind) in schema.SCALARS.items() if k in table}
    species: dict[str, Any] = {
        f: _per_species(table[k], kind, where + k) for k, (f, kind) in schema.PER_SPECIES.items() if k in table
    }
    pka: dict[str, Any] = {
        k: tuple(read_value(v, schema.PKA, where + k) for v in _sequence(table[k], where + k))
        for k in ("pka_acid", "pka_base")
        if k in table
    }
    pk = read_table(table.get("pk", {}), where + "pk")
    check_keys(pk, schema.SPECIES, where + "pk")
    mass = scalars.get("molar_mass_kg_mol")
    lists = {k: _sequence(table.get(k, []), where + k) for k in ("aliases", "transporter", "metabolism")}
    return Compound(
        name=name,
        role=read_text(table.get("role", ""), where + "role"),
        smiles=read_text(table["smiles"], where + "smiles") if "smiles" in table else None,
        aliases=tuple(read_text(a, where + "aliases") for a in lists["aliases"]),
        notes=read_text(table.get("notes", ""), where + "notes").strip(),
        permeabilities=_permeabilities(table, where),
        transporters=tuple(_transporter(t, f"{where}transporter", mass) for t in lists["transporter"]),
        metabolism=tuple(_metabolism(m, f"{where}metabolism", mass) for m in lists["metabolism"]),
        pk={s: _plasma_pk(s, raw, f"{where}pk.{s}") for s, raw in pk.items()},
        **scalars,
        **species,
        **pka,
    )
