"""Noise-free signals give their parameters back, and what they do not hold is flagged."""

import dataclasses

import numpy as np
import pytest

from krogh.fexi import Flag, Protocol, fit, get_model, preset


def equilibrium_at_every_time():
    """Return 12 volumes: an unfiltered pair at each mixing time too."""
    times = np.repeat([0.02, 0.2, 0.4] * 2, 2)
    return Protocol.from_s_mm2(np.repeat([0, 250], 6), [0, 250] * 6, times)


def repeated_and_shuffled():
    """Return the 8-volume protocol three times over in random order."""
    base = preset("human-bbb")
    rows = np.random.default_rng(3).permutation(np.tile(np.arange(8), 3))
    return dataclasses.replace(base.take(rows), average=rows)


PROTOCOLS = {
    "human-bbb": preset("human-bbb"),
    "bbb-crusher": preset("bbb-crusher"),
    "cell-type": preset("cell-type"),
    "equilibrium": equilibrium_at_every_time(),
    "repeated": repeated_and_shuffled(),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_axr_round_trip(name):
    protocol, model = PROTOCOLS[name], get_model("axr")
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(0.2e-9, 4e-9, 1000), rng.uniform(0.01, 0.95, 1000), rng.uniform(0.05, 19.5, 1000)], 1)
    truth[:50, 1] = 0.0  # nothing was filtered: AXR cannot be known
    truth[50:100, 2] = 0.0  # no exchange: on the bound
    s0 = rng.uniform(10, 1000, (1000, protocol.n_series))
    found = fit(model.predict(truth, s0, protocol), protocol)
    identifiable = (truth[:, 1] > 0) & (truth[:, 2] > 0)
    np.testing.assert_array_equal(found.flag[identifiable], Flag.OK)
    np.testing.assert_allclose(found.theta()[identifiable], truth[identifiable], rtol=1e-6)
    np.testing.assert_allclose(found.s0[identifiable], s0[identifiable], rtol=1e-6)
    assert np.isin(found.flag[:50], [Flag.ON_BOUND, Flag.NOT_IDENTIFIABLE]).all()
    np.testing.assert_array_equal(found.flag[50:100], Flag.ON_BOUND)
    assert found.parameters["axr_per_s"][50:100].max() < 1e-6


@pytest.mark.parametrize("name", ["2cm", "2cmr"])
@pytest.mark.parametrize("protocol_name", PROTOCOLS)
def test_two_compartment_round_trip(name, protocol_name):
    protocol = dataclasses.replace(
        PROTOCOLS[protocol_name],
        echo_time_filter_s=0.03,
        echo_time_detect_s=0.06,
        crusher_q_rad_m=6283.0,
        crusher_duration_s=2e-3,
    )
    model = get_model(name)
    n = 200
    rng = np.random.default_rng(1)
    truth = np.stack([rng.uniform(0.02, 0.2, n), rng.uniform(0.5e-9, 1.2e-9, n), rng.uniform(0.5, 8, n)], 1)
    found = fit(model.predict(truth, rng.uniform(0.5, 1, (n, protocol.n_series)), protocol), protocol, model=model)
    ok = found.flag == Flag.OK
    np.testing.assert_allclose(found.theta()[ok], truth[ok], rtol=1e-6)
    assert ok.mean() > 0.99 or protocol_name == "cell-type"


def test_blood_diffusivity_needs_more_than_one_b():
    model = get_model("2cm", fixed={})
    truth = np.array([[0.05, 10e-9, 0.8e-9, 3.0]])
    assert fit(model.shape(truth, preset("human-bbb")), preset("human-bbb"), model=model).flag[0] != Flag.OK
    several = fit(model.shape(truth, preset("bbb-crusher")), preset("bbb-crusher"), model=model)
    assert several.flag[0] == Flag.OK
    np.testing.assert_allclose(several.theta(), truth, rtol=1e-6)
