"""The regression on in-situ PS: scores on held-out skeletons, the stored model, its domain."""

import numpy as np
import pytest

from krogh.compounds.predict import describe_structure, predict_intrinsic
from krogh.compounds.predict.permeability import FEATURES, LINE, model_record
from krogh.compounds.predict.process import GaussianProcess, fit_process
from krogh.io.published import read_in_situ
from krogh.validation.structure import permeability_rows, score_permeability

from ._data import published


@pytest.mark.data
def test_held_out_error_and_coverage():
    rows = permeability_rows(read_in_situ(published()))
    assert not rows.left_out
    by_name = {s.name: s for s in score_permeability(rows)}
    ours = by_name["krogh, measured logP"]
    assert ours.rmse <= 0.50
    assert 0.86 <= ours.coverage <= 0.94
    assert ours.rmse < by_name["line on logP - 0.5 log MW, measured logP"].rmse
    rough = by_name["krogh, calculated logP"]
    assert 0.82 <= rough.coverage <= 0.98
    assert rough.rmse < by_name["the same line, calculated logP"].rmse


@pytest.mark.data
@pytest.mark.parametrize("basis", ["measured", "calculated"])
def test_the_stored_model_is_that_of_the_data(basis):
    rows = permeability_rows(read_in_situ(published()))
    x = getattr(rows, basis)
    fresh, loo = fit_process(x, rows.log10_ps, FEATURES, LINE)
    record = model_record()["models"][basis]
    stored = GaussianProcess.from_record(record)
    np.testing.assert_allclose(stored.predict(x)[0], fresh.predict(x)[0], atol=0.02)
    assert record["rmse_loo"] == pytest.approx(np.sqrt(np.mean((loo - rows.log10_ps) ** 2)), abs=0.01)


def test_measured_logp_narrows_the_interval():
    d = describe_structure("CN1CCCC1c1cccnc1")  # nicotine: in neither training set
    measured, calculated = predict_intrinsic([d, d], [1.17, None])
    assert measured.logp_basis == "measured"
    assert calculated.logp_basis == "calculated"
    assert measured.high - measured.low < calculated.high - calculated.low


def test_permeability_is_intrinsic_and_in_si():
    p = predict_intrinsic([describe_structure("CCCCO")], [0.88])[0]
    value = p.permeability
    assert value.basis == "intrinsic"
    assert value.p_m_s.value == pytest.approx(10**p.log10_ps * 1e-4)
    assert value.p_m_s.low < value.p_m_s.value < value.p_m_s.high


@pytest.mark.parametrize(
    ("smiles", "why"),
    [("C[N+](C)(C)CCO", "permanently"), ("CC(=O)" + "NCC(=O)" * 30 + "O", "beyond"), ("O" * 1 + "S(=O)(=O)O", "")],
)
def test_domain(smiles, why):
    found = predict_intrinsic([describe_structure(smiles)])[0]
    if why:
        assert not found.inside
        assert why in found.reason
    assert ("outside" in found.permeability.p_m_s.source) == (not found.inside)


def test_no_structures_give_no_predictions():
    assert predict_intrinsic([]) == []
