"""The coordinates of a prior: there and back, and a standard normal in them is what is known of the numbers beforehand."""

import numpy as np
import pytest

from krogh.fexi.learned.coordinates import coordinates, prior_at
from krogh.fexi.learned.hyperprior import WIDTH_SD, WIDTH_SPREAD
from krogh.fexi.learned.prior import to_theta

BOUNDS = np.array([[0.0, 1.0]] * 3)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_there_and_back(n):
    z = 1.5 * np.random.default_rng(n).standard_normal((200, 2 * n + n * (n - 1) // 2 + 1))
    found = prior_at(z, np.array([[0.0, 1.0]] * n))
    assert all(np.all(np.linalg.eigvalsh(g.cov[0]) > 0) and g.weight.sum() == pytest.approx(1) for g in found)
    np.testing.assert_allclose(coordinates(found), z, atol=1e-4)


def test_a_standard_normal_is_the_hyperprior_of_regions():
    """Medians by the arcsine law, log-normal SDs, correlations ~ det R (variance 1/6 for three), weights Beta(2, 2)."""
    found = prior_at(np.random.default_rng(0).standard_normal((40_000, 10)), BOUNDS)
    sd = np.sqrt([np.diag(g.cov[0]) for g in found])
    cov = np.array([g.cov[0] for g in found])
    r = cov[:, [1, 2, 2], [0, 0, 1]] / (sd[:, [1, 2, 2]] * sd[:, [0, 0, 1]])
    x, w = np.array([to_theta(g.mean[0], BOUNDS) for g in found]), np.array([g.weight[1:] for g in found])
    for value, mean, variance in ((np.log(sd / WIDTH_SD), 0, WIDTH_SPREAD**2), (r, 0, 1 / 6), (x, 0.5, 1 / 8), (w, 0.5, 1 / 20)):
        np.testing.assert_allclose(value.mean(axis=0), mean, atol=5 * np.sqrt(variance / 40_000))
        np.testing.assert_allclose(value.var(axis=0), variance, rtol=0.03)
    even = np.random.default_rng(1).uniform(-1, 1, (200_000, 3))
    a, b, c = even.T
    det = np.maximum(1 + 2 * a * b * c - np.square(even).sum(axis=1), 0)
    np.testing.assert_allclose((r**4).mean(axis=0), det @ even**4 / det.sum(), rtol=0.04)


def test_far_out_a_prior_is_still_one():
    z = np.concatenate([20 * np.eye(10), -20 * np.eye(10), 12 * np.random.default_rng(0).standard_normal((2000, 10))])
    for g in prior_at(z, BOUNDS):
        np.linalg.cholesky(g.cov[0])
        assert np.isfinite(g.mean).all()
