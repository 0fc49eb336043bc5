"""Fits and profiles against exact answers."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2
from tests.inference._cases import decay, decay_target, observations

from krogh.errors import ConvergenceError, InputError
from krogh.inference.descend import descend
from krogh.inference.fit import fit, slope_error
from krogh.inference.identify import identify
from krogh.inference.profile import profile
from krogh.inference.target import Target, flat_prior

T = np.linspace(0.2, 3.0, 12)
TRUTH = np.log([2.0, 0.8])


def data(seed=0, **errors):
    m = decay(T)(np.exp(TRUTH)[None])[0]
    errors = errors or {"sd": 0.05}
    empty = observations(T, m, **errors)
    return empty.with_values(empty.draw(m, np.random.default_rng(seed)))


@pytest.mark.parametrize("errors", [{"sd": 0.05}, {"cv": 0.1}, {"sd": 0.05, "lloq": 0.4}])
def test_the_fit_is_the_minimum_that_a_general_optimiser_finds(errors):
    target = decay_target(data(**errors))
    found = fit(target, np.zeros(2))
    other = minimize(lambda x: float(target.value(x[None])[0]), found.x + 0.1, method="Nelder-Mead", options={"xatol": 1e-9,
                     "fatol": 1e-13, "maxiter": 4000})  # fmt: skip
    np.testing.assert_allclose(found.x, other.x, atol=1e-4 * found.sd.min())
    assert slope_error(target, found) < 1e-5


def test_a_model_that_is_linear_in_logs_has_the_covariance_of_least_squares():
    # log y = x0 + x1 t: with small relative errors the information is that of a straight line
    data_ = observations(T, np.exp(0.3 + 0.1 * T), cv=1e-3)
    data_ = dataclasses.replace(data_, cv=0 * T, sd=0 * T + 0.1)
    line = Target(("a", "b"), lambda th: np.log(th[:, 1:2]) * T + np.log(th[:, :1]), data_,
                  np.full(2, -9.0), np.full(2, 9.0), *flat_prior(2))  # fmt: skip
    found = fit(line, np.zeros(2))
    design = np.column_stack([np.ones(T.size), T])
    np.testing.assert_allclose(found.covariance, 0.01 * np.linalg.inv(design.T @ design), rtol=1e-6)
    np.testing.assert_allclose(found.x, np.linalg.lstsq(design, data_.value, rcond=None)[0], atol=1e-7)
    lines = profile(line, found)
    for k, p in enumerate(lines):  # a quadratic: profile and normal interval agree
        np.testing.assert_allclose([p.low, p.high], found.x[k] + 1.959964 * found.sd[k] * np.array([-1, 1]), rtol=1e-6)


def test_a_profile_ends_where_the_deviance_has_risen_by_the_quantile():
    target = decay_target(data(cv=0.3))
    found = fit(target, np.zeros(2))
    for k, p in enumerate(profile(target, found)):
        for end in (p.low, p.high):
            start = found.x.copy()
            start[k] = end
            there = descend(target, start[None], held=np.arange(2)[None] == k)
            assert 2 * (there.at.value[0] - found.value) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-2)
        assert np.all(np.diff(p.x) > 0)


def test_a_prior_pulls_and_narrows():
    target = decay_target(data())
    alone = fit(target, np.zeros(2))
    tight = dataclasses.replace(target, center=TRUTH + 0.5, precision=np.diag([4e4, 0.0]))
    pulled = fit(tight, np.zeros(2))
    assert alone.x[0] < pulled.x[0] < TRUTH[0] + 0.5
    assert pulled.sd[0] < alone.sd[0]
    judged = identify(tight, pulled, profile(tight, pulled))
    assert judged.by_prior.tolist() == [True, False]
    assert "prior" in judged.verdict[0]


def test_a_combination_alone_is_told_and_its_interval_is_that_of_the_product():
    # only a*b is seen
    both = data()
    target = Target(("a", "b", "k"), lambda th: decay(T)(np.column_stack([th[:, 0] * th[:, 1], th[:, 2]])), both,
                    np.full(3, -7.0), np.full(3, 7.0), *flat_prior(3))  # fmt: skip
    found = fit(target, np.zeros(3))
    judged = identify(target, found, profile(target, found))
    assert judged.held.tolist() == [False, False, True]
    (c,) = judged.combinations
    simple = decay_target(both)
    exact = profile(simple, fit(simple, np.zeros(2)))[0]
    assert c.name in ("a*b", "b*a")
    np.testing.assert_allclose(np.log([c.low, c.high]), [exact.low, exact.high], atol=2e-3 * (exact.high - exact.low))


def test_an_upper_bound_alone_is_said_to_be_one():
    # nothing above the limit was seen, from time 0 on: a has an upper bound, k nothing
    blind = observations(T - T[0], np.full(T.size, np.nan), sd=0.05, lloq=0.2)
    target = decay_target(blind, center=(0.0, 0.0))
    found = fit(target, np.array([-1.0, 0.0]))
    judged = identify(target, found, profile(target, found))
    assert not judged.held.any()
    assert "upper bound only" in judged.verdict[0]


def test_a_model_without_a_finite_prediction_is_refused():
    target = dataclasses.replace(decay_target(data()), predict=lambda th: np.full((len(th), T.size), np.nan))
    with pytest.raises((InputError, ConvergenceError)):
        fit(target, np.zeros(2))


def test_bounds_that_hold_nothing_are_refused():
    with pytest.raises(InputError, match="bounds of a"):
        dataclasses.replace(decay_target(data()), low=np.array([1.0, -1.0]), high=np.array([0.0, 1.0]))


def test_a_start_without_a_prediction_is_refused_at_once():
    asked = []

    def predict(theta):
        asked.append(theta)
        return np.full((len(theta), T.size), np.nan)

    target = dataclasses.replace(decay_target(data()), predict=predict)
    for scan in (0, 8):
        asked.clear()
        with pytest.raises(InputError, match="no finite prediction"):
            fit(target, np.zeros(2), scan=scan)
        assert len(asked) == 1
