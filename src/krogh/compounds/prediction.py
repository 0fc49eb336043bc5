"""Predict what was not measured from molar mass and lipophilicity; every result has status C and names its equation."""

from __future__ import annotations

import math

from krogh.compounds.compound import Permeability, Value
from krogh.errors import InputError

__all__ = ["SMITH_LINE", "predict_permeability"]

SMITH_LINE = "Smith 2024 line"
_SLOPE, _INTERCEPT, _RMSE_LOG10 = 0.887, -1.24, 0.50
_SURFACE_M2_KG = 10.0  # 100 cm2/g, the area by which PS is divided


def predict_permeability(logp: float, molar_mass_kg_mol: float) -> Permeability:
    """Return the intrinsic permeability by log10 PS0 [mL/s/g] = -1.24 + 0.887 (logP - 0.5 log10 MW).

    Parameters
    ----------
    logp : float
        Octanol-water partition coefficient of the neutral species, log10.
    molar_mass_kg_mol : float
        Molar mass [kg/mol] > 0.

    Returns
    -------
    Permeability
        Neutral species, whole endothelium; ``low`` and ``high`` are one RMSE (0.50 log10) away.

    References
    ----------
    Smith 2024, Fluids Barriers CNS, doi:10.1186/s12987-024-00584-y: 78 compounds, rat in situ perfusion, R2 0.95.
    """
    if not (math.isfinite(logp) and math.isfinite(molar_mass_kg_mol) and molar_mass_kg_mol > 0):
        raise InputError(
            "permeability prediction", got=f"logP {logp}, molar mass {molar_mass_kg_mol} kg/mol", expected="finite, mass > 0"
        )
    log_ps = _INTERCEPT + _SLOPE * (logp - 0.5 * math.log10(molar_mass_kg_mol * 1e3))
    p = [10.0 ** (log_ps + shift) * 1e-3 / _SURFACE_M2_KG for shift in (0.0, -_RMSE_LOG10, _RMSE_LOG10)]
    source = f"{SMITH_LINE} from logP {logp:g}, doi:10.1186/s12987-024-00584-y, PS divided by 100 cm2/g"
    return Permeability(Value(p[0], source, "C", p[1], p[2]), "intrinsic", SMITH_LINE, "rat")
