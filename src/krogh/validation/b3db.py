"""Score the B3DB predictors on skeletons that they were not trained on, beside baselines that a reader can compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.compounds.predict.b3db import CleanSet
from krogh.compounds.predict.descriptors import describe_molecule
from krogh.compounds.predict.kernel import Features, fingerprint_features, fit_kernel
from krogh.compounds.predict.penetration import NOISE_CLASS, NOISE_LOGBB, probability

__all__ = ["B3dbScore", "calibration_error", "matthews", "rank_auc", "score_classification", "score_regression"]

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class B3dbScore:
    """Hold one score per seed.

    Attributes
    ----------
    model, measure : str
        What was scored and how.
    values : tuple of float
        One per seed (a baseline without training has the same for each).
    """

    model: str
    measure: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean over the seeds."""
        return float(np.mean(self.values))


def rank_auc(y: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, ties counted half."""
    from scipy.stats import rankdata

    positive = y > 0.5
    n = int(positive.sum())
    ranks = rankdata(score)[positive].sum() - n * (n + 1) / 2
    return float(ranks / (n * (len(y) - n)))


def calibration_error(y: np.ndarray, chance: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error: mean over bins of |share of positives - mean chance|, weighted by their size."""
    which = np.minimum((chance * bins).astype(int), bins - 1)
    parts = [(which == b) for b in range(bins)]
    return float(sum(abs(y[p].mean() - chance[p].mean()) * p.mean() for p in parts if p.any()))


def matthews(y: np.ndarray, called: np.ndarray) -> float:
    """Return Matthews' correlation coefficient of two binary vectors."""
    y, called = y > 0.5, called > 0.5
    tp, tn, fp, fn = ((y & called).sum(), (~y & ~called).sum(), (~y & called).sum(), (y & ~called).sum())
    bottom = np.sqrt(float(tp + fp) * float(tp + fn) * float(tn + fp) * float(tn + fn))
    return float((float(tp) * float(tn) - float(fp) * float(fn)) / bottom) if bottom else 0.0


def _folds(n: int, seed: int) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(seed).permutation(n), _FOLDS)


def _cross_validate(features: Features, y: np.ndarray, noise: float, seed: int, calibrate: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out predictions and half widths of the 90 % interval (NaN unless `calibrate`); one skeleton is one row."""
    mean, half = np.empty(len(y)), np.full(len(y), np.nan)
    for out in _folds(len(y), seed):
        train = np.setdiff1d(np.arange(len(y)), out)
        model, _, spread = fit_kernel(features.take(train), y[train], noise=noise, calibrate=calibrate)
        mean[out], _ = model.predict(features.take(out))
        if calibrate:
            half[out] = model.factor * model.standard_deviation(features.take(out), spread)
    return mean, half


def _areas(molecules: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    found = [describe_molecule(m) for m in molecules]
    return np.array([d.tpsa_m2 * 1e20 for d in found]), np.array([d.logp_calculated for d in found])


def score_classification(clean: CleanSet, seeds: Sequence[int]) -> list[B3dbScore]:
    """Return AUROC, calibration error and Matthews' coefficient, cross-validated in five parts for each seed, and baselines."""
    features, y = fingerprint_features(clean.molecules), clean.y
    runs = [probability(_cross_validate(features, y, NOISE_CLASS, s, False)[0]) for s in seeds]
    area, _ = _areas(clean.molecules)
    share = np.full(len(y), y.mean())
    count = len(seeds)
    return [
        B3dbScore("krogh kernel", "AUROC", tuple(rank_auc(y, p) for p in runs)),
        B3dbScore("krogh kernel", "calibration error", tuple(calibration_error(y, p) for p in runs)),
        B3dbScore("krogh kernel", "Matthews", tuple(matthews(y, p) for p in runs)),
        B3dbScore("TPSA alone", "AUROC", (rank_auc(y, -area),) * count),
        B3dbScore("TPSA < 90 A2", "Matthews", (matthews(y, area < 90.0),) * count),
        B3dbScore("share of BBB+", "AUROC", (rank_auc(y, share),) * count),
    ]


def score_regression(clean: CleanSet, seeds: Sequence[int]) -> list[B3dbScore]:
    """Return RMSE of logBB and coverage of the 90 % interval, cross-validated in five parts for each seed, and baselines."""
    features, y = fingerprint_features(clean.molecules), clean.y
    runs = [_cross_validate(features, y, NOISE_LOGBB, s, True) for s in seeds]
    area, logp = _areas(clean.molecules)
    design = np.column_stack([np.ones(len(y)), logp, area])

    def held_out(columns: np.ndarray, seed: int) -> np.ndarray:
        p = np.empty(len(y))
        for out in _folds(len(y), seed):
            train = np.setdiff1d(np.arange(len(y)), out)
            p[out] = columns[out] @ np.linalg.lstsq(columns[train], y[train], rcond=None)[0]
        return p

    def rmse(p: np.ndarray) -> float:
        return float(np.sqrt(np.mean((p - y) ** 2)))

    return [
        B3dbScore("krogh kernel", "RMSE logBB", tuple(rmse(p) for p, _ in runs)),
        B3dbScore("krogh kernel", "coverage of 90 %", tuple(float(np.mean(np.abs(p - y) <= h)) for p, h in runs)),
        B3dbScore("TPSA and logP, refitted (Clark's form)", "RMSE logBB", tuple(rmse(held_out(design, s)) for s in seeds)),
        B3dbScore("constant", "RMSE logBB", tuple(rmse(held_out(design[:, :1], s)) for s in seeds)),
    ]
