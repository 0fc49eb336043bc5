"""The regression against brute force: leave-one-out, interval factor, storage."""

import numpy as np
import pytest

from krogh.compounds.predict.process import GaussianProcess, conformal_factor, fit_process

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 3))
Y = 1.0 + 2.0 * X[:, 0] + np.sin(2 * X[:, 1]) + 0.2 * RNG.normal(size=40)


def test_leave_one_out_is_that_of_leaving_one_out():
    model, loo = fit_process(X, Y, ("a", "b", "c"), (0,))
    i = 7
    rest = np.delete(np.arange(40), i)
    k = model.covariance(model.x, model.x) + model.noise**2 * np.eye(40)
    by_hand = model.offset + k[i, rest] @ np.linalg.solve(k[np.ix_(rest, rest)], Y[rest] - model.offset)
    assert loo[i] == pytest.approx(by_hand, abs=1e-9)


def test_it_learns_a_line_and_a_curve():
    model, loo = fit_process(X, Y, ("a", "b", "c"), (0,))
    assert np.sqrt(np.mean((loo - Y) ** 2)) < 0.5  # the noise is 0.2, the spread of Y above 2
    new = RNG.normal(size=(300, 3))
    mean, sd = model.predict(new)
    truth = 1.0 + 2.0 * new[:, 0] + np.sin(2 * new[:, 1]) + 0.2 * RNG.normal(size=300)
    inside = np.mean(np.abs(mean - truth) <= model.factor * sd)
    assert 0.80 < inside < 0.99


def test_far_away_the_spread_grows():
    model, _ = fit_process(X, Y, ("a", "b", "c"), (0,))
    assert model.predict(np.array([[9.0, 9.0, 9.0]]))[1] > model.predict(np.zeros((1, 3)))[1]


def test_record_returns_the_same_process():
    model, _ = fit_process(X, Y, ("a", "b", "c"), (0,))
    again = GaussianProcess.from_record(model.as_record())
    for a, b in zip(model.predict(X), again.predict(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_conformal_rank():
    assert conformal_factor(np.arange(1.0, 20.0)) == 18.0  # ceil(20 * 0.9) = 18th of 19
