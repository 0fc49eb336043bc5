"""What published data hold: morphine and mannitol; the whole study runs with ``krogh validate --only inference``."""

import numpy as np
import pytest
from tests.validation._data import tables

from krogh.validation.inference import _human, _morphine

pytestmark = pytest.mark.data


def test_two_areas_of_morphine_hold_p_and_an_upper_bound_of_p_gp():
    goals, rows = _morphine(tables()("endpoints"))
    p, vmax = goals[:2]
    assert 0 < p.low < p.value < p.high
    assert np.isnan(vmax.value)  # no number where the data hold none
    assert np.isnan(vmax.low)
    assert "upper bound only" in vmax.beside
    assert all(not r.scored and "P and Vmax" in r.fitted for r in rows)
    np.testing.assert_allclose([r.predicted for r in rows], [r.observed for r in rows], rtol=1e-3)  # two numbers, two unknowns


def test_mannitol_holds_p_but_the_model_misses_the_curve_and_says_so():
    goals, curves = _human(tables()("human"), "Mannitol", "mannitol")
    assert goals[0].low < goals[0].value < goals[0].high
    assert goals[-1].what.endswith("p of the misfit")
    assert goals[-1].value < 0.01
    assert set(curves[0].models) == {"fitted", "upper end of 95 %", "lower end of 95 %"}
