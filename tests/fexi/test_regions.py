"""The posterior of a region: draws of priors follow their density, sums over atoms are those of the kernels, moments are kept."""

import numpy as np
import pytest
from scipy.stats import chi2

from krogh.errors import InputError
from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.learned.coordinates import prior_at
from krogh.fexi.learned.graded import graded
from krogh.fexi.learned.hyperposterior import Draws, draw_priors
from krogh.fexi.learned.hyperprior import WIDTH_SD, WIDTH_SPREAD, move
from krogh.fexi.learned.posterior import Problem, posterior
from krogh.fexi.learned.prior import MixturePrior, to_theta, uniform_prior
from krogh.fexi.learned.region_sums import RegionSums
from krogh.fexi.learned.regions import RegionPosterior, region_posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset

MODEL, PROTOCOL = AxrModel(), preset("human-bbb")
NARROW = AxrModel(bounds={"adc_m2_s": (0.3e-9, 1.5e-9), "sigma": (0.0, 0.6)})
BOUNDS = np.array([[0.0, 1.0]] * 3)


def a_mixture() -> MixturePrior:
    root = np.tril(0.1 * np.random.default_rng(0).standard_normal((1, 3, 3))) + 0.3 * np.eye(3)
    return MixturePrior(BOUNDS, np.array([0.3, 0.7]), np.array([[0.2, -0.1, 0.3]]), root @ root.transpose(0, 2, 1))


def a_problem(n: int, *, known: bool = False) -> Problem:
    data = draw_two_tissues(n, snr=50.0)
    scan = prepare_scan(MODEL, PROTOCOL, data.signals, 0.02, "known" if known else "per-series")
    return scan.problem(scan.dictionary(), np.arange(n))


def test_draws_without_any_voxel_follow_the_hyperprior():
    """Medians by the arcsine law, log-normal widths, correlations ~ det R (variance 1/6 for three), weights Beta(2, 2)."""
    top = MixturePrior(BOUNDS, np.array([0.5, 0.5]), np.zeros((1, 3)), 0.3**2 * np.eye(3)[None])
    found = draw_priors(top, np.diag([1.0, 0.1, 0.1, 0.1, *[3.0] * 3, *[5.0] * 3]), lambda p: np.zeros(len(p)),
                        per_round=1024, worth=1000)  # fmt: skip
    assert found.worth >= 1000
    sd = np.sqrt([np.diag(p.cov[0]) for p in found.priors])
    r = np.array([p.cov[0][np.tril_indices(3, -1)] for p in found.priors]) / (sd[:, [1, 2, 2]] * sd[:, [0, 0, 1]])
    x = np.array([to_theta(p.mean[0], BOUNDS) for p in found.priors])
    w, share = np.array([p.weight[1] for p in found.priors]), found.share
    for value, mean, variance in ((np.log(sd).T, np.log(WIDTH_SD), WIDTH_SPREAD**2), (r.T, 0, 1 / 6), (x.T, 0.5, 1 / 8),
                                  (w[None], 0.5, 0.05)):  # fmt: skip
        error = np.sqrt(variance / found.worth)
        assert np.all(np.abs(value @ share - mean) < 5 * error)
        assert np.square(value - mean) @ share == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("known", [False, True])
def test_sums_over_atoms_are_those_of_the_kernels(known):
    problem, bounds = a_problem(40, known=known), MODEL.bounds
    grid = problem.grid
    priors = [MixturePrior(bounds, g.weight, g.mean, g.cov) for g in (a_mixture(), move(a_mixture(), np.full(11, 0.2)))]
    mass = grid.gaussians(priors) + grid.background()[:, None] * [g.weight[0] for g in priors]
    parts = [np.exp(g.log_parts(grid.u) + grid.log_volume[:, None]) for g in priors]
    expected = np.transpose([(p / p.sum(axis=0)) @ g.weight for p, g in zip(parts, priors, strict=True)])
    np.testing.assert_allclose(mass, expected, rtol=1e-6, atol=1e-12)
    exact = np.array([problem.expected_masses(np.log(w))[0] for w in expected.T])
    np.testing.assert_allclose(np.diff(RegionSums(problem, 1).log_evidence(priors)), np.diff(exact), atol=1e-4)


def test_regions_next_to_bounds_hold_their_mean_where_their_prior_is_known():
    """On cells made for the signal alone narrow Gaussians next to bounds lost their mass, and errors were 2.7 SD."""
    rng, n, z = np.random.default_rng(6), 12, []
    priors = prior_at(rng.standard_normal((80, 10)), NARROW.bounds)
    truth = np.stack([g.draw(n, rng) for g in priors])
    signals = add_noise(NARROW.shape(truth.reshape(-1, 3), PROTOCOL), 0.02, rng)
    scan = prepare_scan(NARROW, PROTOCOL, signals, 0.02, "per-series")
    grid = scan.dictionary()
    for i, g in enumerate(priors):
        rows = np.arange(n * i, n * (i + 1))
        found = region_posterior(NARROW, PROTOCOL, scan.problem(grid, rows), signals[rows], prior=g)
        z.append((found.mean - truth[i].mean(axis=0)) / found.sd)
    spread = np.square(z).sum(axis=0)
    assert np.all((chi2.ppf(1e-3, 80) < spread) & (spread < chi2.isf(1e-3, 80)))


def test_cells_for_many_draws_serve_each_of_them():
    """Beside the sums on cells made for each draw alone; in the middle of the bounds (next to them they differ by up to 2 SD)."""
    rng = np.random.default_rng(7)
    middle = MixturePrior(NARROW.bounds, np.array([0.3, 0.7]), np.array([[0.0, -0.4, -1.0]]), 0.35**2 * np.eye(3)[None])
    signals = add_noise(NARROW.shape(middle.draw(40, rng), PROTOCOL), 0.02, rng)
    scan = prepare_scan(NARROW, PROTOCOL, signals, 0.02, "per-series")
    problem = scan.problem(scan.dictionary(), np.arange(40))
    priors = [move(middle, np.r_[0, 0.25 * rng.standard_normal(10)]) for _ in range(24)]
    alone = [RegionSums(problem.on(graded(problem.grid, [g])), 1) for g in priors]
    together = RegionSums(problem.on(graded(problem.grid, priors)), 1)
    expected = np.array([s.log_evidence([g])[0] for s, g in zip(alone, priors, strict=True)])
    np.testing.assert_allclose(together.log_evidence(priors), expected, atol=0.1)
    means, sds = together.moments(Draws(priors, np.full(24, 1 / 24), 24.0))
    exact = np.concatenate([s.moments(Draws([g], np.ones(1), 1.0))[0] for s, g in zip(alone, priors, strict=True)])
    assert np.abs((means - exact) / sds).max() < 0.05


def test_quantiles_of_a_mixture_of_betas():
    rng = np.random.default_rng(2)
    share, means = np.array([0.2, 0.8]), np.array([[0.1], [0.4]])
    found = RegionPosterior(9, share, means, np.array([[0.05], [0.1]]), np.array([[0.0, 1.0]]), a_mixture(), True, 2.0)
    count = means * (1 - means) / found.sds**2 - 1
    part = rng.choice(2, 400_000, p=share)
    drawn = rng.beta((means * count)[part, 0], ((1 - means) * count)[part, 0])
    assert found.mean[0] == pytest.approx(drawn.mean(), abs=1e-3)
    assert found.sd[0] == pytest.approx(drawn.std(), rel=0.01)
    low, high = found.interval()
    assert [low[0], high[0]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=2e-3)
    assert found.cdf(low)[0] == pytest.approx(0.025, abs=1e-6)


def test_resampled_draws_keep_their_shares():
    found = Draws([a_mixture()] * 4, np.array([0.5, 0.25, 0.25, 0.0]), 3.0).resample(8)
    np.testing.assert_allclose(found.share, [0.5, 0.25, 0.25])


def test_two_voxels_have_a_region_and_threads_change_nothing():
    data = draw_two_tissues(2, snr=50.0)
    scan = prepare_scan(MODEL, PROTOCOL, data.signals, 0.02, "per-series")
    problem = scan.problem(scan.dictionary(), np.arange(2))
    found = region_posterior(MODEL, PROTOCOL, problem, data.signals)
    low, high = found.interval()
    assert np.all((MODEL.bounds[:, 0] < low) & (low < found.mean) & (found.mean < high) & (high < MODEL.bounds[:, 1]))
    assert high[2] - low[2] > 5.0  # two voxels at SNR 50 do not hold an exchange rate
    np.testing.assert_array_equal(region_posterior(MODEL, PROTOCOL, problem, data.signals, threads=2).means, found.means)


def test_a_region_under_the_background_alone():
    data = draw_two_tissues(20, snr=50.0)
    scan = prepare_scan(MODEL, PROTOCOL, data.signals, 0.02, "per-series")
    problem = scan.problem(scan.dictionary(), np.arange(20))
    found = region_posterior(MODEL, PROTOCOL, problem, data.signals, prior=uniform_prior(MODEL.bounds))
    each = posterior(problem, uniform_prior(MODEL.bounds))
    np.testing.assert_allclose(found.mean, each.mean.mean(axis=0), rtol=0.01)  # but for the flat S0
    np.testing.assert_allclose(found.sd, np.sqrt(np.square(each.sd).sum(axis=0)) / 20, rtol=0.01)


def test_a_prior_that_no_voxel_could_be_of_is_refused():
    problem = a_problem(5)
    far = MixturePrior(MODEL.bounds, np.array([0.0, 1.0]), np.array([[20.0, -20.0, 0.0]]), 0.01 * np.eye(3)[None])
    with pytest.raises(InputError, match="any tissue"):
        region_posterior(MODEL, PROTOCOL, problem, np.ones((5, PROTOCOL.n_volumes)), prior=far)
