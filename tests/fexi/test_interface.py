"""The contract: flags, estimates on a grid, lazy public names, and light imports."""

import subprocess
import sys

import numpy as np
import pytest

import krogh.fexi
from krogh.fexi import Flag, fit, get_estimator, get_model
from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.estimators import ESTIMATORS
from krogh.fexi.interface import SignalModel
from krogh.fexi.models import MODELS


def test_public_names_load():
    for name in krogh.fexi.__all__:
        assert getattr(krogh.fexi, name) is not None
    assert "fit" in dir(krogh.fexi)
    with pytest.raises(AttributeError, match="no attribute"):
        krogh.fexi.nothing  # noqa: B018


def test_import_is_light():
    code = "import sys, krogh.fexi; print([m for m in ('numpy', 'numba', 'scipy', 'torch', 'nibabel') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_model_and_estimator_meets_the_contract():
    for name in MODELS:
        model = get_model(name)
        assert isinstance(model, SignalModel)
        assert model.name == name
        assert model.bounds.shape == (len(model.parameter_names), 2) == (len(model.units), 2)
    for name in ESTIMATORS:
        assert callable(get_estimator(name))


def test_flags_explain_themselves():
    assert [f.value for f in Flag] == list(range(8))
    assert all(f.sentence for f in Flag)
    assert [f for f in Flag if f.failed] == [Flag.MASKED, Flag.NON_FINITE, Flag.NOT_CONVERGED]


def test_estimate_on_a_grid():
    data = draw_test_set(24, snr=100.0)
    mask = np.ones((2, 3, 4), bool)
    mask[0, 0, 0] = False
    noise = np.full((2, 3, 4), 0.01)
    found = fit(data.signals.reshape(2, 3, 4, 8), data.protocol, mask, noise_sd=noise, intervals=True)
    assert found.n_voxels == 24
    assert found.map("adc_m2_s").shape == found.map("sd_sigma").shape == found.map("rmse").shape == (2, 3, 4)
    assert found.map("s0").shape == (2, 3, 4, 4)
    assert found.interval["sigma"][0].shape == (24,)
    assert np.isnan(found.interval["sigma"][0][0])
    assert found.theta().shape == (24, 3)
    flat = fit(data.signals, data.protocol, noise_sd=0.01)
    np.testing.assert_array_equal(flat.theta()[1:], found.theta()[1:])
    residual = np.sqrt(np.mean((data.signals - get_model("axr").predict(flat.theta(), flat.s0, data.protocol)) ** 2, axis=1))
    np.testing.assert_allclose(flat.rmse, residual, rtol=1e-6, atol=1e-12)
