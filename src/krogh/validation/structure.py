"""Score the predictions from structure on compounds that they were not trained on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from krogh.compounds.predict.descriptors import Descriptors, describe_structure
from krogh.compounds.predict.permeability import FEATURES, LINE, feature_row
from krogh.compounds.predict.process import fit_process

__all__ = ["PermeabilityRows", "PermeabilityScore", "permeability_rows", "score_permeability", "smith_line"]


@dataclass(frozen=True)
class PermeabilityRows:
    """Hold the intrinsic in-situ permeabilities with two sets of descriptors, by measured and by calculated logP."""

    names: tuple[str, ...]
    structures: tuple[Descriptors, ...]
    groups: tuple[str, ...]
    logp: np.ndarray
    log10_ps: np.ndarray
    measured: np.ndarray
    calculated: np.ndarray
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermeabilityScore:
    """Hold one cross-validated score.

    Attributes
    ----------
    name, split : str
        Which model, and how compounds were held out.
    rmse : float
        log10 units.
    coverage : float
        Share of held-out values inside the 90 % interval; NaN for models without one.
    within_3_fold : float
        Share within a factor of 3.
    predicted, low, high : arrays
        Held-out predictions (log10 mL/s/g).
    """

    name: str
    split: str
    rmse: float
    coverage: float
    within_3_fold: float
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray


@cache
def _structures() -> dict[str, str]:
    text = (resources.files("krogh.compounds.predict") / "data" / "structures.csv").read_text(encoding="utf-8")
    return {row["name"]: row["smiles"] for row in csv.DictReader(text.splitlines())}


def permeability_rows(table: Sequence[Mapping[str, str]]) -> PermeabilityRows:
    """Return the intrinsic (Smith 2024) rows; a compound without a known structure is left out and named."""
    known = _structures()
    rows = [r for r in table if r["dataset"] == "Smith_2024"]
    kept = [r for r in rows if r["compound"] in known]
    found = [describe_structure(known[r["compound"]], r["compound"]) for r in kept]
    logp = np.array([float(r["logP_oct"]) for r in kept])
    return PermeabilityRows(
        names=tuple(r["compound"] for r in kept), structures=tuple(found), groups=tuple(d.skeleton for d in found), logp=logp,
        log10_ps=np.array([float(r["log10_PS_mL_per_s_per_g"]) for r in kept]),
        measured=np.array([feature_row(d, v) for d, v in zip(found, logp, strict=True)]),
        calculated=np.array([feature_row(d, d.logp_calculated) for d in found]),
        left_out=tuple(r["compound"] for r in rows if r["compound"] not in known),
    )  # fmt: skip


def smith_line(rows: PermeabilityRows) -> np.ndarray:
    """Return the published line on the rows, log10 PS [mL/s/g] (the line was fitted to them)."""
    mass = np.array([d.molar_mass_kg_mol * 1e3 for d in rows.structures])
    return -1.24 + 0.887 * (rows.logp - 0.5 * np.log10(mass))


def _line_fit(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return an ordinary line on logP - 0.5 log MW, fitted to (x, y), at `new`."""
    design = np.column_stack([np.ones(len(x)), x[:, 0] - 0.5 * x[:, 1]])
    slope = np.linalg.lstsq(design, y, rcond=None)[0]
    return np.column_stack([np.ones(len(new)), new[:, 0] - 0.5 * new[:, 1]]) @ slope


def _score(name: str, split: str, y: np.ndarray, p: np.ndarray, half: np.ndarray) -> PermeabilityScore:
    error = p - y
    coverage = float(np.mean(np.abs(error) <= half)) if np.isfinite(half).all() else float("nan")
    return PermeabilityScore(
        name,
        split,
        float(np.sqrt(np.mean(error**2))),
        coverage,
        float(np.mean(np.abs(error) <= np.log10(3.0))),
        p,
        p - half,
        p + half,
    )


def _held_out(groups: Sequence[Any], predict: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Any]]) -> tuple[Any, Any]:
    """Return predictions and half widths with each group held out in turn, everything refitted without it."""
    labels = np.array(groups)
    mean, half = np.empty(len(labels)), np.full(len(labels), np.nan)
    for label in dict.fromkeys(groups):
        out = labels == label
        mean[out], half[out] = predict(np.flatnonzero(~out), np.flatnonzero(out))
    return mean, half


def score_permeability(rows: PermeabilityRows) -> list[PermeabilityScore]:
    """Return the scores of our regressions, the published line and the constant, each compound held out with its stereoisomers.

    Nothing of the held-out skeleton enters scaling, hyperparameters, weights or the width of the interval.
    """
    y = rows.log10_ps

    def process(x: np.ndarray) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        def predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            model, _ = fit_process(x[train], y[train], FEATURES, LINE)
            mean, sd = model.predict(x[test])
            return mean, model.factor * sd

        return predict

    split = "one skeleton held out"
    found = []
    for name, x in (("krogh, measured logP", rows.measured), ("krogh, calculated logP", rows.calculated)):
        found.append(_score(name, split, y, *_held_out(rows.groups, process(x))))
    line = _held_out(rows.groups, lambda tr, te: (_line_fit(rows.measured[tr], y[tr], rows.measured[te]), np.nan))
    found.append(_score("line on logP - 0.5 log MW, measured logP", split, y, *line))
    rough = _held_out(rows.groups, lambda tr, te: (_line_fit(rows.calculated[tr], y[tr], rows.calculated[te]), np.nan))
    found.append(_score("the same line, calculated logP", split, y, *rough))
    found.append(_score("Smith 2024 as published", "fitted to these rows", y, smith_line(rows), np.full(len(y), np.nan)))
    mean = _held_out(rows.groups, lambda tr, te: (np.full(len(te), y[tr].mean()), np.nan))
    found.append(_score("constant", split, y, *mean))
    return found
