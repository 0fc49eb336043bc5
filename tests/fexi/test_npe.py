"""The amortised posterior: at the floor, calibrated, the same after a kill, and refusing what it was not trained for."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from krogh.errors import ConvergenceError, InputError, UsageError
from krogh.fexi import get_estimator, preset
from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.interface import Flag
from krogh.fexi.learned import _proposal
from krogh.fexi.learned.checkpoint import protocol_key
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.flow import NpeSettings, PosteriorNetwork
from krogh.fexi.learned.practice import Plan, practise
from krogh.fexi.learned.prior import uniform_prior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.learned.tissue import named_prior
from krogh.fexi.learned.train_npe import train_npe
from krogh.fexi.learned.unrolled import UnrolledFlow
from krogh.fexi.models import get_model
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.precision import check_identifiable
from krogh.fexi.protocol import Protocol

PROTOCOL = preset("human-bbb")
DATA = draw_test_set(1500, seed=4)
MODEL = AxrModel(bounds=dict(zip(AxrModel().parameter_names, DATA.prior.tolist(), strict=True)))
SMALL = NpeSettings(width=48, flow_width=48, rounds=14, steps=90, batch=512, patience=14, learning_rate=4e-3)
npe = get_estimator("npe")


def conditions(**changes):
    given = {"model": MODEL, "protocol": PROTOCOL, "prior": uniform_prior(MODEL.bounds), "snr": (40.0, 62.0), "s0": "known"}
    return Conditions(**{**given, **changes})


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return train_npe(conditions(), settings=SMALL, seed=1)


def fitted(network, signals=DATA.signals, sd=0.02, **settings):
    return npe(MODEL, PROTOCOL, signals, noise_sd=sd, s0="known", weights=network, **settings)


@pytest.mark.slow
def test_weighted_samples_reach_the_exact_posterior_mean(network):
    exact = get_estimator("eb")(MODEL, PROTOCOL, DATA.signals, noise_sd=0.02, s0="known", prior="uniform").theta()
    found = fitted(network, n_samples=64, at=DATA.truth)
    floor = np.square(exact - DATA.truth).mean(axis=0)
    assert np.all(np.square(found.theta() - exact).mean(axis=0) < 0.03 * floor)
    nlls = get_estimator("nlls")(MODEL, PROTOCOL, DATA.signals, s0="known").theta()
    error = np.square(found.theta() - DATA.truth).mean(axis=0)
    assert error[2] < 0.5 * np.square(nlls - DATA.truth).mean(axis=0)[2]
    for p in range(3):  # ranks of the truth: uniform; 64 weighted samples give steps of about 1/64
        assert stats.kstest(found.extra["rank"][:, p], "uniform").statistic < 1.63 / np.sqrt(DATA.truth.shape[0]) + 1 / 64
    assert np.median(found.extra["effective"]) > 25
    two = fitted(network, np.tile(DATA.signals, (2, 1)), n_samples=64, threads=2)  # two pieces on two threads
    np.testing.assert_array_equal(two.theta(), fitted(network, np.tile(DATA.signals, (2, 1)), n_samples=64).theta())


@pytest.mark.parametrize(("n_par", "depth"), [(3, 2), (2, 1), (1, 2)])
def test_unrolled_flow_is_the_flow(n_par, depth):
    rng, n = np.random.default_rng(0), 30
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = PosteriorNetwork(9, n_par, NpeSettings(flow_width=16, flow_depth=depth))
        for weights in network.flow.parameters():
            weights.mul_(3)
        network.spread.mul_(1.7)
        network.centre.add_(0.3)
        x = rng.standard_normal((n, 9))
        base, own = 2 * rng.standard_normal((n, n_par, 20)), 4 * rng.standard_normal((n, n_par, 4))
        u, log_q = np.concatenate([base, own], axis=2), np.empty((n, 24))
        UnrolledFlow(network).draw(x, u, 20, log_q)
        flow = network.double().flow(torch.as_tensor(x).repeat_interleave(24, dim=0))  # the reference in 64 bits
        centre, spread = float(network.centre[0]), float(network.spread[0])
        relative = torch.as_tensor((u - centre) / spread).transpose(1, 2).reshape(-1, n_par)
        z = flow.transform(relative).reshape(n, 24, n_par).transpose(1, 2).numpy()
        expected = flow.log_prob(relative).reshape(n, 24).numpy() - n_par * np.log(spread)
    np.testing.assert_allclose(u[:, :, 20:], own, rtol=1e-12)
    np.testing.assert_allclose(z[:, :, :20], base, atol=5e-4)
    np.testing.assert_allclose(log_q, expected, atol=5e-4)


def test_given_samples_are_moved_points_and_a_stretch_of_the_pool():
    points, shift, out = np.array([[0.1, 0.7], [0.2, 0.5]]), np.array([[0.25, 0.6, 0.9]]), np.empty((1, 2, 4))
    _proposal.give(points, shift, np.arange(6.0).reshape(2, 3), out)
    expected = [[*stats.norm.ppf([0.35, 0.95]), 2, 0], [*stats.norm.ppf([0.8, 0.1]), 5, 3]]
    np.testing.assert_allclose(out[0], expected, rtol=1e-8)


def test_summary_is_near_and_its_intervals_cover(network):
    exact = get_estimator("eb")(MODEL, PROTOCOL, DATA.signals[:600], noise_sd=0.02, s0="known", prior="uniform")
    found = fitted(network)
    off = (found.theta()[:600] - exact.theta()) / np.stack(list(exact.sd.values()), axis=1)
    assert np.all(np.square(off).mean(axis=0) < 0.35)  # of the posterior variance, after 1,260 steps of training
    quantiles = found.extra["quantiles"]
    assert np.all(np.diff(quantiles, axis=2) > 0)
    for low, high, level in ((2, 4, 0.5), (1, 5, 0.8), (0, 6, 0.95)):
        inside = (quantiles[:, :, low] < DATA.truth) & (DATA.truth < quantiles[:, :, high])
        assert np.all(np.abs(inside.mean(axis=0) - level) < 0.05)
    assert set(found.sd) == set(MODEL.parameter_names) == set(found.interval)
    assert np.isfinite(found.cost).all()


def test_killed_and_resumed_training_ends_with_the_same_bytes():
    few = dataclasses.replace(SMALL, rounds=5, steps=4, batch=64)
    whole = train_npe(conditions(), settings=few, seed=3)
    stored = []

    class KilledError(Exception):
        pass

    def keep(state):
        stored[:] = [dataclasses.replace(state, history=list(state.history))]
        if state.done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_npe(conditions(), settings=few, seed=3, keep=keep)
    resumed = train_npe(conditions(), settings=few, seed=3, state=stored[0])
    assert resumed.record() == whole.record()
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(resumed.tensors[name], values)
    other = train_npe(conditions(), settings=few, seed=4)
    assert any(not np.array_equal(other.tensors[n], v) for n, v in whole.tensors.items())


def test_best_weights_are_kept_and_patience_ends_the_training():
    weight = torch.nn.Linear(1, 1, bias=False)
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0, 9.0])
    seen = []

    def losses(i):
        yield (weight.weight - i).square().sum()

    def score(_):
        seen.append(float(weight.weight.detach()))
        return next(scores)

    end = practise(weight, losses, score, Plan(rounds=6, patience=3, learning_rate=0.1, decay=False))
    assert (end.done, end.best, end.stale) == (5, 1.0, 3)
    assert float(weight.weight.detach()) == seen[1]
    with pytest.raises(ConvergenceError, match="not finite"):
        practise(weight, lambda i: [weight.weight.sum() * float("nan")], lambda x: x, Plan(2, 2, 0.1))


def test_it_refuses_what_it_was_not_trained_for(network):
    other = Protocol.from_s_mm2([0, 0, 250, 250], [0, 300, 0, 300], [0.02, 0.02, 0.3, 0.3])
    with pytest.raises(UsageError, match=r"protocol .* for which it was trained; train one"):
        npe(MODEL, other, DATA.signals[:, :4], noise_sd=0.02, s0="known", weights=network)
    with pytest.raises(UsageError, match="another bounds"):
        npe(AxrModel(), PROTOCOL, DATA.signals, noise_sd=0.02, s0="known", weights=network)
    with pytest.raises(UsageError, match="S0 free"):
        npe(MODEL, PROTOCOL, DATA.signals, noise_sd=0.02, weights=network)
    with pytest.raises(InputError, match=r"SNR 20 \(median\), expected 40 to 62.*--snr 14:62"):
        fitted(network, sd=0.05)
    with pytest.raises(UsageError, match="n_samples"):
        fitted(network, prior=uniform_prior(MODEL.bounds))
    with pytest.raises(UsageError, match="a network of npe"):
        network.check("selfsup", prepare_scan(MODEL, PROTOCOL, DATA.signals[:3], 0.02, "known").part(np.arange(3)))
    stated = dataclasses.replace(PROTOCOL, slice_thickness_m=5e-3)  # recorded only: no model sees it
    assert protocol_key(stated) == protocol_key(PROTOCOL)
    assert protocol_key(dataclasses.replace(PROTOCOL, echo_time_filter_s=0.03)) != protocol_key(PROTOCOL)


def test_voxels_outside_of_the_training_are_flagged(network):
    rng = np.random.default_rng(9)
    inside = fitted(network)
    assert inside.extra["outside"].sum() <= 1
    clean = MODEL.shape(np.tile([1e-9, 0.3, 5.0], (50, 1)), PROTOCOL)
    fast = MODEL.shape(np.tile([9e-9, 0.3, 5.0], (50, 1)), PROTOCOL)  # no tissue within the bounds
    spike = clean.copy()
    spike[:, 3] *= 1.8  # one bad volume
    level = np.linspace(0.8, 1.2, 50)[:, None] * clean * [1, 1, 2, 2, 0.4, 0.4, 1, 1]  # S0 stated as 1 and is not
    for strange in (fast, spike, level):
        found = fitted(network, np.hypot(strange + 0.02 * rng.standard_normal((50, 8)), 0.02 * rng.standard_normal((50, 8))))
        assert found.extra["outside"].all()
        assert (found.flag == Flag.OUTSIDE_TRAINING).all()
        assert any("unlike anything" in note for note in found.notes)
    sd = np.full(1500, 0.02)
    sd[:40] = 0.005  # 40 voxels with SNR 200 in a scan with SNR 50
    noisy = fitted(network, sd=sd)
    assert noisy.extra["outside"][:40].all()
    assert noisy.extra["outside"][40:].sum() <= 1
    assert any("40 of them by their SNR" in note for note in noisy.notes)


def test_another_prior_enters_by_the_weights(network):
    narrow = dataclasses.replace(
        uniform_prior(MODEL.bounds), weight=np.array([0.02, 0.98]), mean=np.array([[-0.6, -0.5, -1.5]]), cov=0.2 * np.eye(3)[None]
    )
    exact = get_estimator("eb")(MODEL, PROTOCOL, DATA.signals[:300], noise_sd=0.02, s0="known", prior=narrow)
    found = fitted(network, DATA.signals[:300], n_samples=256, prior=narrow)
    sure = found.extra["effective"] > 20
    assert sure.mean() > 0.4
    off = ((found.theta() - exact.theta()) / np.stack(list(exact.sd.values()), axis=1))[sure]
    assert np.sqrt(np.square(off).mean()) < 0.3


@pytest.mark.parametrize(("name", "inputs"), [("2cm", {}), ("2cmr", {"t2_i_s": np.inf, "t2_e_s": np.inf})])
def test_compartment_models_work_where_identifiable_and_are_refused_otherwise(name, inputs):
    few = dataclasses.replace(SMALL, rounds=2, steps=3, batch=64)
    model = get_model(name, **inputs)
    network = train_npe(conditions(model=model, prior=named_prior("tissue", model), s0="per-series"), settings=few)
    signals, theta = conditions(model=model, prior=named_prior("tissue", model), s0="per-series").simulate(40, 5)
    found = npe(model, PROTOCOL, signals.z, noise_sd=1.0, weights=network, n_samples=16)
    assert set(found.parameters) == set(model.parameter_names)
    assert np.isfinite(found.theta()).all()
    assert theta.shape == found.theta().shape
    with pytest.raises(InputError, match="cannot tell apart"):
        check_identifiable(get_model(name, fixed={}, **inputs), PROTOCOL, s0_free=True)


def test_priors_and_conditions_say_what_is_wrong():
    assert named_prior("uniform", MODEL).n_components == 0
    drawn = named_prior("tissue", AxrModel()).draw(4000, np.random.default_rng(0))
    assert np.median(drawn, axis=0) == pytest.approx([0.93e-9, 0.16, 2.8], rel=0.15)
    with pytest.raises(UsageError, match="did you mean tissue"):
        named_prior("tisue", MODEL)
    with pytest.raises(InputError, match="SNR range"):
        conditions(snr=(1.0, 50.0))
    with pytest.raises(InputError, match="other bounds"):
        conditions(prior=uniform_prior(AxrModel().bounds))
    with pytest.raises(InputError, match="per-series or known"):
        conditions(s0="free")


def test_a_scan_without_network_gets_one_of_its_own(monkeypatch):
    from krogh.fexi.estimators import get_preparation
    from krogh.fexi.learned import train_npe as module

    monkeypatch.setattr(module, "NpeSettings", lambda: dataclasses.replace(SMALL, rounds=2, steps=2, batch=64))
    steps = []
    made = get_preparation("npe")(
        MODEL, PROTOCOL, DATA.signals[:200], noise_sd=0.02, s0="known", progress=lambda i, n: steps.append((i, n))
    )
    assert steps == [(1, 2), (2, 2)]
    assert made["weights"].snr[0] < 50 < made["weights"].snr[1]
    assert get_preparation("npe")(MODEL, PROTOCOL, DATA.signals[:200], noise_sd=0.02, s0="known", **made) == made
