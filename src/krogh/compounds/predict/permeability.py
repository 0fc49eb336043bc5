"""Predict the intrinsic permeability of the barrier from structure, with an interval and whether it may be trusted.

Our own regression on the rat in-situ perfusions at hand (neutral species, no efflux, no flow limit). Two processes: one for a
measured logP, one for a calculated one; the second is wider, because calculated logP errs by about 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from krogh.compounds.compound import Permeability, Value
from krogh.compounds.predict.descriptors import Descriptors
from krogh.compounds.predict.process import GaussianProcess

__all__ = ["FEATURES", "LINE", "PredictedPermeability", "feature_row", "model_record", "predict_intrinsic"]

#: Columns of the regression; the first two make its straight line.
FEATURES = ("logp", "log10_molar_mass", "tpsa", "hbd", "hba", "rotatable_bonds", "aromatic_rings", "nitrogens", "amides", "acids")
LINE = (0, 1)
METHOD = "structure (krogh)"
_ML_S_G_TO_M_S = 1e-3 / 10.0  # mL/s/g over 100 cm2/g
_MARGIN = 0.1  # share of the range of a descriptor that may lie outside


@dataclass(frozen=True, slots=True)
class PredictedPermeability:
    """Hold one prediction.

    Attributes
    ----------
    log10_ps, low, high : float
        log10 of intrinsic PS [mL/s/g]: centre and ends of the 90 % interval.
    inside : bool
        Whether the structure lies inside what the regression has seen.
    reason : str
        Why not, or an empty text.
    logp_basis : {"measured", "calculated"}
        Which logP was used.
    """

    log10_ps: float
    low: float
    high: float
    inside: bool
    reason: str
    logp_basis: str

    @property
    def permeability(self) -> Permeability:
        """Return it as an intrinsic permeability of the whole endothelium [m/s], status C."""
        p = [10.0**v * _ML_S_G_TO_M_S for v in (self.log10_ps, self.low, self.high)]
        source = f"krogh regression on rat in situ perfusion (Smith 2024 table), {self.logp_basis} logP, 90 % interval, 100 cm2/g"
        if not self.inside:
            source += f"; outside its domain: {self.reason}"
        return Permeability(Value(p[0], source, "C", p[1], p[2]), "intrinsic", METHOD, "rat")


def feature_row(d: Descriptors, logp: float) -> list[float]:
    """Return one row of :data:`FEATURES` (TPSA in A2, molar mass in g/mol)."""
    counts = (d.hbd, d.hba, d.rotatable_bonds, d.aromatic_rings, d.nitrogens, d.amides, d.acids)
    return [logp, float(np.log10(d.molar_mass_kg_mol * 1e3)), d.tpsa_m2 * 1e20, *map(float, counts)]


@cache
def model_record() -> dict[str, Any]:
    """Return the trained model as it was stored, with its cross-validated scores (``bench/train_predictors.py`` writes it)."""
    text = (resources.files("krogh.compounds.predict") / "data" / "permeability.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def _process(basis: str) -> GaussianProcess:
    return GaussianProcess.from_record(model_record()["models"][basis])


def predict_intrinsic(
    structures: Sequence[Descriptors], logp: Sequence[float | None] | None = None
) -> list[PredictedPermeability]:
    """Return the predicted intrinsic PS of each structure.

    Parameters
    ----------
    structures : sequence of Descriptors
        From :func:`~krogh.compounds.predict.descriptors.describe_structure`.
    logp : sequence of float or None, optional
        Measured octanol-water logP where known; None takes the calculated one, with a wider interval.

    Returns
    -------
    list of PredictedPermeability
        In the order given.

    Notes
    -----
    Passive and neutral: charge at pH 7.4, carriers and pumps are **not** in it. Cross-validated scores are in
    ``docs/how-to/predict.md`` and are printed by ``krogh validate``.
    """
    measured = list(logp) if logp is not None else [None] * len(structures)
    found: list[PredictedPermeability | None] = [None] * len(structures)
    for basis in ("measured", "calculated"):
        index = [i for i, v in enumerate(measured) if (v is not None) == (basis == "measured")]
        if not index:
            continue
        rows = np.array([feature_row(structures[i], _logp(measured[i], structures[i])) for i in index])
        process, record = _process(basis), model_record()["models"][basis]
        mean, sd = process.predict(rows)
        for k, i in enumerate(index):
            reason = _outside(rows[k], float(sd[k]), process, record, structures[i])
            half = process.factor * float(sd[k])
            found[i] = PredictedPermeability(
                float(mean[k]), float(mean[k]) - half, float(mean[k]) + half, not reason, reason, basis
            )
    return [f for f in found if f is not None]


def _logp(measured: float | None, d: Descriptors) -> float:
    return d.logp_calculated if measured is None else measured


def _outside(row: np.ndarray, sd: float, process: GaussianProcess, record: dict[str, Any], d: Descriptors) -> str:
    """Return why a structure is outside of the domain: a descriptor beyond its range, or a spread beyond any seen."""
    if any("permanently" in note for note in d.notes):
        return "permanently charged"
    seen = np.round(process.x * process.scale + process.mean, 9) + 0.0  # counts come back whole
    low, high = seen.min(0), seen.max(0)
    beyond = np.maximum(low - row, row - high) > _MARGIN * (high - low)
    if beyond.any():
        i = int(np.argmax(beyond))
        return f"{FEATURES[i]} {row[i]:.3g} beyond {low[i]:.3g} to {high[i]:.3g}"
    if sd > record["largest_sd"]:
        return "unlike any training compound"
    return ""
