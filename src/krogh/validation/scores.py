"""Score predictions by how many times they are off: geometric mean fold error, shares within 2 and 3 fold, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError

__all__ = ["FoldScore", "fold_errors", "score_folds"]

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class FoldScore:
    """Hold the fold errors of one group of pairs.

    Attributes
    ----------
    n, groups : int
        Pairs, and groups of them that were resampled together (a drug, a study).
    gmfe, gmfe_low, gmfe_high : float
        10^mean|log10(predicted/observed)| (also called AAFE) with its 95 % bootstrap interval; NaN ends with fewer than three
        groups.
    bias : float
        10^mean log10(predicted/observed): above 1 the model is too high.
    within_2, within_3 : float
        Shares of pairs within 2 and 3 fold.
    """

    n: int
    groups: int
    gmfe: float
    gmfe_low: float
    gmfe_high: float
    bias: float
    within_2: float
    within_3: float


def fold_errors(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return log10(predicted / observed).

    Raises
    ------
    InputError
        If a value is not positive and finite: a fold error of zero does not exist.
    """
    p, o = np.asarray(predicted, dtype=float), np.asarray(observed, dtype=float)
    if not (p.shape == o.shape and p.size and np.all(p > 0) and np.all(o > 0) and np.isfinite(p).all() and np.isfinite(o).all()):
        raise InputError("fold errors", got="values that are not positive, or none", expected="pairs of numbers > 0")
    return np.log10(p / o)


def score_folds(predicted: np.ndarray, observed: np.ndarray, groups: Sequence[str] | None = None, *, seed: int = 0) -> FoldScore:
    """Return the scores of pairs; the bootstrap draws whole groups, because points of one curve are not independent.

    The mean is that over groups of each group's own GMFE in log10, so that a long curve counts as much as a short one.
    """
    error = fold_errors(predicted, observed)
    names = np.array(groups if groups is not None else [str(i) for i in range(error.size)])
    labels = list(dict.fromkeys(names.tolist()))
    means = np.array([np.abs(error[names == g]).mean() for g in labels])
    low = high = float("nan")
    if len(labels) >= 3:
        draws = np.random.default_rng(seed).integers(0, len(labels), (_RESAMPLES, len(labels)))
        low, high = (float(v) for v in 10.0 ** np.quantile(means[draws].mean(1), [0.025, 0.975]))
    return FoldScore(
        error.size, len(labels), float(10.0 ** means.mean()), low, high, float(10.0 ** error.mean()),
        float(np.mean(np.abs(error) <= np.log10(2.0) + 1e-12)), float(np.mean(np.abs(error) <= np.log10(3.0) + 1e-12)),
    )  # fmt: skip
