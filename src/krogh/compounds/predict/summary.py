"""Put all predictions for one structure side by side, each with what it is a prediction of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from krogh.compounds.compound import Compound
from krogh.compounds.ionisation import neutral_fraction
from krogh.compounds.library import get_compound
from krogh.compounds.predict.descriptors import Descriptors, describe_molecule, read_structure
from krogh.compounds.predict.equations import EQUATIONS, cns_mpo
from krogh.compounds.predict.penetration import Penetration, predict_penetration
from krogh.compounds.predict.permeability import PredictedPermeability, predict_intrinsic
from krogh.errors import InputError

__all__ = ["Molecule", "StructurePrediction", "predict_structures", "read_molecule"]

_PH = 7.4


@dataclass(frozen=True)
class Molecule:
    """Hold one molecule that was asked for.

    Attributes
    ----------
    label : str
        As the user wrote it.
    structure : rdkit Mol
        Neutral parent.
    descriptors : Descriptors
        Of that.
    logp : float or None
        Measured; None where only a calculated one exists.
    compound : Compound or None
        The library's compound of that name, if it was asked for by name.
    """

    label: str
    structure: Any
    descriptors: Descriptors
    logp: float | None
    compound: Compound | None = None


@dataclass(frozen=True)
class StructurePrediction:
    """Hold the predictions for one molecule.

    Attributes
    ----------
    permeability : PredictedPermeability
        Intrinsic: neutral species, no pumps, no carriers, no flow limit.
    penetration : Penetration
        logBB and the chance of the label BBB+.
    equations : mapping of str to float
        log10 of each published equation (SI for permeabilities), by name.
    mpo, mpo_terms : float, int
        CNS MPO and how many of its six terms were computed.
    """

    molecule: Molecule
    permeability: PredictedPermeability
    penetration: Penetration
    equations: dict[str, float]
    mpo: float
    mpo_terms: int

    def record(self) -> dict[str, Any]:
        """Return plain numbers with units in the names."""
        d, p, b = self.molecule.descriptors, self.permeability, self.penetration
        value = p.permeability.p_m_s
        return {
            "molecule": self.molecule.label, "smiles": d.smiles, "notes": list(d.notes),
            "molar_mass_g_mol": d.molar_mass_kg_mol * 1e3,
            "logp": self.molecule.logp if self.molecule.logp is not None else d.logp_calculated, "logp_basis": p.logp_basis,
            "tpsa_A2": d.tpsa_m2 * 1e20, "hbd": d.hbd, "hba": d.hba, "rotatable_bonds": d.rotatable_bonds,
            "log10_ps_intrinsic_mL_s_g": p.log10_ps, "log10_ps_low_90": p.low, "log10_ps_high_90": p.high,
            "permeability_intrinsic_m_s": value.value, "inside_domain": p.inside, "outside_because": p.reason,
            "log_bb": b.log_bb, "log_bb_low_90": b.log_bb_low, "log_bb_high_90": b.log_bb_high,
            "probability_bbb_plus": b.probability, "similarity": b.similarity,
            "cns_mpo": self.mpo, "cns_mpo_terms": self.mpo_terms,
            "equations": [
                {"name": e.name, "quantity": e.quantity, "value_log10": self.equations[e.name],
                 "unit": "1" if e.quantity == "logBB" else "m/s", "n": e.n,
                 "rmse_log10": None if math.isnan(e.error) else e.error,
                 "status": e.status, "domain": e.domain, "source": e.source, "equation": e.text}
                for e in EQUATIONS
            ],
        }  # fmt: skip


def read_molecule(text: str, *, logp: float | None = None, where: str = "molecule") -> Molecule:
    """Return the molecule of a SMILES or of a name in the library.

    Raises
    ------
    InputError
        If it is neither, or the library has no structure of it.
    """
    if logp is not None and not (math.isfinite(logp) and -20 <= logp <= 20):
        raise InputError(f"{where}, logP", got=logp, expected="a number from -20 to 20")
    try:
        compound = get_compound(text)
    except InputError:
        compound = None
    if compound is None:
        mol, notes = read_structure(text, where)
        return Molecule(text, mol, describe_molecule(mol, notes), logp)
    if compound.smiles is None:
        raise InputError(where, got=f"'{compound.name}', of which the library has no structure", expected="a SMILES")
    mol, notes = read_structure(compound.smiles, where)
    held = compound.logp.value if compound.logp is not None and compound.logp.status == "V" else None
    return Molecule(compound.name, mol, describe_molecule(mol, notes), logp if logp is not None else held, compound)


def predict_structures(molecules: Sequence[Molecule]) -> list[StructurePrediction]:
    """Return the predictions of each molecule, in order.

    Raises
    ------
    UsageError
        If RDKit is missing (extra ``chem``).
    """
    permeability = predict_intrinsic([m.descriptors for m in molecules], [m.logp for m in molecules])
    penetration = predict_penetration([m.structure for m in molecules])
    return [StructurePrediction(m, p, b, *_by_equation(m)) for m, p, b in zip(molecules, permeability, penetration, strict=True)]


def _by_equation(m: Molecule) -> tuple[dict[str, float], float, int]:
    logp = m.logp if m.logp is not None else m.descriptors.logp_calculated
    # Clark's form was refitted with the calculated logP
    values = {
        e.name: e.compute(m.descriptors, m.descriptors.logp_calculated if e.quantity == "logBB" else logp) for e in EQUATIONS
    }
    base, logd = None, None
    if m.compound is not None and (m.compound.pka_base or m.compound.pka_acid):
        base = max((v.value for v in m.compound.pka_base), default=0.0)
        logd = logp + math.log10(max(neutral_fraction(m.compound, _PH), 1e-12))
    return values, *cns_mpo(m.descriptors, logp, base, logd)
