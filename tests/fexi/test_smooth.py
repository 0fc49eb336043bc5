"""Smoothing over neighbours: the field is the one that is stated, maps are closer to the truth, intervals stay right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from krogh.errors import InputError, UsageError
from krogh.fexi import fit, preset
from krogh.fexi.estimators import eb, hbayes
from krogh.fexi.learned.field import Field, gain, local_field, local_weights
from krogh.fexi.learned.local import LocalPriors, local_posterior
from krogh.fexi.learned.messages import Messages
from krogh.fexi.learned.neighbours import correlation, gather_blocks, neighbours_of
from krogh.fexi.learned.posterior import posterior
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise

PROTOCOL, MODEL, SNR = preset("human-bbb"), AxrModel(), 100.0
SIZE = (9, 8, 7)


def a_scan(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and signals of a box of 3 mm voxels that vary smoothly and each by itself; two halves with a sharp edge."""
    rng = np.random.default_rng(seed)
    truth = np.empty((*SIZE, 3))
    for p, (a, b, shared, own) in enumerate(((0.95e-9, 0.8e-9, 0.08, 0.04), (0.22, 0.17, 0.2, 0.08), (3.0, 2.0, 0.35, 0.12))):
        field = gaussian_filter(rng.standard_normal(SIZE), 2.0, mode="wrap")
        truth[..., p] = np.exp(shared * field / field.std() + own * rng.standard_normal(SIZE))
        truth[:4, ..., p] *= a
        truth[4:, ..., p] *= b
    truth = truth.reshape(-1, 3)
    return truth, add_noise(MODEL.shape(truth, PROTOCOL), 1 / SNR, rng)


@pytest.fixture(scope="module")
def learned() -> tuple[np.ndarray, np.ndarray, dict]:
    truth, signals = a_scan()
    near = neighbours_of(np.argwhere(np.ones(SIZE, bool)), 12e-3, [3e-3] * 3)
    known = eb.prepare(MODEL, PROTOCOL, signals, noise_sd=1 / SNR, max_components=1, smooth=near)
    return truth, signals, {**known, "noise_sd": 1 / SNR, "smooth": near}


def test_blocks_are_those_within_reach() -> None:
    assert correlation(np.array([0.0, 3e-3, 6e-3]), 6e-3) == pytest.approx([1, 0.5, 0.25])
    index = np.argwhere(np.ones((4, 4, 3), bool))
    plain = gather_blocks(neighbours_of(index, 6e-3, [3e-3, 3e-3, 3e-3]))
    assert plain.around.shape == (48, 19)  # a voxel, 6 at one edge, 12 across a face
    middle = np.flatnonzero((index == 1).all(axis=1))[0]
    places = index[plain.around[plain.own[middle]]] - 1
    np.testing.assert_allclose(places * 3e-3, plain.place)
    assert not plain.offset.any()
    assert (plain.around == 48).any()  # the rim has fewer
    fine = gather_blocks(neighbours_of(index, 6e-3, [1.5e-3, 1.5e-3, 4e-3]))
    assert np.unique(fine.own).size == 2 * 2 * 3
    assert np.abs(fine.offset).max(axis=0) == pytest.approx([0.75e-3, 0.75e-3, 0])
    sums = fine.sums(np.ones(48))
    assert sums[-1] == 0
    assert np.all(sums[:-1] == 4)


def test_field_is_the_conditional_of_the_stated_model() -> None:
    """Against the joint Gaussian of all voxels, written out."""
    rng, rho = np.random.default_rng(1), np.array([0.9, 0.5, 0.0])
    index = np.argwhere(np.ones((3, 3, 3), bool))
    index = index[np.abs(index - 1).sum(axis=1) < 3]  # the corners are out of reach of the middle
    voxels = neighbours_of(index, 6e-3, [3e-3] * 3)
    n, middle = index.shape[0], np.flatnonzero((index == 1).all(axis=1))[0]
    root = rng.standard_normal((n, 1, 3, 3))
    messages = Messages(np.ones((n, 2)), root @ root.swapaxes(2, 3), rng.standard_normal((n, 1, 3)), np.ones(n))
    found = local_field(messages, 0, rho, gather_blocks(voxels), np.array([middle]))
    near = correlation(np.linalg.norm(3e-3 * (index[:, None] - index), axis=2), 6e-3)
    scale = np.diag(np.sqrt(rho))
    prior = np.kron(near, scale @ scale) + np.kron(np.eye(n), np.eye(3) - scale @ scale)
    precision, level = np.zeros((3 * n, 3 * n)), np.zeros(3 * n)
    for v in set(range(n)) - {middle}:
        at = slice(3 * v, 3 * v + 3)
        precision[at, at], level[at] = messages.precision[v, 0], messages.level[v, 0]
    cov = np.linalg.inv(np.linalg.inv(prior) + precision)
    at = slice(3 * middle, 3 * middle + 3)
    np.testing.assert_allclose(found.mean[0], (cov @ level)[at], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.cov[0], cov[at, at], rtol=1e-9, atol=1e-12)


def test_gain_is_the_ratio_of_two_integrals() -> None:
    p, h, mean, sd = 2.0, 1.3, 0.7, 0.4

    def evidence(mean: float, sd: float) -> float:
        return float(quad(lambda t: np.exp(h * t - 0.5 * p * t * t) * norm.pdf(t, mean, sd), -9, 9)[0])

    field = Field(np.array([[mean]]), np.array([[[sd**2]]]))
    found = gain(np.array([[[p]]]), np.array([[h]]), field)[0]
    assert found == pytest.approx(np.log(evidence(mean, sd) / evidence(0, 1)), abs=1e-8)


def test_weights_follow_the_neighbours_and_not_the_voxel_itself() -> None:
    index = np.argwhere(np.ones((5, 5, 5), bool))
    share = np.where(index[:, :1] < 3, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    middle = np.flatnonzero((index == [1, 2, 2]).all(axis=1))[0]
    share[middle] = [0, 0, 1.0]
    messages = Messages(share, np.zeros((125, 2, 3, 3)), np.zeros((125, 2, 3)), np.ones(125))
    blocks, weight = gather_blocks(neighbours_of(index, 6e-3, [3e-3] * 3)), np.array([0.1, 0.45, 0.45])
    found = local_weights(messages, weight, 1.0, blocks, np.array([middle]))[0]
    assert found.sum() == pytest.approx(1)
    assert found[1] > 0.8
    np.testing.assert_array_equal(local_weights(messages, weight, np.inf, blocks, np.array([middle]))[0], weight)


def test_equal_priors_give_the_posterior_under_one() -> None:
    _, signals = a_scan()
    scan = prepare_scan(MODEL, PROTOCOL, signals[:40], 1 / SNR, "per-series")
    prior = MixturePrior(MODEL.bounds, np.array([0.1, 0.9]), np.array([[-1.5, -1.4, -1.8]]), 0.3 * np.eye(3)[None])
    problem = scan.problem(scan.dictionary(), np.arange(40))
    own = LocalPriors(MODEL.bounds, np.tile(prior.weight, (40, 1)), np.tile(prior.mean, (40, 1, 1)),
                      np.tile(np.linalg.cholesky(prior.cov), (40, 1, 1, 1)))  # fmt: skip
    one, each = posterior(problem, prior), local_posterior(problem, own)
    for name in ("mean", "sd", "quantiles"):
        np.testing.assert_allclose(getattr(each, name), getattr(one, name), rtol=2e-4)


def test_maps_come_closer_to_the_truth_and_intervals_stay_right(learned: tuple) -> None:
    truth, signals, known = learned
    with_it = eb.fit(MODEL, PROTOCOL, signals, **known)
    without = eb.fit(MODEL, PROTOCOL, signals, **{**known, "smooth": None})
    better = np.sqrt(((with_it.theta() - truth) ** 2).mean(0)) / np.sqrt(((without.theta() - truth) ** 2).mean(0))
    assert np.all(better < [0.9, 0.95, 0.97])
    q = with_it.extra["quantiles"]
    inside = ((q[:, :, 1] < truth) & (truth < q[:, :, 5])).mean(axis=0)
    np.testing.assert_allclose(inside, 0.8, atol=0.12)  # 504 voxels leave the spread of AXR open to about 30 %
    assert all(with_it.sd[p].mean() < without.sd[p].mean() for p in with_it.sd)
    assert "of the variance between voxels" in with_it.notes[-1]
    assert np.all(with_it.extra["sharing"][0].rho > 0)
    two = eb.fit(MODEL, PROTOCOL, signals, **known, threads=2)
    np.testing.assert_array_equal(two.theta(), with_it.theta())


def test_where_nothing_is_shared_nothing_is_lost(learned: tuple) -> None:
    truth, signals, known = learned
    known = {**known, "smooth": neighbours_of(known["smooth"].index, 8e-3, [3e-3] * 3)}
    order = np.random.default_rng(3).permutation(truth.shape[0])
    with_it = eb.fit(MODEL, PROTOCOL, signals[order], **known)
    without = eb.fit(MODEL, PROTOCOL, signals[order], **{**known, "smooth": None})
    assert np.all(with_it.extra["sharing"][0].rho < 0.15)
    ratio = ((with_it.theta() - truth[order]) ** 2).mean(0) / ((without.theta() - truth[order]) ** 2).mean(0)
    assert np.all(ratio < 1.03)


def test_tissue_labels_do_not_mix_and_weak_voxels_do_not_speak(learned: tuple) -> None:
    _, signals, known = learned
    labels = (np.argwhere(np.ones(SIZE, bool))[:, 0] >= 4).astype(int)
    near = neighbours_of(known["smooth"].index, 8e-3, [3e-3] * 3)
    known = {**known, "prior": dict.fromkeys((0, 1), known["prior"][0]), "labels": labels, "smooth": near}
    changed = signals.copy()
    changed[labels == 1] *= np.linspace(1, 0.8, 8)
    changed[5] = 0.5 / SNR
    some = (labels == 0) & (np.arange(labels.size) != 5)
    one, two = (
        eb.fit(MODEL, PROTOCOL, s, **known).theta() for s in (np.where(np.arange(504)[:, None] == 5, np.nan, signals), changed)
    )
    np.testing.assert_array_equal(one[some], two[some])
    assert np.isfinite(two[5]).all()


def test_the_network_gives_the_same_posteriors(learned: tuple) -> None:
    from krogh.fexi.learned.encoder import HbayesSettings

    _, signals, known = learned
    known = {**known, "smooth": neighbours_of(known["smooth"].index, 8e-3, [3e-3] * 3)}
    exact = eb.fit(MODEL, PROTOCOL, signals, **known)
    found = hbayes.fit(MODEL, PROTOCOL, signals, noise_sd=1 / SNR, smooth=known["smooth"], prior=known["prior"],
                       training=HbayesSettings(rounds=2, width=32))  # fmt: skip
    for name, sd in exact.sd.items():
        off = (found.parameters[name] - exact.parameters[name]) / sd
        assert np.sqrt(np.mean(off**2)) < 0.15
        assert np.median(found.sd[name] / sd) == pytest.approx(1, abs=0.05)
    assert set(found.extra["sharing"]) == {0}


def test_what_cannot_be_smoothed_is_refused(learned: tuple) -> None:
    _, signals, known = learned
    data = signals.reshape(*SIZE, 8)
    for settings, error, words in (
        ({"estimator": "nlls"}, UsageError, "eb or hbayes"), ({"estimator": "npe"}, UsageError, "eb or hbayes"),
        ({"voxel_size": None}, InputError, "three edges"), ({"smooth": 3e-3}, UsageError, "at least 4 mm"),
        ({"smooth": -1.0}, UsageError, "a length > 0"), ({"prior": "uniform"}, UsageError, "learned from the scan"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            fit(data, PROTOCOL, **{"estimator": "eb", "smooth": 6e-3, "voxel_size": [3e-3] * 3, "noise_sd": 1 / SNR} | settings)
    with pytest.raises(InputError, match="grid x, y, z"):
        fit(signals, PROTOCOL, estimator="eb", smooth=6e-3, voxel_size=[3e-3] * 3, noise_sd=1 / SNR)
    many = MixturePrior(MODEL.bounds, np.full(10, 0.1), np.zeros((9, 3)), np.tile(np.eye(3), (9, 1, 1)))
    with pytest.raises(UsageError, match="at most 8"):
        eb.fit(MODEL, PROTOCOL, signals, **{**known, "prior": {0: many}})
