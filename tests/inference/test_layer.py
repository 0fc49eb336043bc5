"""The pumped layer A of the notes: calibration, both solvers, and the question that has no answer."""

import numpy as np
import pytest
from tests.inference._cases import TIMES, TRUTH, by_volumes, layer_target, networks

from krogh.inference.calibrate import calibrate
from krogh.inference.fit import fit
from krogh.inference.identify import identify
from krogh.inference.profile import profile
from krogh.runs.infer_networks import fit_by_networks

#: Saturated, so that Km is seen as well.
SATURATED = np.array([1e-6, 1e-6, 0.1])


def coarse(theta):
    return by_volumes(theta, cells=24)


@pytest.mark.parametrize(
    ("free", "truth", "lloq", "draws"),
    [(2, TRUTH, 0.0, 60), (3, SATURATED, 0.0, 20), (2, TRUTH, 0.24, 30)],
    ids=["2", "3", "below"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(free, truth, lloq, draws):
    expected = by_volumes(truth[None])[0]
    target = layer_target(expected, free, predict=coarse, truth=truth, cv=0.05, lloq=lloq)
    if lloq:
        assert 0.1 < np.mean(expected < lloq) < 0.4
    found = calibrate(target, np.log(truth[:free]), draws, seed=3)
    assert found.converged.all()
    low, high = found.expected()
    assert np.all((low <= found.coverage()) & (found.coverage() <= high))
    assert np.all(np.abs(found.bias) < 3.3 / np.sqrt(draws))  # no bias that this many draws could see


def test_networks_and_volumes_give_the_same_estimate():
    value = by_volumes(TRUTH[None], cells=128)[0] * (1 + 0.05 * np.random.default_rng(5).standard_normal(TIMES.size))
    target = layer_target(value, 2, predict=lambda th: by_volumes(th, cells=128), cv=0.05)
    volumes = fit(target, np.log(TRUTH[:2]), scan=0)
    found, said = fit_by_networks(networks(2), target, volumes, 1e-4)
    np.testing.assert_array_less(np.abs(found.x - volumes.x) / volumes.sd, 1e-3)
    assert "SD away." in said


def test_vmax_and_km_from_data_far_below_km_are_refused_and_their_ratio_is_held():
    truth = np.array([1e-6, 5e-5, 50.0])
    value = by_volumes(truth[None])[0] * (1 + 0.05 * np.random.default_rng(2).standard_normal(TIMES.size))
    target = layer_target(value, 3, predict=coarse, truth=truth, cv=0.05)
    found = fit(target, np.log(truth), scan=0)
    judged = identify(target, found, profile(target, found))
    assert judged.held.tolist() == [True, False, False]
    (c,) = judged.combinations
    assert c.name == "Vmax/Km"
    assert c.low < 1e-6 < c.high
    assert c.high / c.low < 4  # for every Km: also one that the data could reach
