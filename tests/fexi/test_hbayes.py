"""The network with a learned prior against its exact twin: same posteriors, same bytes by seed, honest notes."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from krogh.errors import UsageError
from krogh.fexi import get_estimator, preset
from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.learned import _importance, _proposal
from krogh.fexi.learned._fast import fast_exp, short_exp
from krogh.fexi.learned.encoder import HbayesSettings
from krogh.fexi.learned.prior import MixturePrior, to_u
from krogh.fexi.learned.sampling import SHARE, prior_parts, sobol_points
from krogh.fexi.models.axr import AxrModel

PROTOCOL = preset("human-bbb")
LEARNED = {"noise_sd": 0.01, "max_components": 1, "training": HbayesSettings(rounds=10)}


@pytest.fixture(scope="module")
def scan():
    torch.set_num_threads(1)
    data = draw_two_tissues(1500, snr=100.0, seed=3)
    found = get_estimator("hbayes")(AxrModel(), PROTOCOL, data.signals, **LEARNED, at=data.truth)
    return data, found


@pytest.mark.slow
def test_posteriors_are_those_of_the_dictionary_under_the_same_prior(scan):
    data, found = scan
    exact = get_estimator("eb")(AxrModel(), PROTOCOL, data.signals, noise_sd=0.01, prior=found.extra["predictive"])
    for name in found.parameters:
        difference = (found.parameters[name] - exact.parameters[name]) / exact.sd[name]
        assert np.sqrt(np.mean(difference**2)) < 0.08  # error of 128 weighted samples, in posterior SD
        assert abs(difference.mean()) < 0.02
        assert np.median(np.abs(found.sd[name] / exact.sd[name] - 1)) < 0.08
    assert np.median(found.extra["effective"]) > 60
    assert np.nanmax(np.abs(found.extra["rank"] - 0.5)) <= 0.5 + 1e-12


@pytest.mark.slow
def test_same_voxel_same_bytes_in_any_company_and_by_seed(scan):
    data, found = scan
    again = {"noise_sd": 0.01, "weights": found.extra["weights"]}
    hbayes = get_estimator("hbayes")
    whole = hbayes(AxrModel(), PROTOCOL, data.signals, **again)
    np.testing.assert_array_equal(whole.theta(), found.theta())
    two = hbayes(AxrModel(), PROTOCOL, np.tile(data.signals, (6, 1)), threads=2, **again)  # three pieces on two threads
    np.testing.assert_array_equal(two.theta(), hbayes(AxrModel(), PROTOCOL, np.tile(data.signals, (6, 1)), **again).theta())
    np.testing.assert_allclose(hbayes(AxrModel(), PROTOCOL, data.signals[3:50], **again).theta(), found.theta()[3:50], rtol=1e-5)
    fresh = hbayes(AxrModel(), PROTOCOL, data.signals, **LEARNED)
    np.testing.assert_array_equal(fresh.theta(), found.theta())
    with pytest.raises(UsageError, match="another bounds"):
        hbayes(AxrModel(bounds={"sigma": (-0.5, 1.0)}), PROTOCOL, data.signals, **again)


def test_samples_and_weights_against_plain_numpy():
    rng, bounds = np.random.default_rng(0), AxrModel().bounds
    root = np.tril(0.4 * rng.standard_normal((2, 3, 3)))
    root[:, range(3), range(3)] = 0.5
    prior = MixturePrior(bounds, np.array([0.2, 0.5, 0.3]), rng.standard_normal((2, 3)), root @ root.transpose(0, 2, 1))
    mean = np.concatenate([prior.mean, np.zeros((1, 3))])[None]
    roots = np.concatenate([root, np.eye(3)[None]])[None]
    weight, n = np.array([[0.1, 0.6, 0.3]]), 64
    x, ratio = np.empty((1, n, 3)), np.empty((1, n))
    _proposal.propose(weight, mean, roots, *prior_parts(prior), SHARE, sobol_points(n, 3), np.full((1, 4), 0.37), x, ratio)
    guess = MixturePrior(bounds, np.r_[1e-300, weight[0]], mean[0], roots[0] @ roots[0].transpose(0, 2, 1))
    u = np.log(x[0] / (1 - x[0]))
    q, g = np.exp(guess.log_density(u)), np.exp(prior.log_density(u))
    np.testing.assert_allclose(ratio[0], g / ((1 - SHARE) * q + SHARE * g), rtol=1e-9)
    again, same = np.empty((1, n, 3)), np.empty((1, n))
    _proposal.compare(u.T[None].copy(), np.log(q)[None], *prior_parts(prior), SHARE, again, same)
    np.testing.assert_allclose(again, x, rtol=1e-12)
    np.testing.assert_allclose(same, ratio, rtol=1e-9)
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
    np.testing.assert_allclose([_proposal._normal(x) for x in p], norm.ppf(p), atol=1e-8)
    assert to_u(bounds.mean(1), bounds) == pytest.approx(0)


def test_quantiles_of_weighted_samples():
    rng, n = np.random.default_rng(1), 500
    x, weight = rng.beta(2, 5, (1, n, 2)), rng.random((1, n))
    weight /= weight.sum()
    keys, found = np.empty((1, 2, n), np.int64), np.empty((1, 2, 3))
    _importance.sort_keys(x, 9, keys)
    keys.sort(axis=2)
    levels = np.array([0.025, 0.5, 0.9])
    _importance.read_quantiles(keys, 9, x, weight, levels, found)
    for p in range(2):
        order = np.argsort(x[0, :, p])
        middle = np.cumsum(weight[0, order]) - 0.5 * weight[0, order]
        np.testing.assert_allclose(found[0, p], np.interp(levels, middle, x[0, order, p]), rtol=1e-9)


def test_fast_exponential():
    x = np.linspace(-690, 690, 20_011)
    np.testing.assert_allclose([fast_exp(v) for v in x], np.exp(x), rtol=4e-16)
    assert fast_exp(-np.inf) < 1e-300
    short = np.linspace(-86, 86, 20_011, dtype=np.float32)
    np.testing.assert_allclose([short_exp(v) for v in short], np.exp(short.astype(float)), rtol=2.5e-7)
    assert short_exp(np.float32(-np.inf)) < 1e-37
