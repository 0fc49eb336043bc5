"""Hold the model against the rat: microdialysis of morphine and levodopa, Kp,uu of the Leiden drugs, paracellular markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from krogh.barrier.routes.paracellular import fit_pore, pore_permeability
from krogh.compounds import aqueous_diffusivity, get_compound
from krogh.errors import InputError
from krogh.validation.model import run_one
from krogh.validation.scores import score_folds
from krogh.validation.study import Goal, Row, Study

__all__ = ["leiden_study", "levodopa_study", "morphine_study", "observed_row", "paracellular_study"]

_MARKERS = ("mannitol", "sucrose", "inulin")


def _metrics(name: str, **settings: Any) -> Any:
    return run_one(name, **settings).metrics[0]


def observed_row(rows: Sequence[Mapping[str, str]], drug: str, condition: str, endpoint: str) -> Mapping[str, str]:
    """Return the one row of a drug, condition and endpoint; the texts need only be part of the table's."""
    found = [r for r in rows if r["drug"] == drug and condition in r["condition"] and endpoint in r["endpoint"]]
    if len(found) != 1:
        raise InputError("observed_summary_endpoints.csv", got=f"{len(found)} rows for {drug}, {condition}", expected="one")
    return found[0]


def paracellular_study(panel: Sequence[Mapping[str, str]]) -> Study:
    """Return one pore radius and open area for three markers, and each marker predicted by the pore of the other two."""
    by_name = {r["name"]: r for r in panel}
    measured = {n: 10.0 ** float(by_name[n]["log10_PS0_insitu_rat_mL_per_s_per_g"]) * 1e-4 for n in _MARKERS}
    d = {n: aqueous_diffusivity(get_compound(n)).value for n in _MARKERS}
    pore = fit_pore(list(d.values()), list(measured.values()))
    fitted = f"pore radius {pore.radius_m * 1e9:.2f} nm and open area {pore.area_fraction:.2g}, fitted to these three"
    rows = [
        Row(
            f"{n}, rat",
            "in-situ PS over 100 cm2/g",
            "m/s",
            measured[n],
            pore_permeability(d[n], pore),
            fitted=fitted,
            scored=False,
        )
        for n in _MARKERS
    ]
    for n in _MARKERS:
        rest = [m for m in _MARKERS if m != n]
        other = fit_pore([d[m] for m in rest], [measured[m] for m in rest])
        rows.append(
            Row(f"{n}, rat, from the other two", "in-situ PS over 100 cm2/g", "m/s", measured[n], pore_permeability(d[n], other),
                fitted=f"pore fitted to {' and '.join(rest)}", note="two markers hardly fix a radius beyond their own size")
        )  # fmt: skip
    worst = max(abs(np.log10(r.fold)) for r in rows[:3])
    goal = Goal("largest fold error of three markers, one pore", float(10.0**worst), "<= 2 (a fit)", bool(worst <= np.log10(2)))
    return Study(
        "paracellular", "Leak between the cells: one pore for three markers",
        "A calibration: it shows that one pore radius and one open area can hold a hundredfold of molar mass. The rows 'from the "
        "other two' are predictions.",
        "Smith 2024 table and notes; inulin from the panel", tuple(rows), (goal,), kind="calibration",
    )  # fmt: skip


def morphine_study(observed: Sequence[Mapping[str, str]]) -> Study:
    """Return interstitial AUC(0-165 min) of morphine with and without P-gp, and its change with dose."""
    rows = []
    fitted = (
        "P-gp clearance and P-gp share from the rate constants of the same study (Groenendaal 2007); PAMPA permeability; "
        "nothing to AUC"
    )
    notes = {
        "4 mg/kg": "unbound fraction in rat plasma is assumed as in man; the plasma model is another study's",
        "4 mg/kg, P-gp blocked": "as above",
        "40 mg/kg": "the measured fall with dose is a saturable influx of one direction whose Vmax nobody states: not in the "
        "model",
    }
    conditions: tuple[tuple[str, int, dict[str, float], str], ...] = (
        ("4 mg/kg", 4, {}, "4 mg/kg iv 10 min"),
        ("4 mg/kg, P-gp blocked", 4, {"P-gp": 0.0}, "4 mg/kg iv + GF120918"),
        ("40 mg/kg", 40, {}, "40 mg/kg iv 10 min"),
    )
    for text, dose, efflux, condition in conditions:
        m = _metrics("morphine", species="rat", dose=f"{dose} mg/kg infusion over 10 min", duration="165 min", efflux=efflux)
        seen = observed_row(observed, "morphine", condition, "brain ECF AUC")
        value = m.auc_interstitium * 285.34 * 1e3 / 60 * 4 / dose  # mol s/m3 -> ng min/mL
        rows.append(Row(f"morphine, rat, {text}", "unbound interstitium, AUC(0-165 min) normalised to 4 mg/kg", "ng min/mL",
                        float(seen["value"]), value, float(seen["spread"]), fitted, note=notes[text]))  # fmt: skip
    base, blocked, high = rows
    for text, top in (("P-gp blocked over active", blocked), ("40 over 4 mg/kg", high)):
        ratio = top.observed / base.observed
        sd = ratio * float(np.hypot(top.sd / top.observed, base.sd / base.observed))
        note = "plasma exposure cancels" if top is blocked else notes["40 mg/kg"]
        rows.append(Row(f"morphine, rat, {text}", "ratio of interstitial AUC", "1", ratio, top.predicted / base.predicted, sd,
                        fitted, note=note))  # fmt: skip
    goals = tuple(
        Goal(r.what, r.predicted, f"{r.observed:.3g} +- {r.sd:.2g}{'' if r.unit == '1' else ' ' + r.unit}", r.within_sd)
        for r in rows
    )
    return Study(
        "morphine", "Morphine with and without P-gp, and its dose non-linearity",
        "Microdialysis, corrected for recovery by its authors. The printed unit (ng h/mL) was 60 times off and was re-derived.",
        "Groenendaal 2007 doi:10.1038/sj.bjp.0707257", tuple(rows), goals,
    )  # fmt: skip


def levodopa_study(observed: Sequence[Mapping[str, str]]) -> Study:
    """Return levodopa interstitium over plasma in the rat and brain over plasma in man, and that dopamine stays out."""
    m = _metrics("levodopa", species="rat", dose="48 mg/kg oral", duration="8 h")
    ecf = observed_row(observed, "levodopa", "48 mg/kg + benserazide", "striatal ECF")["value"].split(";")
    plasma = observed_row(observed, "levodopa", "48 mg/kg + benserazide", "plasma t1/2")["value"].split(";")
    human = _metrics("levodopa")
    monkey = float(observed_row(observed, "levodopa", "iv infusion 2-3 h", "cisternal CSF:plasma")["value"])
    dopamine = _metrics("dopamine")
    lat1 = "Vmax of LAT1 from the uptake of 6-[18F]fluoro-levodopa in man; nothing to these"
    missing = (
        "a sodium-dependent efflux at the abluminal membrane (Hawkins 2005) has no published kinetics and is not in the model"
    )
    rows = (
        Row("levodopa, rat, AUC ratio", "unbound interstitium over total plasma, AUC", "1",
            float(ecf[3]) / float(plasma[3]), m.auc_interstitium / m.auc_plasma_total, fitted=lat1, note=missing),
        Row("levodopa, rat, tmax in interstitium", "unbound interstitium, tmax", "min", float(ecf[1]),
            m.tmax_interstitium_s / 60, 8.7, lat1, note=missing),
        Row("levodopa, rat, tmax in plasma", "total plasma, tmax", "min", float(plasma[1]), m.tmax_plasma_s / 60, 3.58,
            "ka of the rat fitted to this tmax", scored=False),
        Row("levodopa, human model beside a rhesus monkey", "interstitium (model), cisternal CSF (monkey) over plasma", "1",
            monkey, human.auc_interstitium / human.auc_plasma_total, fitted=lat1,
            note="two species and two matrices: a plausibility check", scored=False),
    )  # fmt: skip
    goals = (
        Goal("levodopa, rat, AUC ratio: fold error", rows[0].fold, "0.5 to 2", 0.5 <= rows[0].fold <= 2.0),
        Goal("dopamine, man: interstitium over free plasma", dopamine.kp_uu, "< 0.01", dopamine.kp_uu < 0.01),
    )
    return Study(
        "levodopa", "Levodopa by LAT1 against plasma amino acids; dopamine stays out", "Oral dose with benserazide, n = 7.",
        "abstracts named in observed_summary_endpoints.csv", rows, goals,
    )  # fmt: skip


def leiden_study(parameters: Sequence[Mapping[str, str]]) -> Study:
    """Return steady Kp,uu of the Leiden rat drugs: never fitted, never used as an input."""
    rows = []
    for entry in parameters:
        name = entry["drug"]
        # steady Kp,uu does not depend on brain binding, which is blank for most of these: any value serves
        m = _metrics(name, species="rat", dose="1 nM constant", duration="10 min", compound={name: {"fu_brain": "1"}})
        pumps = [
            t for t in get_compound(name).transporters if t.route == "efflux" and t.substrate in ("yes", "strong", "disputed")
        ]
        blank = [t.name for t in pumps if t.vmax_mol_m2_s is None]
        note = f"{', '.join(blank)}: kinetics blank, so not simulated" if blank else ""
        rows.append(Row(f"{name}, rat", "unbound interstitium over unbound plasma", "1", float(entry["Kpuu_ECF"]), m.kp_uu_steady,
                        fitted="nothing to Kp,uu", note=note))  # fmt: skip
    predicted, seen = np.array([r.predicted for r in rows]), np.array([r.observed for r in rows])
    score, dumb = score_folds(predicted, seen), score_folds(np.ones(len(rows)), seen)
    constant = score_folds(np.full(len(rows), float(10 ** np.mean(np.log10(seen)))), seen)
    beside = f"passive (Kp,uu = 1) {dumb.gmfe:.2f}; best constant, fitted to these, {constant.gmfe:.2f}"
    goals = (
        Goal(f"GMFE of {len(rows)} Kp,uu", score.gmfe, "", None, beside, score.gmfe_low, score.gmfe_high),
        Goal("within 2-fold", 100 * score.within_2, "", None, f"Kp,uu = 1: {100 * dumb.within_2:.0f} %"),
        Goal("within 3-fold", 100 * score.within_3, "", None, f"Kp,uu = 1: {100 * dumb.within_3:.0f} %"),
    )
    return Study(
        "leiden", "Kp,uu of the Leiden rat drugs",
        "Passive permeability, charge and known kinetics only. The published model reaches 2-fold because its asymmetry factors "
        "were back-solved from these very Kp,uu. Laboratories disagree: quinidine 1.5 and 0.05.",
        "Yamamoto 2017 doi:10.1002/psp4.12250", tuple(rows), goals,
    )  # fmt: skip
