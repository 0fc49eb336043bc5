"""What published data hold: morphine and mannitol; the whole study runs with ``krogh validate --only inference``."""

import numpy as np
import pytest
from tests.validation._data import tables

from krogh.plots.validation import draw_study
from krogh.validation.inference import _goals, _human, _morphine
from krogh.validation.study import Study

pytestmark = pytest.mark.data


def test_two_areas_of_morphine_hold_p_and_an_upper_bound_of_p_gp():
    result, rows = _morphine(tables()("endpoints"))
    p, vmax = _goals("morphine", result)[:2]
    assert 0 < p.low < p.value < p.high
    assert np.isnan(vmax.value)  # no number where the data hold none
    assert np.isnan(vmax.low)
    assert "upper bound only" in vmax.beside
    assert all(not r.scored and "P and Vmax" in r.fitted for r in rows)
    np.testing.assert_allclose([r.predicted for r in rows], [r.observed for r in rows], rtol=1e-3)  # two numbers, two unknowns
    study = Study("inference", "", "", "", fits={"morphine": result})
    (figure,) = draw_study(study).values()
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert [t for t in titles if t] == [
        "P-gp active\ninterstitium AUC", "P-gp blocked (GF120918)\ninterstitium AUC"
    ]  # fmt: skip
    assert "No more values than parameters" in figure.get_label()


def test_mannitol_holds_p_but_the_model_misses_the_curve_and_says_so():
    result = _human(tables()("human"), "Mannitol", "mannitol")
    goals = _goals("mannitol", result)
    assert goals[0].low < goals[0].value < goals[0].high
    assert goals[-1].what.endswith("p of the misfit")
    assert goals[-1].value < 0.01
    assert result.data.matrix[0] == "lumbar csf"
    (figure,) = draw_study(Study("inference", "", "", "", fits={"mannitol": result})).values()
    assert "misses them or their errors" in figure.get_label()
