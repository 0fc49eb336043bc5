"""The origin experiment: what each estimator really reaches."""

import numpy as np
import pytest

from krogh.fexi.benchmark import benchmark, draw_test_set

UNIT = np.array([1e9, 1.0, 1.0])


@pytest.mark.slow
def test_origin_experiment():
    result = benchmark(("constant", "nlls", "rician", "bayes"), limits={"bayes": 3000}, n_repeat_voxels=100, n_repeats=10)
    mse = {s.name: s.mse * UNIT**2 for s in result.scores}
    np.testing.assert_allclose(result.population_variance * UNIT**2, [1.27, 0.0533, 33.0], rtol=0.03)
    np.testing.assert_allclose(mse["constant"], [1.27, 0.0536, 32.6], rtol=0.03)
    np.testing.assert_allclose(mse["nlls"], [0.0138, 0.0160, 51.8], rtol=0.06)
    np.testing.assert_allclose(mse["bayes"], [0.0110, 0.0106, 21.5], rtol=0.08)
    assert np.all(mse["bayes"] < mse["nlls"])
    assert np.all(mse["bayes"] < mse["rician"])
    assert mse["nlls"][2] > mse["constant"][2]  # NLLS is worse than a constant for AXR
    nlls = result.score("nlls")
    assert nlls.variance[2] == pytest.approx(36.0, rel=0.15)
    assert 0.35 < nlls.share_on_bound < 0.5
    assert nlls.bias_curve.shape == (3, 12, 3)
    assert nlls.bias_curve[2, 0, 1] > 0 > nlls.bias_curve[2, -1, 1]
    np.testing.assert_allclose(result.score("constant").variance, 0, atol=1e-20)
    assert result.crlb_sd[2] > 10
    curve = result.curve(3)
    assert curve["truth"].shape == curve["nlls"].shape == curve["bayes"].shape == (100,)


def test_any_function_can_be_scored_and_the_seed_decides():
    data = draw_test_set(50, seed=7)
    np.testing.assert_array_equal(data.signals, draw_test_set(50, seed=7).signals)
    assert not np.array_equal(data.signals, draw_test_set(50, seed=8).signals)
    result = benchmark((), test_set=data, others={"truth": lambda y: data.truth[: len(y)]}, n_repeat_voxels=50, n_repeats=2)
    np.testing.assert_allclose(result.score("truth").mse, 0)


def test_nlls27_takes_part():
    result = benchmark(("nlls27",), test_set=draw_test_set(3), limits={"nlls27": 2})
    assert result.score("nlls27").estimates.shape == (2, 3)
