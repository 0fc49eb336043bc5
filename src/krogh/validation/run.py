"""Run every comparison for which data are at hand, in a fixed order; say which are left out and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.compounds.predict.b3db import clean_classification, clean_regression
from krogh.errors import InputError
from krogh.validation import b3db, human, inference, pet, rat
from krogh.validation.structure import permeability_rows, score_permeability
from krogh.validation.study import Goal, Study

__all__ = ["STUDIES", "Tables", "as_record", "run_study"]

#: Returns the rows of one table of the data folder by its short name.
Tables = Callable[[str], Sequence[Mapping[str, str]]]
SEEDS = (1, 2, 3, 4, 5)
_REFITTED = "TPSA and logP, refitted (Clark's form)"


@dataclass(frozen=True, slots=True)
class _Entry:
    build: Callable[[Tables], Study]
    title: str


def structure_study(tables: Tables) -> Study:
    """Return the regression on in-situ PS, every skeleton held out in turn, beside the published line and a constant."""
    rows = permeability_rows(tables("in_situ"))
    scores = {s.name: s for s in score_permeability(rows)}
    ours, line = scores["krogh, measured logP"], scores["line on logP - 0.5 log MW, measured logP"]
    rough, constant = scores["krogh, calculated logP"], scores["constant"]
    published = scores["Smith 2024 as published"]
    beside = f"line {line.rmse:.2f}; Smith 2024 on its own training data {published.rmse:.2f}; constant {constant.rmse:.2f}"
    half = 1.96 * np.sqrt(0.9 * 0.1 / len(rows.names))
    goals = (
        Goal("RMSE, measured logP [log10]", ours.rmse, "<= 0.50", ours.rmse <= 0.50, beside),
        Goal("90 % interval covers, % of held-out compounds", 100 * ours.coverage, "86 to 94", 0.86 <= ours.coverage <= 0.94, "",
             100 * (ours.coverage - half), 100 * (ours.coverage + half)),
        Goal("within 3-fold, %", 100 * ours.within_3_fold, "", None, f"line {100 * line.within_3_fold:.0f}"),
        Goal("RMSE, calculated logP [log10]", rough.rmse, "", None, f"line {scores['the same line, calculated logP'].rmse:.2f}"),
        Goal("90 % interval covers, calculated logP, %", 100 * rough.coverage, "", None),
    )  # fmt: skip
    shown = {s.name: (rows.log10_ps, s.predicted) for s in (ours, rough, line)}
    left = f" Left out, no structure: {', '.join(rows.left_out)}." if rows.left_out else ""
    return Study(
        "structure", "Intrinsic permeability from structure against rat in-situ perfusion",
        f"{len(rows.names)} compounds over {np.ptp(rows.log10_ps):.0f} decades of intrinsic PS (neutral species). Each skeleton "
        f"is predicted "
        "by a model that never saw it: scaling, hyperparameters, weights and width of the interval are fitted without it." + left,
        "Smith 2024 doi:10.1186/s12987-024-00584-y, table by petrov-aleks (BSD-3)", goals=goals, scatter=shown,
    )  # fmt: skip


def b3db_study(tables: Tables) -> Study:
    """Return the B3DB predictors over five seeds beside their baselines."""
    labels, levels = clean_classification(tables("b3db_classification")), clean_regression(tables("b3db_regression"))
    found = [*b3db.score_classification(labels, SEEDS), *b3db.score_regression(levels, SEEDS)]
    by = {(s.model, s.measure): s for s in found}

    def goal(measure: str, text: str, test: Callable[[float], bool] | None, beside: str) -> Goal:
        score = by["krogh kernel", measure]
        low, high = min(score.values), max(score.values)
        return Goal(
            f"{measure}, mean of {len(SEEDS)} seeds", score.mean, text, test(score.mean) if test else None, beside, low, high
        )

    goals = (
        goal("AUROC", "> 0.90", lambda v: v > 0.90, f"TPSA alone {by['TPSA alone', 'AUROC'].mean:.3f}; share of BBB+ 0.5"),
        goal("calibration error", "< 0.05", lambda v: v < 0.05, "ten bins"),
        goal("Matthews", "", None, f"TPSA < 90 A2: {by['TPSA < 90 A2', 'Matthews'].mean:.2f}"),
        goal("RMSE logBB", "< 0.50", lambda v: v < 0.50,
             f"TPSA and logP refitted {by[_REFITTED, 'RMSE logBB'].mean:.2f}; "
             f"constant {by['constant', 'RMSE logBB'].mean:.2f}"),
        goal("coverage of 90 %", "0.86 to 0.94", lambda v: 0.86 <= v <= 0.94, ""),
    )  # fmt: skip
    taken = "; ".join(f"{n} {reason}" for reason, n in {**labels.dropped, **levels.dropped}.items() if n)
    return Study(
        "b3db", "BBB+ or BBB-, and logBB, from structure on B3DB",
        f"{len(labels.y)} skeletons with one label, {len(levels.y)} with logBB; cross-validated in five parts, stereoisomers "
        f"merged. Taken out: "
        f"{taken}. Ranges are over seeds. Labels and logBB are a compilation of total brain over blood.",
        "B3DB (CC0) doi:10.1038/s41597-021-01069-5", goals=goals,
    )  # fmt: skip


def _human(tables: Tables) -> Study:
    return human.human_study(tables("human"), tables("human_benchmark"), permeability_rows(tables("in_situ")))


#: Name -> how it is built and what it is, in the order of the report.
STUDIES: dict[str, _Entry] = {
    "structure": _Entry(structure_study, "permeability from structure"),
    "b3db": _Entry(b3db_study, "BBB+ and logBB from structure"),
    "paracellular": _Entry(lambda t: rat.paracellular_study(t("panel")), "leak between the cells"),
    "human": _Entry(_human, "human plasma to CSF and brain"),
    "morphine": _Entry(lambda t: rat.morphine_study(t("endpoints")), "morphine and P-gp"),
    "levodopa": _Entry(lambda t: rat.levodopa_study(t("endpoints")), "levodopa and dopamine"),
    "verapamil": _Entry(lambda t: pet.verapamil_study(t("endpoints")), "verapamil PET"),
    "leiden": _Entry(lambda t: rat.leiden_study(t("leiden")), "Kp,uu of the Leiden drugs"),
    "inference": _Entry(lambda t: inference.inference_study(t("endpoints"), t("human")), "which parameters the data can hold"),
    "pbr28": _Entry(lambda t: pet.pbr28_study(t("pet_blood"), t("pet_tissue"), t("pet_reference")), "PBR28 PET"),
}


def run_study(name: str, tables: Tables) -> Study:
    """Return one study.

    Raises
    ------
    InputError
        If the name is unknown, or a table that it needs is missing or malformed.
    """
    if name not in STUDIES:
        raise InputError("--only", got=f"'{name}'", expected="one of " + ", ".join(STUDIES))
    try:
        return STUDIES[name].build(tables)
    except (KeyError, ValueError, StopIteration) as error:
        raise InputError(
            f"data of '{name}'", got=f"{type(error).__name__}: {error}", expected="tables as docs/how-to/validate.md lists"
        ) from None


def as_record(study: Study) -> dict[str, Any]:
    """Return a study as plain values for JSON; NaN stays NaN and is written as null."""
    rows = [
        {"what": r.what, "matrix": r.matrix, "unit": r.unit, "observed": r.observed, "sd": r.sd,
         "predicted": r.predicted, "fold": r.fold,
         "within_sd": r.within_sd, "fitted": r.fitted, "scored": r.scored, "note": r.note}
        for r in study.rows
    ]  # fmt: skip
    goals = [
        {"what": g.what, "value": g.value, "low": g.low, "high": g.high, "goal": g.goal, "met": g.met, "beside": g.beside}
        for g in study.goals
    ]  # fmt: skip
    return {
        "name": study.name,
        "title": study.title,
        "kind": study.kind,
        "source": study.source,
        "text": study.text,
        "rows": rows,
        "goals": goals,
    }
