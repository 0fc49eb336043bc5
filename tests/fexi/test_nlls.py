"""The fast least squares reach the global minimum; intervals, flags and settings do what they say."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from krogh.errors import InputError, UsageError
from krogh.fexi import Flag, fit, get_model, preset
from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.estimators._descend import descend, workspace
from krogh.fexi.estimators._reduce import reduce_protocol
from krogh.fexi.estimators._search import axr_units
from krogh.fexi.estimators._series import evaluate
from krogh.fexi.estimators.nlls27 import starts

MODEL = get_model("axr")


def prepared(data):
    reduced = reduce_protocol(data.protocol)
    fixed = (reduced.b, reduced.root_weight, reduced.pointer, reduced.mixing_time, reduced.filtered)
    return reduced.merge(data.signals)[0], fixed, np.full(reduced.n_series, np.nan)


def scipy_costs(data, rows):
    """Return the lowest of 27 scipy L-BFGS-B costs of each voxel in `rows`, exact gradient."""
    u, fixed, none = prepared(data)
    low, high = axr_units(MODEL.bounds)
    work = (np.empty(u.shape[1]), np.empty(none.size), np.empty(3), np.empty((3, 3)), np.empty((3, 3)))
    out = np.empty(len(rows))
    for i, v in enumerate(rows):

        def objective(unit, row=u[v]):
            cost = evaluate(row, *fixed, none, low + (high - low) * unit, *work)
            return data.snr**2 * cost, data.snr**2 * work[2] * (high - low)

        options = {"ftol": 1e-15, "gtol": 1e-9}
        runs = (minimize(objective, x, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 3, options=options) for x in starts(3, 3))
        out[i] = min(run.fun for run in runs) / data.snr**2
    return out


def not_higher(cost, reference, data, rows):
    return cost[rows] <= reference * (1 + 1e-8) + 1e-14 * np.sum(data.signals[rows] ** 2, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(("snr", "n"), [(20.0, 120), (50.0, 150), (200.0, 60)])
def test_cost_is_not_above_27_scipy_starts(snr, n):
    data = draw_test_set(n, snr=snr, seed=int(snr))
    cost = fit(data.signals, data.protocol).cost
    assert not_higher(cost, scipy_costs(data, range(n)), data, slice(None)).all()


@pytest.mark.slow
@pytest.mark.parametrize("snr", [20.0, 50.0, 200.0])
def test_cost_is_not_above_27_starts_of_its_own_in_10000_voxels(snr):
    data = draw_test_set(10_000, snr=snr, seed=int(snr))
    found = fit(data.signals, data.protocol)
    u, fixed, none = prepared(data)
    low, high = axr_units(MODEL.bounds)
    first = low + (high - low) * starts(3, 3)
    s0, gauss, best = np.empty(none.size), np.empty((3, 3)), np.full(10_000, np.inf)
    room = workspace(u.shape[1], none.size)
    for v, start in itertools.product(range(10_000), first):
        best[v] = min(best[v], descend(u[v], *fixed, none, low, high, -1, start.copy(), s0, gauss, room)[0])
    assert not_higher(found.cost, best, data, slice(None)).mean() >= 0.999
    assert not np.any(found.flag == Flag.NOT_CONVERGED)


@pytest.mark.slow
def test_nlls27_is_the_same_fit():
    data = draw_test_set(12, snr=200.0)
    seen = []
    slow = fit(data.signals, data.protocol, estimator="nlls27", noise_sd=0.005, progress=lambda i, n: seen.append((i, n)))
    fast = fit(data.signals, data.protocol, noise_sd=0.005)
    assert np.all(fast.cost <= slow.cost * (1 + 1e-8) + 1e-14)
    same = (slow.cost - fast.cost < 1e-9 * fast.cost + 1e-15) & (fast.flag == Flag.OK) & (slow.flag == Flag.OK)
    assert same.sum() >= 6
    np.testing.assert_allclose(slow.theta()[same], fast.theta()[same], rtol=2e-3)
    np.testing.assert_allclose(slow.sd["adc_m2_s"][same], fast.sd["adc_m2_s"][same], rtol=1e-3)
    assert seen[-1] == (12, 12)


def test_box_that_cuts_the_first_step_does_not_stop_the_descent():
    """A Newton step cut by a bound may lead uphill; these draws once ended at the grid point where they began."""
    data = draw_test_set(20_000, snr=50.0, seed=22)
    found = fit(data.signals, data.protocol)
    ok = (found.flag == Flag.OK) & (found.parameters["sigma"] > 0.9)
    u, fixed, none = prepared(data)
    low, high = axr_units(MODEL.bounds)
    s0, gauss, room = np.empty(none.size), np.empty((3, 3)), workspace(u.shape[1], none.size)
    for v, theta in zip(np.flatnonzero(ok), found.theta()[ok] * [1e9, 1, 1], strict=True):
        cost = descend(u[v], *fixed, none, low, high, -1, theta * [1, 0.999, 1], s0, gauss, room)[0]
        assert found.cost[v] <= cost * (1 + 1e-8) + 1e-15
    assert ok.sum() > 100


@pytest.mark.parametrize("name", ["bbb-crusher", "cell-type"])
def test_many_b_values_against_scipy(name):
    data = draw_test_set(25, snr=40.0, protocol=preset(name))
    cost = fit(data.signals, data.protocol).cost
    assert not_higher(cost, scipy_costs(data, range(25)), data, slice(None)).all()


def test_order_of_voxels_chunks_threads_and_mask_change_nothing():
    data = draw_test_set(40_000, snr=50.0)
    whole = fit(data.signals, data.protocol).theta()
    back = fit(data.signals[::-1], data.protocol, threads=2).theta()[::-1]
    np.testing.assert_array_equal(whole, back)
    mask = np.zeros((200, 200), bool)
    mask[50:60, 3:90] = True
    part = fit(data.signals.reshape(200, 200, 8), data.protocol, mask)
    np.testing.assert_array_equal(part.map("axr_per_s")[mask], whole[mask.reshape(-1), 2])
    assert np.isnan(part.map("axr_per_s")[~mask]).all()
    assert (part.map("flag")[~mask] == Flag.MASKED).all()
    assert part.map("s0").shape == (200, 200, 4)


def test_scale_and_volume_order_do_not_matter():
    data = draw_test_set(500, snr=50.0)
    one = fit(data.signals, data.protocol, noise_sd=0.02)
    rows = np.random.default_rng(0).permutation(8)
    other = fit(1000 * data.signals[:, rows], data.protocol.take(rows), noise_sd=20.0)
    firm = (one.flag == Flag.OK) & (one.sd["axr_per_s"] < 20)
    np.testing.assert_allclose(one.theta()[firm], other.theta()[firm], rtol=1e-5)
    np.testing.assert_allclose(one.sd["axr_per_s"][firm], other.sd["axr_per_s"][firm], rtol=1e-4)
    np.testing.assert_array_equal(one.flag, other.flag)


def test_averages_are_the_mean_of_their_volumes():
    data = draw_test_set(200, snr=50.0)
    noisy = np.concatenate([data.noisy(np.arange(200), r) for r in range(3)], axis=1)
    protocol = data.protocol.take(np.tile(np.arange(8), 3))
    three = fit(noisy, protocol)
    mean = fit(noisy.reshape(200, 3, 8).mean(axis=1), data.protocol)
    firm = three.flag == Flag.OK
    np.testing.assert_allclose(three.theta()[firm], mean.theta()[firm], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(three.noise_sd.mean(), 0.02, rtol=0.1)  # from 17 degrees of freedom per voxel


def test_failed_is_nan_and_flagged():
    data = draw_test_set(6, snr=50.0)
    signals = data.signals.copy()
    signals[0, 3], signals[1, 0], signals[2] = np.nan, np.inf, 0.0
    signals[3] *= 1e-3
    found = fit(signals, data.protocol, noise_sd=0.02)
    np.testing.assert_array_equal(found.flag[:4], [2, 2, 2, 5])
    assert np.isnan(found.theta()[:3]).all()
    assert np.isnan(found.rmse[:3]).all()
    assert np.isfinite(found.theta()[3:]).all()


def test_without_noise_there_is_no_sd_and_a_note():
    data = draw_test_set(5)
    found = fit(data.signals, data.protocol, intervals=True)
    assert np.isnan(found.theta() * 0 + np.stack(list(found.sd.values()), 1)).all()
    assert found.interval == {}
    assert "1 degree" in found.notes[0]


def test_profile_interval_ends_are_where_the_cost_has_risen():
    data = draw_test_set(40, snr=300.0)
    found = fit(data.signals, data.protocol, noise_sd=1 / 300, intervals=True)
    low, high = found.interval["axr_per_s"]
    theta = found.theta()
    checked = 0
    for v in np.flatnonzero(np.isfinite(low) & np.isfinite(high)):
        for end in (low[v], high[v]):
            held = get_model("axr", bounds={"axr_per_s": (end - 1e-7, end + 1e-7)})
            rise = fit(data.signals[v : v + 1], data.protocol, model=held).cost[0] - found.cost[v]
            assert rise * 300**2 == pytest.approx(3.841, rel=2e-3)
            checked += 1
        assert low[v] < theta[v, 2] < high[v]
    assert checked > 10


def test_negative_sigma_when_asked_for():
    model = get_model("axr", bounds={"sigma": (-0.5, 1.0)})
    truth = np.array([[1e-9, -0.2, 3.0], [1e-9, 0.3, 5.0]])
    np.testing.assert_allclose(
        fit(model.shape(truth, preset("human-bbb")), preset("human-bbb"), model=model).theta(), truth, rtol=1e-8
    )


def test_errors_in_one_line():
    data = draw_test_set(3)
    with pytest.raises(InputError, match="8 volumes"):
        fit(data.signals[:, :7], data.protocol)
    with pytest.raises(InputError, match="mask"):
        fit(data.signals, data.protocol, np.zeros(3))
    with pytest.raises(InputError, match="mask"):
        fit(data.signals, data.protocol, np.ones(4))
    with pytest.raises(UsageError, match="did you mean"):
        fit(data.signals, data.protocol, estimator="nls")
    with pytest.raises(UsageError, match="per-series"):
        fit(data.signals, data.protocol, s0="guess")
    with pytest.raises(InputError, match="noise_sd"):
        fit(data.signals, data.protocol, noise_sd=-1.0)
    with pytest.raises(InputError, match="weights"):
        fit(data.signals, data.protocol, weights=[1.0])
