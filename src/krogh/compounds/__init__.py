"""Describe WHAT crosses the barrier: properties, binding, transport and plasma kinetics of compounds, each with its source."""

from __future__ import annotations

from krogh.compounds.completeness import missing_for_simulation, missing_kinetics
from krogh.compounds.compound import Compound, Metabolism, Permeability, PlasmaPK, Status, Transporter, Value
from krogh.compounds.diffusivity import aqueous_diffusivity, leicns_diffusivity
from krogh.compounds.ionisation import mean_charge, neutral_fraction
from krogh.compounds.library import get_compound, names
from krogh.compounds.override import split_setting, with_values
from krogh.compounds.parse import compound_from_mapping
from krogh.compounds.predict.equations import predict_permeability

__all__ = [
    "Compound",
    "Metabolism",
    "Permeability",
    "PlasmaPK",
    "Status",
    "Transporter",
    "Value",
    "aqueous_diffusivity",
    "compound_from_mapping",
    "get_compound",
    "leicns_diffusivity",
    "mean_charge",
    "missing_for_simulation",
    "missing_kinetics",
    "names",
    "neutral_fraction",
    "predict_permeability",
    "split_setting",
    "with_values",
]
