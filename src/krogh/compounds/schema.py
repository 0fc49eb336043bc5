"""List the keys of a compound file, the field that each fills and the numbers that it accepts."""

from __future__ import annotations

from krogh.compounds.values import Kind

__all__ = [
    "COMPOUND_KEYS",
    "LENDERS",
    "METABOLISM_KEYS",
    "PARAMETER_SUFFIXES",
    "PERMEABILITY_KEYS",
    "PER_SPECIES",
    "PK",
    "PK_KEYS",
    "SCALARS",
    "SHEET",
    "SPECIES",
    "TRANSPORTER_KEYS",
]

SPECIES = ("human", "rat", "mouse", "monkey", "dog", "sheep")
#: Where brain binding comes from if a species has none: it hardly depends on the species.
LENDERS = ("rat", "mouse", "human", "monkey", "dog", "sheep")
_PURE = ("fraction",)
_FU = Kind(_PURE, 0.0, 1.0, open_low=True)
PKA = Kind(_PURE, -10.0, 20.0)
COUNT = Kind(_PURE, 0.0, 1000.0)
RATIO = Kind(_PURE)

#: key -> (field of Compound, accepted numbers)
SCALARS: dict[str, tuple[str, Kind]] = {
    "molar_mass": ("molar_mass_kg_mol", Kind(("molar_mass",), open_low=True)),
    "logp": ("logp", Kind(_PURE, -20.0, 20.0)),
    "logd74": ("logd74", Kind(_PURE, -20.0, 20.0)),
    "tpsa": ("tpsa_m2", Kind(("area",))),
    "hbd": ("hbd", COUNT),
    "hba": ("hba", COUNT),
    "rotatable_bonds": ("rotatable_bonds", COUNT),
    "diffusivity": ("diffusivity_m2_s", Kind(("diffusivity",), open_low=True)),
}

#: key -> (field of Compound, accepted numbers); the value is a table with one entry per species
PER_SPECIES: dict[str, tuple[str, Kind]] = {
    "fu_plasma": ("fu_plasma", _FU),
    "fu_brain": ("fu_brain", _FU),
    "vu_brain": ("vu_brain_m3_kg", Kind(("volume_per_mass",), open_low=True)),
    "kp_uu": ("kp_uu", RATIO),
}

COMPOUND_KEYS = (
    "name",
    "role",
    "smiles",
    "aliases",
    "notes",
    *SCALARS,
    "pka_acid",
    "pka_base",
    *PER_SPECIES,
    "permeability",
    "permeability_basis",
    "transporter",
    "metabolism",
    "pk",
)
#: Solubility-diffusion K D_m / d, in place of a value: key -> accepted numbers
SHEET: dict[str, Kind] = {
    "partition": RATIO,
    "membrane_diffusivity": Kind(("diffusivity",)),
    "membrane_thickness": Kind(("length",), open_low=True),
}
PERMEABILITY_KEYS = ("value", "unit", "source", "status", "low", "high", "surface", "basis", "method", "species", *SHEET)
TRANSPORTER_KEYS = ("name", "route", "substrate", "side", "source", "status", "km", "vmax", "competitors", "parameters")
METABOLISM_KEYS = ("enzyme", "location", "rate", "km", "product")

VELOCITY = Kind(("permeability",))
SURFACE = Kind(("area_per_mass",), open_low=True)
CONCENTRATION = Kind(("concentration",), open_low=True)
FLUX = Kind(("flux",))
RATE = Kind(("rate",))
BODY_MASS = Kind(("mass",), open_low=True)

#: key -> (field of PlasmaPK, accepted numbers)
PK: dict[str, tuple[str, Kind]] = {
    "v1": ("v1_m3", Kind(("volume",), open_low=True)),
    "cl": ("cl_m3_s", Kind(("flow",))),
    "q2": ("q2_m3_s", Kind(("flow",))),
    "v2": ("v2_m3", Kind(("volume",), open_low=True)),
    "q3": ("q3_m3_s", Kind(("flow",))),
    "v3": ("v3_m3", Kind(("volume",), open_low=True)),
    "ka": ("ka_per_s", Kind(("rate",), open_low=True)),
    "bioavailability": ("bioavailability", Kind(_PURE, 0.0, 1.0)),
    "lag": ("lag_s", Kind(("time",))),
}
PK_KEYS = ("body_mass", "basis", *PK)

#: End of a transporter parameter's name -> dimension; the longest end that fits counts.
PARAMETER_SUFFIXES: dict[str, str] = {
    "_mol_m2_s": "flux",
    "_mol_m2": "surface_density",
    "_mol_m3": "concentration",
    "_m2_s": "diffusivity",
    "_m_s": "permeability",
    "_per_s": "rate",
    "_m2": "area",
    "_m3": "volume",
    "_m": "length",
    "_s": "time",
}
