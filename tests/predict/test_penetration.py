"""B3DB: cleaning, held-out scores of one seed, the stored model."""

import numpy as np
import pytest

from krogh.compounds.predict.b3db import clean_classification, clean_regression
from krogh.compounds.predict.descriptors import read_structure
from krogh.compounds.predict.kernel import fingerprint_features, fit_kernel
from krogh.compounds.predict.penetration import _unpack, pack_model, predict_penetration
from krogh.io.published import read_b3db
from krogh.validation.b3db import calibration_error, matthews, rank_auc, score_classification, score_regression

from ._data import published

SMILES = ["CCO", "CCCO", "CCCCO", "c1ccccc1", "c1ccccc1O", "CC(=O)O", "CCN", "CCCN", "OCC(O)CO", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"]


def molecules(smiles=SMILES):
    return [read_structure(s)[0] for s in smiles]


def test_cleaning_rules():
    rows = [
        {"SMILES": "C[C@H](N)C(=O)O", "CID": "1", "BBB+/BBB-": "BBB+", "logBB": "0.1"},
        {"SMILES": "C[C@@H](N)C(=O)O", "CID": "2", "BBB+/BBB-": "BBB+", "logBB": "0.5"},
        {"SMILES": "CCO", "CID": "3|", "BBB+/BBB-": "BBB+", "logBB": "0"},
        {"SMILES": "CCO", "CID": "4", "BBB+/BBB-": "BBB-", "logBB": "0"},
        {"SMILES": "CCCCC", "CID": "100000007", "BBB+/BBB-": "BBB-", "logBB": "1"},
        {"SMILES": "not one", "CID": "", "BBB+/BBB-": "BBB-", "logBB": "1"},
    ]
    clean = clean_classification(rows)
    assert clean.y.tolist() == [1.0]
    assert list(clean.dropped.values()) == [1, 1, 1]
    assert clean_regression(rows).y.tolist() == [0.3, 0.0]


def test_scores_by_hand():
    y, p = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    assert rank_auc(y, p) == 0.75
    assert calibration_error(y, y) == 0.0
    assert calibration_error(np.array([0.0, 1.0]), np.array([0.5, 0.5])) == 0.0
    assert matthews(y, p > 0.5) == pytest.approx(0.57735, abs=1e-5)
    assert matthews(y, np.ones(4)) == 0.0


def test_kernel_leave_one_out_is_that_of_leaving_one_out():
    features, y = fingerprint_features(molecules()), np.linspace(-1, 1, len(SMILES)) ** 3
    model, loo, spread = fit_kernel(features, y, noise=0.3, calibrate=True)
    assert loo is not None
    assert np.isfinite(model.factor)
    assert spread > 0
    sd = model.standard_deviation(features, spread)
    assert (sd >= spread * np.sqrt(0.3) - 1e-12).all()
    assert (np.abs(loo - y) >= np.abs(model.predict(features)[0] - y) - 1e-9).all()


def test_packing_keeps_every_prediction():
    from safetensors.numpy import load, save

    features, y = fingerprint_features(molecules()), np.arange(len(SMILES), dtype=float)
    model, _, spread = fit_kernel(features, y, noise=0.3, calibrate=True)
    again, same = _unpack(load(save(pack_model(model, spread, "m"))), "m", features.names)
    assert same == spread
    # similarities are summed in single precision, in the order of the memory
    np.testing.assert_allclose(again.predict(features)[0], model.predict(features)[0], rtol=1e-5)
    np.testing.assert_allclose(again.standard_deviation(features, spread), model.standard_deviation(features, spread), rtol=1e-5)


def test_the_stored_models_know_plain_cases():
    caffeine, sucrose = predict_penetration(molecules(["Cn1cnc2c1c(=O)n(C)c(=O)n2C", "OCC1OC(OC2(CO)OC(CO)C(O)C2O)C(O)C(O)C1O"]))
    assert caffeine.probability > 0.8 > 0.2 > sucrose.probability
    assert caffeine.log_bb_low < caffeine.log_bb < caffeine.log_bb_high
    assert sucrose.log_bb < -0.5
    assert caffeine.inside
    assert predict_penetration([]) == []


@pytest.mark.data
@pytest.mark.slow
def test_classifier_on_skeletons_it_has_not_seen():
    clean = clean_classification(read_b3db(published(), "classification"))
    assert clean.dropped["name of another compound (CID 100000000 to 100010000)"] == 263
    assert len(set(clean.skeletons)) == len(clean.skeletons)
    score = {(s.model, s.measure): s.mean for s in score_classification(clean, [1])}
    assert score["krogh kernel", "AUROC"] > 0.90
    assert score["krogh kernel", "calibration error"] < 0.05
    assert score["krogh kernel", "AUROC"] > score["TPSA alone", "AUROC"] + 0.1


@pytest.mark.data
def test_log_bb_on_skeletons_it_has_not_seen():
    clean = clean_regression(read_b3db(published(), "regression"))
    score = {(s.model, s.measure): s.mean for s in score_regression(clean, [1])}
    assert score["krogh kernel", "RMSE logBB"] < 0.50
    assert 0.86 <= score["krogh kernel", "coverage of 90 %"] <= 0.94
    assert score["krogh kernel", "RMSE logBB"] < score["TPSA and logP, refitted (Clark's form)", "RMSE logBB"] - 0.1
