"""The network with a learned prior against its exact twin: same posteriors, same bytes by seed, honest notes."""

import numpy as np
import pytest
import torch

from krogh.errors import UsageError
from krogh.fexi import get_estimator, preset
from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.learned import _importance
from krogh.fexi.learned.prior import to_u, uniform_prior
from krogh.fexi.learned.sampling import log_g
from krogh.fexi.models.axr import AxrModel

PROTOCOL = preset("human-bbb")


@pytest.fixture(scope="module")
def scan():
    torch.set_num_threads(1)
    data = draw_two_tissues(1500, snr=100.0, seed=3)
    found = get_estimator("hbayes")(AxrModel(), PROTOCOL, data.signals, noise_sd=0.01, max_components=1, at=data.truth)
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
    np.testing.assert_allclose(hbayes(AxrModel(), PROTOCOL, data.signals[3:50], **again).theta(), found.theta()[3:50], rtol=1e-5)
    fresh = hbayes(AxrModel(), PROTOCOL, data.signals, noise_sd=0.01, max_components=1)
    np.testing.assert_array_equal(fresh.theta(), found.theta())
    with pytest.raises(UsageError, match="another bounds"):
        hbayes(AxrModel(bounds={"sigma": (-0.5, 1.0)}), PROTOCOL, data.signals, **again)


def test_importance_pieces_against_plain_numpy():
    rng, bounds = np.random.default_rng(0), AxrModel().bounds
    prior = uniform_prior(bounds)
    u = rng.standard_normal((4, 6, 3))
    np.testing.assert_allclose(log_g(prior, u), prior.log_density(u))
    from scipy.stats import norm

    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
    np.testing.assert_allclose([_importance._normal(x) for x in p], norm.ppf(p), atol=1e-8)
    assert to_u(bounds.mean(1), bounds) == pytest.approx(0)
