"""Hold the published equations by name, each with what it predicts, from how many compounds, how well, and whether it was read.

A coefficient with status V was read in its source. One that is only recalled is not here: where its form is useful it was
refitted on data at hand (status C) and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from krogh.compounds.compound import Permeability, Value
from krogh.compounds.predict.descriptors import Descriptors
from krogh.errors import InputError

__all__ = ["EQUATIONS", "SMITH_LINE", "Equation", "Quantity", "cns_mpo", "predict_permeability"]

SMITH_LINE = "Smith 2024 line"
_SMITH_RMSE = 0.50
#: 100 cm2/g, the area by which PS is divided.
_ML_S_G_TO_M_S = 1e-3 / 10.0
_CM = 1e-2

Quantity = Literal["intrinsic permeability", "apparent permeability", "assay permeability", "logBB", "score"]


@dataclass(frozen=True, slots=True)
class Equation:
    """Describe one published equation.

    Attributes
    ----------
    name, text, source : str
        Short name, the equation as printed, and where from.
    quantity : Quantity
        What it gives; intrinsic, apparent and assay permeabilities are never mixed.
    n : int
        Compounds it was fitted on.
    error : float
        RMSE in log10 units; NaN where the source gives none.
    domain : str
        What it was made for.
    status : {"V", "C"}
        Read in the source, or refitted on data at hand.
    compute : callable
        (descriptors, logP) -> log10 of the SI value [m/s], or logBB.
    """

    name: str
    text: str
    source: str
    quantity: Quantity
    n: int
    error: float
    domain: str
    status: Literal["V", "C"]
    compute: Callable[[Descriptors, float], float]


def _log_mass(d: Descriptors) -> float:
    return math.log10(d.molar_mass_kg_mol * 1e3)


def _in_m_s(log_ps_ml_s_g: float) -> float:
    return log_ps_ml_s_g + math.log10(_ML_S_G_TO_M_S)


EQUATIONS: tuple[Equation, ...] = (
    Equation(
        "Smith 2024", "log PS0 [mL/s/g] = -1.24 + 0.887 (logP - 0.5 log MW)", "doi:10.1186/s12987-024-00584-y",
        "intrinsic permeability", 78, _SMITH_RMSE, "rat in situ perfusion, neutral species, measured logP -4 to 8", "V",
        lambda d, logp: _in_m_s(-1.24 + 0.887 * (logp - 0.5 * _log_mass(d))),
    ),
    Equation(
        "Grumetto 2016", "log P0 [cm/s] = 0.939 logP - 6.21", "Grumetto 2016, as used by LeiCNS (PMC8405486)",
        "intrinsic permeability", 36, math.nan, "R2 0.78; gives values 8 to 830 times below in situ perfusion", "V",
        lambda d, logp: 0.939 * logp - 6.21 + math.log10(_CM),
    ),
    Equation(
        "Luco 2006", "log PS [mL/s/g] = -2.06 + 0.448 logP - 0.366 MW/100", "Luco 2006",
        "apparent permeability", 22, 0.44, "rat in situ perfusion as measured: flow, binding and pumps are in it", "V",
        lambda d, logp: _in_m_s(-2.06 + 0.448 * logp - 0.366 * d.molar_mass_kg_mol * 10.0),
    ),
    Equation(
        "Tsinman 2011", "log P0 [cm/s] = -4.69 + 0.74 (logP - 0.5 log MW)", "fit to Tsinman 2011 (PAMPA-BBB)",
        "assay permeability", 107, 1.05, "PAMPA-BBB; in situ perfusion is on average 1.7 higher in log10", "V",
        lambda d, logp: -4.69 + 0.74 * (logp - 0.5 * _log_mass(d)) + math.log10(_CM),
    ),
    Equation(
        "Clark's form, refitted", "logBB = 0.260 + 0.0603 logP - 0.00876 TPSA [A2]",
        "form of Clark 1999 doi:10.1021/js980402t; coefficients fitted here on cleaned B3DB, Crippen logP", "logBB",
        928, 0.63, "total brain over blood, mixed species and times; R2 0.31", "C",
        lambda d, logp: 0.260 + 0.0603 * logp - 0.00876 * d.tpsa_m2 * 1e20,
    ),
)  # fmt: skip


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
    log_ps = -1.24 + 0.887 * (logp - 0.5 * math.log10(molar_mass_kg_mol * 1e3))
    p = [10.0 ** (log_ps + shift) * _ML_S_G_TO_M_S for shift in (0.0, -_SMITH_RMSE, _SMITH_RMSE)]
    source = f"{SMITH_LINE} from logP {logp:g}, doi:10.1186/s12987-024-00584-y, PS divided by 100 cm2/g"
    return Permeability(Value(p[0], source, "C", p[1], p[2]), "intrinsic", SMITH_LINE, "rat")


def _falling(value: float, good: float, bad: float) -> float:
    return min(max((bad - value) / (bad - good), 0.0), 1.0)


def cns_mpo(d: Descriptors, logp: float, pka_base: float | None, logd: float | None) -> tuple[float, int]:
    """Return the CNS MPO score and how many of its six terms could be computed.

    Each term falls from 1 to 0: logP 3 to 5, logD 2 to 4, MW 360 to 500, HBD 0.5 to 3.5, pKa 8 to 10; TPSA rises from 20 to 40
    and falls from 90 to 120 A2. A good score is 4 or more **of 6**; without a pKa and logD only four terms remain.

    References
    ----------
    Wager 2010, doi:10.1021/cn100008c.
    """
    area = d.tpsa_m2 * 1e20
    hump = min(max((area - 20.0) / 20.0, 0.0), 1.0) * _falling(area, 90.0, 120.0)
    terms = [_falling(logp, 3, 5), _falling(d.molar_mass_kg_mol * 1e3, 360, 500), _falling(d.hbd, 0.5, 3.5), hump]
    terms += [_falling(pka_base, 8, 10)] if pka_base is not None else []
    terms += [_falling(logd, 2, 4)] if logd is not None else []
    return math.fsum(terms), len(terms)
