"""Ask published data which parameters they hold: morphine with and without P-gp, levodopa, human paracetamol and mannitol.

Other studies predict these data from independent values; this one turns them round. A series that holds nothing is the finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from krogh.inference.experiment import Experiment
from krogh.inference.observations import Observations
from krogh.runs.config import build_config
from krogh.runs.infer import Inference, build_experiment, infer
from krogh.runs.infer_tables import combination_rows, combination_text, estimate_rows
from krogh.validation.lumbar import READERS
from krogh.validation.rat import observed_row
from krogh.validation.study import Goal, Row, Study

__all__ = ["inference_study"]

Table = Sequence[Mapping[str, str]]
_CELLS = 24
_NG_MIN_ML = 60 / 1e3 / 285.34  # morphine: ng min/mL -> mol s/m3
#: Relative SD where the source gives none, and on top of a given one: values were read off figures.
_WITHOUT, _DIGITISED = 0.25, 0.1
_SERIES = (("Paracetamol", "acetaminophen"), ("Mannitol", "mannitol"))


def _experiment(name: str, dataset: str, plasma: Any = None, readers: Any = None, **settings: Any) -> Experiment:
    config = build_config({}, (), {"compounds": [name], "cells": _CELLS, **settings})
    return build_experiment(dataset, config, plasma=plasma, readers=readers)


def _observed(dataset: Sequence[str], matrix: str, t_s: Any, value: Any, sd: Any, cv: float = 0.0) -> Observations:
    n = len(dataset)
    t, y, s = (np.broadcast_to(np.asarray(v, dtype=float), (n,)).copy() for v in (t_s, value, sd))
    return Observations(tuple(dataset), (matrix,) * n, t, y, s, np.full(n, cv), np.zeros(n), np.arange(1, n + 1))


def _goals(title: str, result: Inference) -> list[Goal]:
    """Return one line a parameter: its estimate with interval, or what the data say instead."""
    goals = []
    for row in estimate_rows(result):
        value, low, high = (float("nan") if row[k] is None else float(row[k]) for k in ("estimate", "low", "high"))
        goals.append(
            Goal(f"{title}: {row['parameter']} [{row['unit']}]", value, "", None,
                 f"{row['verdict']}; library {row['library']:.3g}", low, high)
        )  # fmt: skip
    goals += [
        Goal(
            f"{title}: {c['combination']} [{c['unit']}]",
            c["estimate"],
            "",
            None,
            f"held: {combination_text(c)}",
            c["low"],
            c["high"],
        )
        for c in combination_rows(result)
    ]
    text = f"chi2 {result.fit.chi2:.1f} for {result.fit.dof} degrees of freedom"
    if result.fit.dof > 0:
        goals.append(Goal(f"{title}: p of the misfit", result.fit.p_value, "", None, text))
    return goals


def _morphine(endpoints: Table) -> tuple[Inference, list[Row]]:
    """Infer P and the Vmax of P-gp from the interstitial AUC of 4 mg/kg with and without GF120918."""
    base: dict[str, Any] = {"species": "rat", "dose": "4 mg/kg infusion over 10 min"}
    active, blocked = "P-gp active", "P-gp blocked (GF120918)"
    experiments = {
        active: _experiment("morphine", active, **base),
        blocked: _experiment("morphine", blocked, **base, efflux={"P-gp": 0.0}),
    }
    rows = [observed_row(endpoints, "morphine", c, "brain ECF AUC") for c in ("4 mg/kg iv 10 min", "4 mg/kg iv + GF120918")]
    value, sd = (np.array([float(r[k]) for r in rows]) * _NG_MIN_ML for k in ("value", "spread"))
    data = _observed((active, blocked), "interstitium auc", 165 * 60.0, value, sd)
    result = infer(experiments, data, ["P", "Vmax"], posterior=False)
    found = [
        Row(f"morphine, rat, {d}", "unbound interstitium, AUC(0-165 min)", "ng min/mL", value[i] / _NG_MIN_ML,
            float(result.fit.predicted[i]) / _NG_MIN_ML, sd[i] / _NG_MIN_ML, "P and Vmax of P-gp, to these two",
            scored=False)
        for i, d in enumerate(data.dataset)
    ]  # fmt: skip
    return result, found


def _levodopa(endpoints: Table) -> tuple[Inference, list[Row]]:
    """Infer the Vmax of LAT1 from interstitial over plasma AUC after 48 mg/kg by mouth."""
    label = "48 mg/kg oral, with benserazide"
    experiment = _experiment("levodopa", label, species="rat", dose="48 mg/kg oral")
    ecf, plasma = (
        observed_row(endpoints, "levodopa", "48 mg/kg + benserazide", part) for part in ("striatal ECF", "plasma t1/2")
    )
    (a, da), (b, db) = ((float(r["value"].split(";")[3]), float(r["spread"].split("(")[0].split(";")[3])) for r in (ecf, plasma))
    ratio = a / b
    relative = float(np.hypot(da / a, db / b)) / np.sqrt(7)  # the mean of seven animals
    t_end = 8 * 3600.0
    exposure = float(experiment.problem([experiment.subject], t_end).blood.auc_total(t_end)[0, 0])  # type: ignore[attr-defined]
    data = _observed((label,), "interstitium auc", t_end, ratio * exposure, relative * ratio * exposure)
    result = infer({label: experiment}, data, ["LAT1.Vmax"], posterior=False)
    row = Row("levodopa, rat, AUC ratio", "unbound interstitium over total plasma, AUC", "1", ratio,
              float(result.fit.predicted[0]) / exposure, relative * ratio, "Vmax of LAT1, to this value",
              scored=False)  # fmt: skip
    return result, [row]


def _human(table: Table, drug: str, name: str) -> Inference:
    """Infer P from lumbar CSF, driven by the plasma that was measured in the same study."""
    experiments, parts = {}, []
    for study in dict.fromkeys((r["study"], r["route"]) for r in table if r["drug"] == drug):
        mine = [r for r in table if (r["drug"], r["study"], r["route"]) == (drug, *study)]
        plasma, csf = (
            sorted((r for r in mine if r["site"] == s), key=lambda r: float(r["time_s"])) for s in ("plasma", "lumbar_CSF")
        )
        label = f"{drug}, {study[1]}, {study[0]}"
        curve = tuple(np.array([float(r[k]) for r in plasma]) for k in ("time_s", "conc_mol_per_m3"))
        experiments[label] = _experiment(name, label, plasma=curve, readers=READERS)
        value = np.array([float(r["conc_mol_per_m3"]) for r in csf])
        spread = np.array([float(r["conc_sd_up_mol_per_m3"] or "nan") / np.sqrt(float(r["n_subjects"] or 1)) for r in csf])
        sd = np.hypot(np.where(np.isnan(spread), _WITHOUT * value, spread), _DIGITISED * value)
        parts.append(_observed((label,) * len(csf), "lumbar csf", [float(r["time_s"]) for r in csf], value, sd))
    data = Observations.join(parts)
    return infer(experiments, data, ["P"], posterior=False)


def inference_study(endpoints: Table, human: Table) -> Study:
    """Return which parameters the published data hold.

    Parameters
    ----------
    endpoints : rows of ``observed_summary_endpoints.csv``
        Morphine and levodopa of the rat.
    human : rows of ``human_plasma_csf_brain_timeseries.csv``
        Paracetamol and mannitol in plasma and lumbar CSF.
    """
    (morphine, r1), (levodopa, r2) = _morphine(endpoints), _levodopa(endpoints)
    fits = {"morphine": morphine, "levodopa": levodopa} | {n.lower(): _human(human, n, name) for n, name in _SERIES}
    where = {"morphine": "rat", "levodopa": "rat"}
    goals = [g for name, result in fits.items() for g in _goals(f"{name}, {where.get(name, 'human lumbar CSF')}", result)]
    return Study(
        "inference", "What these data can hold", _TEXT, "Groenendaal 2007; abstracts named in observed_summary_endpoints.csv; "
        "petrov-aleks/CPT-article-BBB-framework (BSD-3), digitised", (*r1, *r2), tuple(goals), kind="calibration", fits=fits,
    )  # fmt: skip


_TEXT = (
    "Parameters with 95 % profile intervals; an end that is missing is one that the data do not stop. Morphine: two "
    "areas are two numbers for two unknowns; with an SD of 30 % between animals they bound P and Vmax loosely. "
    "Levodopa: the ratio of areas, with the SD of a mean of seven; it asks for less carrier than the library has, "
    "because a pump at the abluminal membrane is missing in the model: the bound is a sign of that, no measurement of "
    "LAT1. Peak times were not used. Human series: measured plasma drives the barrier and the choroid plexus, taken "
    "to be as permeable per area; the chain of cranial and spinal CSF is that of the study 'human'. A p below 0.01 "
    "says that the model with any P misses the data: then P stands for mixing along the spinal canal as much as for "
    "the barrier, and its interval is too narrow. The error of a value is the standard error of the mean where an SD "
    "is given, else 25 %, and 10 % for reading a figure. All else is the library's and held fixed: the intervals know "
    "nothing of its errors."
)
