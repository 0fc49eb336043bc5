"""Rician likelihood: special functions, the maximum against scipy, and what it buys at low SNR."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import i0e, i1e

from krogh.errors import InputError, UsageError
from krogh.fexi import Flag, Protocol, fit, get_model, preset
from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.estimators._rician import bessel_ratio, log_i0


def test_bessel_functions_are_stable():
    z = np.concatenate([np.linspace(0, 100, 501), [700.0, 1e4, 1e8]])
    np.testing.assert_allclose([bessel_ratio(x) for x in z], i1e(z) / i0e(z), atol=3e-12)
    np.testing.assert_allclose([log_i0(x) for x in z[:-1]], (np.log(i0e(z)) + z)[:-1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("snr", [5.0, 20.0])
def test_likelihood_is_at_its_maximum(snr):
    data = draw_test_set(8, snr=snr, seed=4)
    model, protocol, sd = get_model("axr"), data.protocol, 1 / snr
    found = fit(data.signals, protocol, estimator="rician", noise_sd=sd)

    def cost(q, y):
        a = np.exp(q[3:])[protocol.series_index] * model.shape((q[:3] * [1e-9, 1, 1])[None], protocol)[0]
        z = y * a / sd**2
        return -np.sum(np.log(y / sd**2) - (y**2 + a**2) / (2 * sd**2) + np.log(i0e(z)) + z)

    bounds = [(0.1, 4.5), (0, 1), (0, 20)] + [(-6, 2)] * 4
    for v in np.flatnonzero(np.isfinite(found.cost)):
        begin = np.log(np.maximum(found.s0[v], 0.01))
        runs = [
            minimize(cost, np.r_[a, s, k, begin], args=(data.signals[v],), method="L-BFGS-B", bounds=bounds).fun
            for a, s, k in ((0.5, 0.2, 2), (2, 0.6, 10), (1, 0.3, 5))
        ]
        assert found.cost[v] <= min(runs) + 1e-5


def test_less_bias_than_least_squares_at_low_snr():
    model = get_model("axr")
    protocol = Protocol.from_s_mm2(
        np.repeat([0, 900], 12), np.tile(np.repeat([0, 1200], 3), 4), np.repeat([0.02, 0.3, 0.02, 0.3], 6)
    )
    clean = model.shape(np.array([[1.2e-9, 0.4, 3.0]]), protocol)
    noise = np.random.default_rng(0).standard_normal((2, 3000, 24)) / 10
    signals = np.hypot(clean + noise[0], noise[1])
    bias = {
        name: np.nanmedian(fit(signals, protocol, estimator=name, noise_sd=0.1).parameters["adc_m2_s"]) - 1.2e-9
        for name in ("nlls", "rician")
    }
    assert abs(bias["rician"]) < 0.35 * abs(bias["nlls"])


def test_same_as_least_squares_at_high_snr():
    data = draw_test_set(300, snr=500.0)
    rice, least = (fit(data.signals, data.protocol, estimator=e, noise_sd=0.002) for e in ("rician", "nlls"))
    firm = (least.flag == Flag.OK) & (least.sd["axr_per_s"] < 1)
    np.testing.assert_allclose(rice.theta()[firm], least.theta()[firm], rtol=1e-2)


def test_noise_must_be_known_or_estimable():
    data = draw_test_set(20)
    with pytest.raises(InputError, match="1 degree"):
        fit(data.signals, data.protocol, estimator="rician")
    many = draw_test_set(20, protocol=preset("bbb-crusher"))
    assert np.isfinite(fit(many.signals, many.protocol, estimator="rician").noise_sd).all()
    with pytest.raises(UsageError, match="2cm"):
        fit(data.signals, data.protocol, estimator="rician", noise_sd=0.02, model="2cm")
