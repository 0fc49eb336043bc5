"""Empirical Bayes on a dictionary: exact posteriors, a prior learned from the scan, honest regions."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ive
from scipy.stats import chi2, kstest

from krogh.errors import InputError, UsageError
from krogh.fexi import fit, get_estimator, get_model, preset
from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.benchmark_tissues import TWO_TISSUES, draw_two_tissues, true_posterior
from krogh.fexi.interface import Flag
from krogh.fexi.learned.ascend import curvature
from krogh.fexi.learned.hyperprior import move, penalty, penalty_slope, scores
from krogh.fexi.learned.learn import GridEvidence, climb
from krogh.fexi.learned.prior import MixturePrior, to_theta, to_u, uniform_prior
from krogh.fexi.learned.regions import region_posterior
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.learned.scan_prior import reduced
from krogh.fexi.learned.start import first_guess
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise

UNIT = np.array([1e9, 1.0, 1.0])
NAMES = AxrModel().parameter_names
PROTOCOL = preset("human-bbb")


def a_mixture(seed: int = 0) -> MixturePrior:
    rng = np.random.default_rng(seed)
    root = 0.3 * rng.standard_normal((2, 3, 3))
    cov = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(3)
    return MixturePrior(AxrModel().bounds, np.array([0.1, 0.5, 0.4]), 0.5 * rng.standard_normal((2, 3)), cov)


def test_prior_draws_what_its_density_says_and_survives_a_dictionary():
    prior = a_mixture()
    u = to_u(prior.draw(40_000, np.random.default_rng(1)), prior.bounds)
    # E[q/g] = 1 under g for any density q
    other = MixturePrior(prior.bounds, np.array([0.0, 1.0]), np.zeros((1, 3)), 0.2 * np.eye(3)[None])
    ratio = np.exp(other.log_density(u) - prior.log_density(u))
    assert ratio.mean() == pytest.approx(1.0, abs=5 * ratio.std() / 200)
    np.testing.assert_allclose(to_theta(to_u(prior.bounds.mean(1), prior.bounds), prior.bounds), prior.bounds.mean(1))
    again = MixturePrior.from_dict(prior.as_dict())
    np.testing.assert_array_equal(again.log_density(u[:9]), prior.log_density(u[:9]))
    assert uniform_prior(prior.bounds).n_components == 0


def test_gradients_are_those_of_the_density_and_the_hyperprior():
    prior, u = a_mixture(), np.random.default_rng(2).standard_normal((5, 3))
    slope, (curve, _) = scores(prior, u), penalty_slope(prior)
    for i in range(slope.shape[1]):
        step = np.zeros(slope.shape[1])
        step[i] = 1e-5
        up, down = move(prior, step), move(prior, -step)
        np.testing.assert_allclose((up.log_density(u) - down.log_density(u)) / 2e-5, slope[:, i], atol=1e-7)
        assert (penalty(up) - penalty(down)) / 2e-5 == pytest.approx(curve[i], abs=1e-6)


def _exact_log_likelihood(y, theta, sd):
    """ln of the Rician likelihood, S0 of each series integrated numerically over a prior flat in its length S0 |e|."""
    shape, total = AxrModel().shape(theta[None], PROTOCOL)[0], 0.0
    for s in range(PROTOCOL.n_series):
        rows = np.flatnonzero(PROTOCOL.series_index == s)
        e, z = shape[rows], y[rows] / sd

        def density(level, e=e, z=z):
            a = level * e
            return np.prod(z * np.exp(-0.5 * (z - a) ** 2) * ive(0, z * a))

        peak = z @ e / (e @ e)
        total += np.log(np.sqrt(e @ e) * quad(density, max(peak - 9, 0), peak + 9, epsabs=1e-14)[0])
    return total


def test_likelihood_is_the_rician_one_with_s0_integrated_out():
    data = draw_two_tissues(3, snr=30.0)
    scan = prepare_scan(AxrModel(), PROTOCOL, data.signals, 1 / 30, "per-series")
    grid = scan.dictionary()
    problem = scan.problem(grid, np.arange(3))
    atoms = np.linspace(0, grid.n_atoms - 1, 12).astype(int)
    for v in range(3):
        exact = np.array([_exact_log_likelihood(data.signals[v], grid.theta[j], 1 / 30) for j in atoms])
        mine = np.empty(atoms.size)
        for i, j in enumerate(atoms):
            log_w = np.full(grid.n_atoms, -1e9)
            log_w[j] = 0.0
            mine[i] = problem.take(slice(v, v + 1)).expected_masses(log_w)[0]
        near = exact > exact.max() - 12
        np.testing.assert_allclose((mine - exact)[near] - (mine - exact)[near].mean(), 0, atol=0.02)


@pytest.mark.parametrize("spread", [0.0, 0.7], ids=["one S0", "S0 within a factor of 2"])
def test_a_free_s0_says_nothing_of_the_tissue(spread):
    """The mean gradient of ln L at the truth is zero whatever S0 is; a prior flat in S0 itself pulls ADC by 0.37 a voxel."""
    rng, n, snr = np.random.default_rng(1), 60_000, 20.0
    truth, step = np.array([0.8e-9, 0.2, 3.0]), np.array([0.01e-9, 0.01, 0.1])
    clean = np.exp(rng.uniform(-spread, spread, (n, 1))) * AxrModel().shape(truth[None], PROTOCOL)
    part = Signals.of(AxrModel(), PROTOCOL, add_noise(clean, 1 / snr, rng), np.full(n, 1 / snr), None)
    points = np.concatenate([truth + np.diag(step), truth - np.diag(step)])
    level = part.log_likelihood(np.broadcast_to(points, (n, 6, 3)))
    slope = (level[:, :3] - level[:, 3:]) / (2 * step * UNIT)
    assert np.all(np.abs(slope.mean(axis=0)) < 4 * slope.std(axis=0) / np.sqrt(n))
    shape = AxrModel().shape(points, PROTOCOL)
    length = np.log(np.stack([np.linalg.norm(shape[:, PROTOCOL.series_index == s], axis=1) for s in range(4)])).sum(axis=0)
    flat = slope.mean(axis=0) - (length[:3] - length[3:]) / (2 * step * UNIT)
    assert np.all(np.abs(flat) > 6 * slope.std(axis=0) / np.sqrt(n))  # the check can tell


def test_dictionary_and_samples_have_one_likelihood():
    data = draw_two_tissues(4, snr=50.0)
    scan = prepare_scan(AxrModel(), PROTOCOL, data.signals, 0.02, "per-series")
    grid = scan.dictionary()
    atoms, problem = np.linspace(0, grid.n_atoms - 1, 9).astype(int), scan.problem(grid, np.arange(4))
    sampled = scan.part(np.arange(4)).log_likelihood(np.tile(grid.theta[atoms], (4, 1, 1)))
    table = np.empty((4, 9))
    for v in range(4):
        for i, j in enumerate(atoms):
            log_w = np.full(grid.n_atoms, -1e9)
            log_w[j] = 0.0
            table[v, i] = problem.take(slice(v, v + 1)).expected_masses(log_w)[0]
    np.testing.assert_allclose(np.diff(sampled, axis=1), np.diff(table, axis=1), rtol=1e-6, atol=1e-6)


def test_uniform_prior_gives_the_floor_of_the_origin_set():
    from krogh.fexi._bayes import posterior_mean

    data = draw_test_set(400, snr=50.0, seed=3)
    model = AxrModel(bounds=dict(zip(NAMES, data.prior.tolist(), strict=True)))
    mean, sd = posterior_mean(model, PROTOCOL, data.signals, prior=data.prior, noise_sd=0.02)
    found = get_estimator("eb")(model, PROTOCOL, data.signals, noise_sd=0.02, s0="known", prior="uniform")
    np.testing.assert_allclose(found.theta() / np.ptp(data.prior, axis=1), mean / np.ptp(data.prior, axis=1), atol=0.01)
    assert np.median(np.abs(np.stack(list(found.sd.values()), 1) / sd - 1)) < 0.01


@pytest.mark.slow
def test_two_tissues_nobody_was_told_of():
    data = draw_two_tissues(4000, snr=50.0)
    eb, oracle = get_estimator("eb"), true_posterior(data, data.signals, at=data.truth)
    found = eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, s0="known")
    wide = eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, s0="known", prior="uniform")
    rmse = {k: np.sqrt(((t - data.truth) ** 2).mean(0)) for k, t in
            (("eb", found.theta()), ("oracle", oracle.mean), ("wide", wide.theta()))}  # fmt: skip
    assert np.all(rmse["eb"] < 1.15 * rmse["oracle"])
    assert rmse["wide"][2] > 5 * rmse["oracle"][2]
    assert abs((found.theta() - data.truth)[:, 2].mean()) < 0.2 + 2 * 0.13  # the scan itself leaves 0.13 open
    assert found.extra["converged"]
    # ranks of the truth under the true prior are uniform, and intervals cover
    for p in range(3):
        assert kstest(oracle.rank[:, p], "uniform").pvalue > 1e-3
        for low, high, level in ((0, 6, 0.95), (1, 5, 0.8), (2, 4, 0.5)):
            inside = (oracle.quantiles[:, p, low] < data.truth[:, p]) & (data.truth[:, p] < oracle.quantiles[:, p, high])
            assert abs(inside.mean() - level) < 4 * np.sqrt(level * (1 - level) / 4000)


def test_labels_give_each_tissue_its_own_prior():
    data = draw_two_tissues(3000, snr=100.0, seed=4)
    found = get_estimator("eb")(
        AxrModel(), PROTOCOL, data.signals, noise_sd=0.01, s0="known", labels=data.tissue, max_components=1
    )
    error = (found.theta() - data.truth)[:, 2]
    assert set(found.extra["priors"]) == {0, 1}
    for tissue in (0, 1):
        assert abs(error[data.tissue == tissue].mean()) < 0.3  # one scan of 1,500 voxels leaves 0.07 open


def test_same_bytes_whatever_the_threads_and_no_other_voxel_matters_to_a_given_prior():
    data = draw_two_tissues(700, snr=50.0)
    eb, prior = get_estimator("eb"), a_mixture()
    one = eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, max_components=1)
    two = eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, max_components=1, threads=2)
    np.testing.assert_array_equal(one.theta(), two.theta())
    np.testing.assert_array_equal(one.extra["quantiles"], two.extra["quantiles"])
    given = {"noise_sd": 0.02, "prior": prior, "grid": one.extra["grid"]}
    all_of_them = eb(AxrModel(), PROTOCOL, data.signals, **given).theta()
    np.testing.assert_array_equal(eb(AxrModel(), PROTOCOL, data.signals[5:9], **given).theta(), all_of_them[5:9])
    scaled = eb(AxrModel(), PROTOCOL, 1000 * data.signals, **{**given, "noise_sd": 20.0})
    np.testing.assert_allclose(scaled.theta(), all_of_them, rtol=1e-9)


@pytest.mark.slow
def test_posterior_of_a_region_holds_the_mean_of_its_voxels():
    rng, z = np.random.default_rng(8), []
    model = AxrModel()
    truth, tissue = TWO_TISSUES.draw(5000, rng)
    signals = add_noise(model.shape(truth, PROTOCOL), 0.02, rng)
    scan = prepare_scan(model, PROTOCOL, signals, 0.02, "per-series")
    grid = scan.dictionary()
    for t in (0, 1):
        for rows in np.array_split(np.flatnonzero(tissue == t), 10):
            found = region_posterior(model, PROTOCOL, scan.problem(grid, rows), signals[rows])
            z.append((found.mean - truth[rows].mean(axis=0)) / found.sd)
            low, high = found.interval()
            assert np.all((model.bounds[:, 0] < low) & (low < found.mean) & (found.mean < high) & (high < model.bounds[:, 1]))
            assert 0.2 < found.sd[2] < 0.8  # about the Cramer-Rao bound 6 / sqrt(250), not the 0.04 of a prior taken as known
    spread = np.square(z).sum(axis=0)
    assert np.all((chi2.ppf(1e-4, 20) < spread) & (spread < chi2.isf(1e-4, 20)))


def test_noise_is_estimated_and_odd_voxels_are_named():
    data = draw_two_tissues(1500, snr=50.0, seed=2)
    signals = data.signals.copy()
    signals[7, 1::2] = 1.4  # brighter with b than without
    signals[8, 3] = np.nan
    signals[9, 5] = 0.01
    found = get_estimator("eb")(AxrModel(), PROTOCOL, signals, max_components=1)
    assert found.noise_sd[0] == pytest.approx(0.02, rel=0.1)
    assert found.extra["odd"][7]
    assert found.extra["odd"].sum() <= 3
    assert found.flag[8] == Flag.NON_FINITE
    assert found.flag[9] == Flag.LOW_SNR
    assert np.isnan(found.theta()[8]).all()
    assert any("misfit" in note for note in found.notes)


def test_compartment_models_and_grids():
    model = get_model("2cm")
    rng = np.random.default_rng(0)
    theta = np.stack([rng.uniform(0.02, 0.08, 300), rng.uniform(0.7e-9, 0.9e-9, 300), rng.uniform(1, 4, 300)], 1)
    signals = add_noise(model.shape(theta, PROTOCOL), 0.01, rng)
    mask = np.ones((10, 30), bool)
    mask[0, 0] = False
    found = fit(signals.reshape(10, 30, 8), PROTOCOL, mask, model=model, estimator="eb", noise_sd=0.01)
    assert found.map("k_per_s").shape == (10, 30)
    assert np.isnan(found.map("k_per_s")[0, 0])
    error = found.theta()[1:] - theta[1:]
    assert np.sqrt(np.square(error).mean(0))[0] < 0.02
    assert found.extra["quantiles"].shape == (300, 3, 7)


def test_refusals_say_what_to_do():
    data, eb = draw_two_tissues(300, snr=50.0), get_estimator("eb")
    with pytest.raises(UsageError, match="scan, uniform"):
        eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, prior="narrow")
    with pytest.raises(InputError, match="not > 0"):
        eb(AxrModel(), PROTOCOL, data.signals, noise_sd=-1.0)
    with pytest.raises(InputError, match="labels"):
        eb(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, labels=[1, 2])
    with pytest.raises(InputError, match="least squares"):
        eb(AxrModel(), PROTOCOL, data.signals, noise_sd=1e-5)
    with pytest.raises(InputError, match="no usable voxel"):
        eb(AxrModel(), PROTOCOL, np.full((4, 8), np.nan), noise_sd=0.02)


def test_the_search_ends_at_a_summit_and_not_on_a_slope():
    """A climb judged by damped steps once stopped 7 units of ln evidence below the maximum and called it converged."""
    data = draw_two_tissues(2500, snr=50.0, seed=2)
    scan = prepare_scan(AxrModel(), PROTOCOL, data.signals, 0.02, "known")
    problem = scan.problem(scan.dictionary(), scan.rows)
    found = climb(problem, first_guess(AxrModel(), PROTOCOL, data.signals, scan.s0, n_components=1))
    assert found.converged
    evidence = GridEvidence(problem)
    value, state = evidence.value(found.prior)
    slope = evidence.slope(found.prior, state)
    matrix = curvature(found.prior, slope, evidence.information(found.prior, state))
    slope = slope + penalty_slope(found.prior)[0]
    for size in (0.3, 1.0):  # nothing is left along the direction in which most is promised
        trial = move(found.prior, size * np.linalg.solve(matrix, slope))
        assert evidence.value(trial)[0] + penalty(trial) - value - penalty(found.prior) < 0.1
    # a background that no voxel asks for: 2 / (n w) of its weight, not the 16 e-folds of the empirical Fisher matrix
    assert np.sqrt(np.linalg.inv(matrix)[0, 0]) < 2


def test_the_predictive_prior_is_the_average_and_not_narrower():
    data = draw_two_tissues(1500, snr=50.0, seed=1)
    found = get_estimator("eb")(AxrModel(), PROTOCOL, data.signals, noise_sd=0.02, s0="known", max_components=1)
    best, wide = found.extra["prior"], found.extra["predictive"]
    rng = np.random.default_rng(0)
    u, v = (to_u(p.draw(40_000, rng), best.bounds) for p in (best, wide))
    assert np.all(np.diff(np.quantile(v, [0.05, 0.95], axis=0), axis=0) > np.diff(np.quantile(u, [0.05, 0.95], axis=0), axis=0))
    assert wide.weight.sum() == pytest.approx(1)
    few = reduced(wide, best)
    assert few.n_components == 3
    points = to_u(wide.draw(20_000, rng), best.bounds)
    assert np.mean(wide.log_density(points) - few.log_density(points)) < 0.01  # Kullback-Leibler divergence
