"""Signal models: derivatives, limits and the closed-form matrix exponential."""

import dataclasses

import numpy as np
import pytest
from scipy.linalg import expm

from krogh.errors import InputError, UsageError
from krogh.fexi.models import get_model
from krogh.fexi.models.base import complex_step
from krogh.fexi.models.two_compartment_relaxation import expm_2x2
from krogh.fexi.presets import preset

ECHO = {"echo_time_filter_s": 0.03, "echo_time_detect_s": 0.06}


def draw(model, n, seed=0):
    rng = np.random.default_rng(seed)
    low, high = model.bounds.T
    return low + (high - low) * rng.uniform(0.02, 0.98, (n, low.size))


def protocol_of(name):
    return dataclasses.replace(preset(name), crusher_q_rad_m=6283.2, crusher_duration_s=2e-3, **ECHO)


@pytest.mark.parametrize("name", ["human-bbb", "bbb-crusher", "cell-type"])
@pytest.mark.parametrize("model", [get_model("axr"), get_model("2cm"), get_model("2cm", fixed={}), get_model("2cmr", fixed={})])
def test_jacobian_against_central_differences(model, name):
    protocol = protocol_of(name)
    theta = draw(model, 20)
    s0 = np.random.default_rng(1).uniform(0.5, 2, (20, protocol.n_series))
    jac = model.jacobian(theta, s0, protocol)
    both = np.concatenate([theta, s0], axis=1)
    n_par = theta.shape[1]
    for p in range(both.shape[1]):
        step = 1e-5 * np.abs(both[:, p]).max()
        up, down = both.copy(), both.copy()
        up[:, p] += step
        down[:, p] -= step
        plus = model.predict(up[:, :n_par], up[:, n_par:], protocol)
        minus = model.predict(down[:, :n_par], down[:, n_par:], protocol)
        wanted = (plus - minus) / (2 * step)
        assert np.abs(jac[:, :, p] - wanted).max() <= 1e-6 * np.abs(wanted).max() + 1e-11 / step


@pytest.mark.parametrize("model", [get_model("axr"), get_model("2cm", fixed={})])
def test_analytic_jacobian_is_the_complex_step(model):
    protocol = preset("bbb-crusher")
    theta = draw(model, 50)
    exact, analytic = complex_step(model, theta, protocol), model.shape_jacobian(theta, protocol)
    scale = np.abs(exact).max(axis=(0, 1))
    np.testing.assert_allclose(analytic / scale, exact / scale, atol=1e-13)


def test_expm_2x2_against_scipy():
    rng = np.random.default_rng(0)
    a, d = -rng.uniform(0, 30, (2, 40))
    b, c = rng.uniform(0, 10, (2, 40))
    a[0] = d[0]
    b[0] = c[0] = 0.0
    mine = np.array(expm_2x2(a, b, c, d, np.full(40, 0.4))).T.reshape(-1, 2, 2)
    np.testing.assert_allclose(mine, expm(0.4 * np.stack([a, b, c, d], 1).reshape(-1, 2, 2)), atol=1e-13)


def test_no_relaxation_no_crusher_is_the_two_compartment_model():
    infinite = dict.fromkeys(("t1_i_s", "t1_e_s", "t2_i_s", "t2_e_s"), np.inf)
    full, plain = get_model("2cmr", fixed={}, **infinite), get_model("2cm", fixed={})
    theta = draw(plain, 30)
    for name in ("human-bbb", "bbb-crusher", "cell-type"):
        np.testing.assert_allclose(full.shape(theta, preset(name)), plain.shape(theta, preset(name)), rtol=1e-11)


def test_equilibrium_does_not_depend_on_mixing_time_or_exchange():
    protocol = preset("human-bbb")
    later = dataclasses.replace(protocol, mixing_time_s=protocol.mixing_time_s + 0.3)
    for model in (get_model("axr"), get_model("2cm")):
        theta = draw(model, 10)
        other = theta.copy()
        other[:, -1] = 1.0
        free = protocol.filter_b_s_m2 == 0
        for shape in (model.shape(theta, later), model.shape(other, protocol)):
            np.testing.assert_allclose(shape[:, free], model.shape(theta, protocol)[:, free], rtol=1e-13)


def test_unfiltered_scan_is_not_at_equilibrium_with_t2():
    protocol = dataclasses.replace(preset("human-bbb"), **ECHO)
    model = get_model("2cmr", t1_i_s=np.inf, t1_e_s=np.inf)
    slow, fast = (model.shape(np.array([[0.04, 0.8e-9, k]]), protocol)[0, 1] for k in (0.0, 20.0))
    assert abs(slow / fast - 1) > 1e-3


def test_model_errors():
    with pytest.raises(UsageError, match="did you mean"):
        get_model("2cmm")
    with pytest.raises(InputError, match="did you mean"):
        get_model("2cm", fixed={"d_i": 1e-9})
    with pytest.raises(InputError, match="low < high"):
        get_model("axr", bounds={"sigma": (1.0, 0.0)})
    with pytest.raises(InputError, match="echo"):
        get_model("2cmr").shape(np.array([[0.04, 0.8e-9, 3.0]]), preset("human-bbb"))
    with pytest.raises(UsageError, match="unexpected"):
        get_model("axr", colour=1)
