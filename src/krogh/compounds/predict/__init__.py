"""Predict what was not measured from structure, from a molecular dynamics profile or from an assay."""

from __future__ import annotations

from krogh.compounds.predict.assay import AssayResult, assay_permeability
from krogh.compounds.predict.descriptors import Descriptors, describe_structure
from krogh.compounds.predict.equations import EQUATIONS, Equation, cns_mpo, predict_permeability
from krogh.compounds.predict.permeability import PredictedPermeability, predict_intrinsic
from krogh.compounds.predict.profile import barrier_from_membrane, profile_permeability
from krogh.compounds.predict.summary import Molecule, StructurePrediction, predict_structures, read_molecule

__all__ = [
    "EQUATIONS",
    "AssayResult",
    "Descriptors",
    "Equation",
    "Molecule",
    "PredictedPermeability",
    "StructurePrediction",
    "assay_permeability",
    "barrier_from_membrane",
    "cns_mpo",
    "describe_structure",
    "predict_intrinsic",
    "predict_permeability",
    "predict_structures",
    "profile_permeability",
    "read_molecule",
]
