"""Pooled regions: bias, spread against the Cramer-Rao bound, coverage of the intervals, and bookkeeping."""

import numpy as np
import pytest

from krogh.errors import InputError, UsageError
from krogh.fexi import Flag, crlb, fit, get_model, preset

MODEL, PROTOCOL = get_model("axr"), preset("human-bbb")
TRUTH = np.array([1e-9, 0.2, 3.0])
LEVEL = np.array([1.0, 0.78, 0.7, 0.6])


def regions(n_regions, n_voxels, snr, seed, truth=TRUTH):
    """Return Rician signals of `n_regions` regions of one tissue and their labels."""
    rng = np.random.default_rng(seed)
    clean = MODEL.predict(truth[None], LEVEL[None], PROTOCOL)
    noise = rng.standard_normal((2, n_regions * n_voxels, 8)) / snr
    return np.hypot(clean + noise[0], noise[1]), np.repeat(np.arange(1, n_regions + 1), n_voxels)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_bias_of_axr_at_4096_voxels(known):
    errors = []
    for seed in range(4):
        signals, labels = regions(50, 4096, 50.0, seed)
        found = fit(signals, PROTOCOL, estimator="pooled", labels=labels, noise_sd=0.02 if known else None, intervals=False)
        errors.append(found.parameters["axr_per_s"] - 3.0)
        np.testing.assert_allclose(found.noise_sd, 0.02, rtol=0.02)
    errors = np.concatenate(errors)
    assert abs(errors.mean()) < 0.05  # 200 regions: standard error 0.009
    assert errors.std() < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("truth", [(1e-9, 0.2, 3.0), (0.8e-9, 0.3, 6.0), (2e-9, 0.4, 1.0)])
def test_sd_meets_the_bound_and_intervals_cover(truth):
    truth = np.array(truth)
    n, n_voxels, snr = 2000, 256, 100.0
    signals, labels = regions(n, n_voxels, snr, 11, truth)
    found = fit(signals, PROTOCOL, estimator="pooled", labels=labels)
    assert (found.flag == Flag.OK).mean() > 0.99
    bound = crlb(MODEL, PROTOCOL, dict(zip(MODEL.parameter_names, truth, strict=True)), snr, s0_level=LEVEL)
    for p, name in enumerate(MODEL.parameter_names):
        values, limit = found.parameters[name], bound.sd[name] / np.sqrt(n_voxels)
        assert values.std() == pytest.approx(limit, rel=0.10)
        assert np.median(found.sd[name]) == pytest.approx(limit, rel=0.10)
        assert abs(values.mean() - truth[p]) < 0.05 * limit + 3 * limit / np.sqrt(n)
        low, high = found.interval[name]
        assert 0.93 <= np.mean((low <= truth[p]) & (truth[p] <= high)) <= 0.97


def test_pooling_one_voxel_is_the_voxel_fit_and_copies_change_nothing():
    signals, _ = regions(5, 1, 100.0, 0)
    single = fit(signals, PROTOCOL)
    pooled = fit(signals, PROTOCOL, estimator="pooled", labels=np.arange(1, 6), noise_sd=0.01)
    np.testing.assert_allclose(pooled.theta(), single.theta(), rtol=1e-5, atol=1e-12)
    copies = fit(np.tile(signals[:1], (7, 1)), PROTOCOL, estimator="pooled", noise_sd=0.01)
    np.testing.assert_allclose(copies.theta(), single.theta()[:1], rtol=1e-5)


def test_joint_likelihood_is_what_it_says():
    """The cost at the pooled optimum is the sum over voxels of their least cost at those parameters."""
    signals, _ = regions(1, 40, 50.0, 1)
    found = fit(signals, PROTOCOL, estimator="pooled", noise_sd=0.02)
    shape = MODEL.shape(found.theta(), PROTOCOL)
    s0 = found.extra["s0_voxels"]
    residual = signals - s0[:, PROTOCOL.series_index] * shape
    assert found.cost[0] == pytest.approx(np.sum(residual**2) / 0.02**2, rel=1e-8)
    for name, step in (("adc_m2_s", 1e-12), ("sigma", 1e-3), ("axr_per_s", 1e-2)):
        for sign in (-1, 1):
            theta = found.theta().copy()
            theta[0, list(MODEL.parameter_names).index(name)] += sign * step
            e = MODEL.shape(theta, PROTOCOL)
            pairs = signals.reshape(40, 4, 2), e.reshape(1, 4, 2)
            least = (pairs[0] * pairs[1]).sum(2, keepdims=True) / (pairs[1] ** 2).sum(2, keepdims=True)
            assert np.sum((pairs[0] - least * pairs[1]) ** 2) / 0.02**2 > found.cost[0]


def test_regions_bad_voxels_and_mask():
    signals, labels = regions(3, 100, 50.0, 2)
    labels = labels * 10
    labels[:10] = 0
    signals[150, 2] = np.nan
    mask = np.ones(300, bool)
    mask[250:] = False
    found = fit(signals, PROTOCOL, mask, estimator="pooled", labels=labels)
    np.testing.assert_array_equal(found.extra["labels"], [10, 20, 30])
    np.testing.assert_array_equal(found.extra["n_voxels"], [90, 99, 50])
    alone = fit(signals[10:100], PROTOCOL, estimator="pooled")
    np.testing.assert_allclose(found.theta()[0], alone.theta()[0], rtol=1e-6)


def test_rician_likelihood_removes_the_noise_floor():
    signals, labels = regions(20, 3000, 8.0, 3)
    plain, rice = (
        fit(signals, PROTOCOL, estimator="pooled", labels=labels, noise_sd=0.125, likelihood=k, intervals=False).parameters
        for k in ("gaussian", "rician")
    )
    estimated = fit(signals, PROTOCOL, estimator="pooled", labels=labels, likelihood="rician", intervals=False)
    np.testing.assert_allclose(estimated.noise_sd, 0.125, rtol=0.03)
    np.testing.assert_allclose(estimated.parameters["adc_m2_s"], rice["adc_m2_s"], rtol=0.005)
    assert abs(rice["adc_m2_s"].mean() - 1e-9) < 0.5 * abs(plain["adc_m2_s"].mean() - 1e-9)


def test_errors():
    signals, _ = regions(1, 4, 50.0, 0)
    with pytest.raises(UsageError, match="2cm"):
        fit(signals, PROTOCOL, estimator="pooled", model="2cm")
    with pytest.raises(UsageError, match="gaussian or rician"):
        fit(signals, PROTOCOL, estimator="pooled", likelihood="poisson")
    with pytest.raises(InputError, match="no usable voxel"):
        fit(signals * np.nan, PROTOCOL, estimator="pooled")
    with pytest.raises(InputError, match="labels"):
        fit(signals, PROTOCOL, estimator="pooled", labels=[1, 2])
