"""Fold errors and classification scores against values that a reader can compute by hand."""

import numpy as np
import pytest

from krogh.errors import InputError
from krogh.validation.b3db import calibration_error, matthews, rank_auc
from krogh.validation.scores import score_folds
from krogh.validation.study import Row


def test_fold_scores_by_hand():
    score = score_folds(np.array([2.0, 0.5, 4.0, 1.0]), np.ones(4))
    assert score.gmfe == pytest.approx(2.0)  # mean of |log10| is log10 2
    assert score.bias == pytest.approx(10 ** (np.log10(4.0) / 4))
    assert (score.within_2, score.within_3) == (0.75, 0.75)
    assert score.gmfe_low <= score.gmfe <= score.gmfe_high


def test_a_long_curve_counts_as_one():
    long, short = np.full(99, 10.0), np.array([1.0])
    score = score_folds(np.concatenate([long, short]), np.ones(100), ["a"] * 99 + ["b"])
    assert score.gmfe == pytest.approx(np.sqrt(10.0))
    assert np.isnan(score.gmfe_low)  # two groups carry no interval


def test_bootstrap_interval_covers():
    rng, inside = np.random.default_rng(5), 0
    for k in range(200):
        error = rng.normal(0.0, 0.3, 40)
        score = score_folds(10.0**error, np.ones(40), seed=k)
        inside += score.gmfe_low <= 10.0 ** (0.3 * np.sqrt(2 / np.pi)) <= score.gmfe_high
    assert 176 <= inside <= 199  # 95 % of 200, four standard deviations below; the percentile interval is a little short


@pytest.mark.parametrize("bad", [[0.0], [-1.0], [np.nan], [np.inf], []])
def test_no_fold_error_of_what_is_not_positive(bad):
    with pytest.raises(InputError, match="fold errors"):
        score_folds(np.array(bad), np.ones(len(bad)))


def test_classification_scores_by_hand():
    y = np.array([1.0, 1.0, 0.0, 0.0])
    assert rank_auc(y, np.array([0.9, 0.4, 0.6, 0.1])) == pytest.approx(0.75)
    assert rank_auc(y, np.ones(4)) == pytest.approx(0.5)
    assert matthews(y, np.array([1, 1, 0, 0])) == pytest.approx(1.0)
    assert matthews(y, np.array([1, 0, 1, 0])) == pytest.approx(0.0)
    assert calibration_error(y, np.array([0.75, 0.75, 0.25, 0.25])) == pytest.approx(0.25)


def test_rows_know_their_fold_and_spread():
    assert Row("a", "plasma", "1", 2.0, 3.0, sd=0.5).within_sd is False
    assert Row("a", "plasma", "1", 2.0, 2.4, sd=0.5).within_sd is True
    assert Row("a", "plasma", "1", 2.0, 3.0).within_sd is None
    assert Row("a", "plasma", "1", 2.0, 3.0).fold == pytest.approx(1.5)
