"""Hold the numbers of the barrier itself, by species, each with its source and range."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from importlib import resources
from typing import Any

from krogh.compounds.compound import Value
from krogh.compounds.ranges import Leaf
from krogh.compounds.values import Kind, read_value
from krogh.errors import InputError, nearest
from krogh.units import DIMENSIONS

__all__ = ["SPECIES", "Physiology", "get_physiology", "leaves", "listed", "with_physiology"]

SPECIES = ("human", "mouse", "rat")


@dataclass(frozen=True, slots=True)
class Physiology:
    """Describe the barrier and the tissue behind it; every field is a sourced :class:`~krogh.compounds.Value` in SI.

    Attributes
    ----------
    tissue_density_kg_m3
        Mass per volume of brain.
    barrier_area_m2_kg
        Area of the endothelium per mass of brain.
    capillary_radius_m, capillary_velocity_m_s, blood_flow_m3_s_kg
        The vessel; flow is that of whole blood, and drug is taken to travel at its speed.
    endothelium_thickness_m, basement_membrane_thickness_m, endfoot_thickness_m
        Layers between lumen and interstitium.
    basement_membrane_hindrance
        Effective over free diffusivity in the basement membrane.
    endfoot_gap_coefficient_1_m
        C_M: the gaps between the end-feet have the permeability D C_M.
    interstitial_fraction, tortuosity
        alpha and lambda of the interstitial space; D* = D / lambda^2.
    neuron_share
        Share of neurons in the cell volume; the rest is astrocytes.
    cell_surface_1_m
        Cell membrane per volume of tissue.
    interstitial_bulk_flow_m3_s_kg, perivascular_drainage_m3_s_kg
        Clearance with fluid, from the interstitium and from the basement membrane.
    ph_plasma, ph_interstitium, ph_cell
        Acidity of the media.
    amino_acid_ratio
        Large neutral amino acids in interstitium over plasma: the competitors of LAT1 on the brain side.
    """

    species: str
    tissue_density_kg_m3: Value
    barrier_area_m2_kg: Value
    capillary_radius_m: Value
    capillary_velocity_m_s: Value
    blood_flow_m3_s_kg: Value
    endothelium_thickness_m: Value
    basement_membrane_thickness_m: Value
    basement_membrane_hindrance: Value
    endfoot_thickness_m: Value
    endfoot_gap_coefficient_1_m: Value
    interstitial_fraction: Value
    tortuosity: Value
    neuron_share: Value
    cell_surface_1_m: Value
    interstitial_bulk_flow_m3_s_kg: Value
    perivascular_drainage_m3_s_kg: Value
    ph_plasma: Value
    ph_interstitium: Value
    ph_cell: Value
    amino_acid_ratio: Value

    @property
    def tissue_depth_m(self) -> float:
        """Return the depth of interstitium around a capillary that holds the tissue behind its wall (V/S by a ring) [m]."""
        r = self.capillary_radius_m.value
        layers = (self.endothelium_thickness_m, self.basement_membrane_thickness_m, self.endfoot_thickness_m)
        wall = r + sum(layer.value for layer in layers)
        return math.sqrt(wall**2 + 2 * r * self.tissue_per_area_m) - wall

    @property
    def tissue_per_area_m(self) -> float:
        """Return the tissue volume behind one square metre of barrier, 1 / (S rho) [m]."""
        return 1.0 / (self.barrier_area_m2_kg.value * self.tissue_density_kg_m3.value)


_FRACTION = Kind(("fraction",), 0.0, 1.0, open_low=True)
_PH = Kind(("fraction",), 4.0, 9.0)
_LENGTH = Kind(("length",), open_low=True)
_FLOW = Kind(("clearance_per_mass",))

#: key of the file -> (field, accepted numbers)
_KEYS: dict[str, tuple[str, Kind]] = {
    "tissue_density": ("tissue_density_kg_m3", Kind(("mass_concentration",), open_low=True)),
    "barrier_area": ("barrier_area_m2_kg", Kind(("area_per_mass",), open_low=True)),
    "capillary_radius": ("capillary_radius_m", _LENGTH),
    "capillary_velocity": ("capillary_velocity_m_s", Kind(("velocity",), open_low=True)),
    "blood_flow": ("blood_flow_m3_s_kg", Kind(("clearance_per_mass",), open_low=True)),
    "endothelium_thickness": ("endothelium_thickness_m", _LENGTH),
    "basement_membrane_thickness": ("basement_membrane_thickness_m", _LENGTH),
    "basement_membrane_hindrance": ("basement_membrane_hindrance", _FRACTION),
    "endfoot_thickness": ("endfoot_thickness_m", _LENGTH),
    "endfoot_gap_coefficient": ("endfoot_gap_coefficient_1_m", Kind(("per_length",), open_low=True)),
    "interstitial_fraction": ("interstitial_fraction", Kind(("fraction",), 0.01, 0.95)),
    "tortuosity": ("tortuosity", Kind(("fraction",), 1.0, 20.0)),
    "neuron_share": ("neuron_share", Kind(("fraction",), 0.01, 0.99)),
    "cell_surface": ("cell_surface_1_m", Kind(("per_length",), open_low=True)),
    "interstitial_bulk_flow": ("interstitial_bulk_flow_m3_s_kg", _FLOW),
    "perivascular_drainage": ("perivascular_drainage_m3_s_kg", _FLOW),
    "ph_plasma": ("ph_plasma", _PH),
    "ph_interstitium": ("ph_interstitium", _PH),
    "ph_cell": ("ph_cell", _PH),
    "amino_acid_ratio": ("amino_acid_ratio", Kind(("fraction",))),
}


@cache
def _table(species: str) -> dict[str, Any]:
    """Return the data file of a species as it is."""
    return tomllib.loads((resources.files("krogh.barrier") / "data" / f"{species}.toml").read_text(encoding="utf-8"))


@cache
def get_physiology(species: str) -> Physiology:
    """Return the physiology of ``human``, ``rat`` or ``mouse``.

    Raises
    ------
    InputError
        If the species is not known.
    """
    if species not in SPECIES:
        raise InputError("species", got=repr(species), expected=", ".join(SPECIES), hint=nearest(species, SPECIES))
    table = _table(species)
    values = {name: read_value(table[key], kind, f"{species}.{key}") for key, (name, kind) in _KEYS.items()}
    return Physiology(species=species, **values)


def with_physiology(physiology: Physiology, values: Mapping[str, Any]) -> Physiology:
    """Return a copy with `values`, e.g. ``{"capillary_radius": "2.5 um"}``; they get status U.

    Raises
    ------
    InputError
        If a key is unknown (names the nearest) or a value is out of range or in the wrong unit.
    """
    changed: dict[str, Any] = {}
    for key, raw in values.items():
        if key not in _KEYS:
            raise InputError(f"physiology.{key}", got="an unknown key", hint=nearest(key, _KEYS))
        name, kind = _KEYS[key]
        changed[name] = read_value(raw, kind, f"physiology.{key}")
    assert {f.name for f in fields(physiology)} >= set(changed)
    return replace(physiology, **changed)


def leaves(physiology: Physiology) -> Iterator[Leaf]:
    """Yield the numbers of a physiology in the order of its data file; the path is the name of the field."""
    for key, (name, kind) in _KEYS.items():
        yield Leaf(key, (name,), getattr(physiology, name), kind)


def listed(physiology: Physiology) -> Iterator[tuple[str, Value, Callable[[float], str]]]:
    """Yield key, value and a function that writes a number of that key in the unit of the data file, in its order."""
    table = _table(physiology.species)
    for key, (name, kind) in _KEYS.items():
        unit = table[key].get("unit", "")
        yield key, getattr(physiology, name), partial(_write, unit=unit, factor=DIMENSIONS[kind.dimensions[0]][1][unit])


def _write(value: float, unit: str, factor: float) -> str:
    return f"{value / factor:.4g} {unit}".strip()
