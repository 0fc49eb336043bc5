"""List every value of a compound as rows, in the units in which the field writes them; a blank is a row without a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from krogh.compounds import schema
from krogh.compounds.completeness import NEEDED_PARAMETERS
from krogh.compounds.compound import Compound, PlasmaPK, Value
from krogh.units import DIMENSIONS

__all__ = ["Row", "describe"]

_SPECIES_SHOWN = ("human", "rat")  # blanks are listed for these two; other species appear where there is a value
_SHOWN_UNIT = {
    "molar_mass": "g/mol",
    "area": "A2",
    "diffusivity": "cm2/s",
    "volume_per_mass": "mL/g",
    "permeability": "nm/s",
    "concentration": "uM",
    "flux": "nmol/cm2/min",
    "rate": "1/min",
    "volume": "L",
    "flow": "L/h",
    "time": "min",
    "mass": "kg",
    "surface_density": "pmol/cm2",
    "length": "nm",
    "fraction": "",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one value under its key in a compound file.

    Attributes
    ----------
    key : str
        E.g. ``pk.human.cl``.
    value : Value or None
        In SI; None where it is blank.
    dimension : str
        Key of :data:`krogh.units.DIMENSIONS`.
    detail : str
        What qualifies the value, e.g. method, species and basis of a permeability.
    """

    key: str
    value: Value | None
    dimension: str
    detail: str = ""

    @property
    def unit(self) -> str:
        """Return the unit in which the value is shown."""
        return _SHOWN_UNIT[self.dimension]

    @property
    def unit_si(self) -> str:
        """Return the SI unit of the value."""
        return DIMENSIONS[self.dimension][0]

    def shown(self, si: float | None) -> float | None:
        """Return a number of this row, given in SI, in the unit in which it is shown."""
        return None if si is None else si / DIMENSIONS[self.dimension][1][self.unit]


def _scalar_rows(compound: Compound) -> Iterator[Row]:
    for key, (field, kind) in schema.SCALARS.items():
        yield Row(key, getattr(compound, field), kind.dimensions[0])
    for key, values in (("pka_acid", compound.pka_acid), ("pka_base", compound.pka_base)):
        for value in values or (None,):
            yield Row(key, value, "fraction")


def _species_rows(compound: Compound) -> Iterator[Row]:
    for key, (field, kind) in schema.PER_SPECIES.items():
        held = getattr(compound, field)
        shown = [*(_SPECIES_SHOWN if key != "kp_uu" else ()), *(s for s in held if key == "kp_uu" or s not in _SPECIES_SHOWN)]
        detail = "observed, for comparison only" if key == "kp_uu" else ""
        for species in shown or (["rat"] if key == "kp_uu" else []):
            yield Row(f"{key}.{species}", held.get(species), kind.dimensions[0], detail)


def _crossing_rows(compound: Compound) -> Iterator[Row]:
    if not compound.permeabilities:
        yield Row("permeability", None, "permeability")
    for p in compound.permeabilities:
        yield Row("permeability", p.p_m_s, "permeability", f"{p.basis}, {p.method}, {p.species}")
    for t in compound.transporters:
        detail = f"{t.route}, substrate: {t.substrate}, {t.side}"
        if t.route not in NEEDED_PARAMETERS:
            yield Row(f"{t.name}.km", t.km_mol_m3, "concentration", detail)
            yield Row(f"{t.name}.vmax", t.vmax_mol_m2_s, "flux", detail)
        for name, value in t.competitors.items():
            yield Row(f"{t.name}.competitors.{name}", value, "fraction", "plasma level / Km")
        for name in dict.fromkeys((*NEEDED_PARAMETERS.get(t.route, ()), *t.parameters)):
            ends = [s for s in schema.PARAMETER_SUFFIXES if name.endswith(s)]
            dimension = schema.PARAMETER_SUFFIXES[max(ends, key=len)] if ends else "fraction"
            yield Row(f"{t.name}.parameters.{name}", t.parameters.get(name), dimension, detail)
    for m in compound.metabolism:
        detail = f"gives {m.product}" if m.product else "product leaves the model"
        yield Row(f"{m.enzyme}.{m.location}.rate", m.rate_per_s, "rate", detail)
        yield Row(f"{m.enzyme}.{m.location}.km", m.km_mol_m3, "concentration", "first order while blank")


def _pk_rows(species: str, pk: PlasmaPK) -> Iterator[Row]:
    yield Row(f"pk.{species}.body_mass", pk.body_mass_kg, "mass", f"{pk.basis} plasma concentration")
    for key, (field, kind) in schema.PK.items():
        value = getattr(pk, field)
        if value is not None or key == "ka":
            yield Row(f"pk.{species}.{key}", value, kind.dimensions[0], "" if value is not None else "no oral dosing while blank")


def describe(compound: Compound) -> list[Row]:
    """Return every value of `compound`, and every blank that matters, in the order of a compound file."""
    rows = [*_scalar_rows(compound), *_species_rows(compound), *_crossing_rows(compound)]
    for species in dict.fromkeys((*_SPECIES_SHOWN, *compound.pk)):
        held = compound.pk.get(species)
        rows += list(_pk_rows(species, held)) if held is not None else [Row(f"pk.{species}", None, "fraction", "no plasma model")]
    return rows
