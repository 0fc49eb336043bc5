"""The likelihood: slopes are those of the value, values below the limit enter as a tail, errors name the line."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm
from tests.inference._cases import observations

from krogh.errors import InputError


@pytest.mark.parametrize("errors", [{"sd": 0.1}, {"cv": 0.2}, {"sd": 0.05, "cv": 0.1}])
def test_slopes_are_the_derivatives_of_the_value(errors):
    data = observations([1, 2, 3, 4], [1.0, 0.7, np.nan, 0.2], lloq=0.3, **errors)
    m, h = np.array([0.9, 0.8, 0.25, 0.5]), 1e-6
    numeric = (data.loss(m + h).value - data.loss(m - h).value) / (2 * h)
    np.testing.assert_allclose(data.loss(m).slope, numeric, rtol=1e-6, atol=1e-7)
    assert np.all(data.loss(m).curvature >= 0)


def test_a_value_below_its_limit_is_the_normal_tail():
    data = observations([1, 2], [np.nan, 0.1], sd=0.2, lloq=0.3)
    assert data.censored.tolist() == [True, True]  # a number below the limit is not used
    np.testing.assert_allclose(data.loss(np.array([0.5, 0.1])).value, -norm.logcdf([-1.0, 1.0]), rtol=1e-9)
    far = data.loss(np.array([20.0, 0.0]))
    assert np.all(np.isfinite([far.value, far.slope, far.curvature]))


def test_quantified_values_have_the_normal_density_up_to_a_constant():
    data = observations([1, 2], [1.0, 2.0], cv=0.1)
    m = np.array([1.1, 1.9])
    np.testing.assert_allclose(data.loss(m).value, -norm.logpdf(data.value, m, 0.1 * m) - 0.5 * np.log(2 * np.pi), rtol=1e-6)


def test_draws_have_the_stated_spread_and_lose_what_is_below_the_limit():
    data = observations([1, 2], [1.0, 1.0], cv=0.1, lloq=[0.0, 0.9])
    drawn = data.draw(np.broadcast_to([1.0, 0.9], (4000, 2)), np.random.default_rng(0))
    assert np.std(drawn[:, 0]) == pytest.approx(0.1, rel=4 / np.sqrt(2 * 4000))
    assert np.isnan(drawn[:, 1]).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("t_s", -1.0, "time"), ("sd", -0.1, "SD"), ("sd", 0.0, "error"), ("value", np.inf, "value"), ("lloq", np.nan, "limit")],
)
def test_what_has_no_likelihood_is_refused_with_its_line(field, value, said):
    data = observations([1, 2], [1.0, 1.0], sd=0.1)
    broken = getattr(data, field).copy()
    broken[1] = value
    with pytest.raises(InputError, match=f"line 3, {said}"):
        dataclasses.replace(data, **{field: broken})
