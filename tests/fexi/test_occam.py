"""The marginal likelihood of a mixture: the hyperprior is a density, and Laplace's formula gives a known integral."""

import numpy as np
import pytest
from scipy.stats import dirichlet, logistic, norm

from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.learned import start
from krogh.fexi.learned.hyperprior import WIDTH_SD, WIDTH_SPREAD, move
from krogh.fexi.learned.occam import _log_correlations, hyperprior_density, log_marginal
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.learned.scan_prior import learn_size
from krogh.fexi.models.axr import AxrModel

BOUNDS = np.array([[0.0, 1.0]] * 3)


def a_mixture() -> MixturePrior:
    root = np.tril(0.1 * np.random.default_rng(0).standard_normal((1, 3, 3))) + 0.3 * np.eye(3)
    return MixturePrior(BOUNDS, np.array([0.3, 0.7]), np.array([[0.2, -0.1, 0.3]]), root @ root.transpose(0, 2, 1))


def test_the_integral_over_correlation_matrices():
    r = np.random.default_rng(1).uniform(-1, 1, (200_000, 3))
    det = 1 + 2 * r.prod(axis=1) - np.square(r).sum(axis=1)  # of [[1, a, b], [a, 1, c], [b, c, 1]]
    inside = np.where(det > 0, det, 0.0)  # within the cube, a positive determinant is a correlation matrix
    assert 8 * inside.mean() == pytest.approx(np.exp(_log_correlations(3)), abs=5 * 8 * inside.std() / np.sqrt(r.shape[0]))
    assert np.exp(_log_correlations(2)) == pytest.approx(4 / 3)  # integral of 1 - r^2


def test_the_hyperprior_is_the_density_of_its_parts():
    """Dirichlet weights, logistic means, log-normal widths, correlations ~ det R: their densities, moved to local coordinates."""
    here, low = a_mixture(), np.tril_indices(3, -1)

    def numbers(prior: MixturePrior) -> np.ndarray:
        sd = np.sqrt(np.diag(prior.cov[0]))
        ratio = np.log(prior.weight[1] / prior.weight[0])
        return np.r_[ratio, prior.mean[0], np.log(sd), (prior.cov[0] / np.outer(sd, sd))[low]]

    jacobian = [(numbers(move(here, 1e-5 * e)) - numbers(move(here, -1e-5 * e))) / 2e-5 for e in np.eye(11)[1:]]
    at, w = numbers(here), here.weight
    value = dirichlet.logpdf(w, [2.0, 2.0]) + np.log(w).sum() + logistic.logpdf(at[1:4]).sum()
    value += norm.logpdf(at[4:7], np.log(WIDTH_SD), WIDTH_SPREAD).sum()
    a, b, c = at[7:]
    value += np.log(1 + 2 * a * b * c - a * a - b * b - c * c) - _log_correlations(3)
    assert hyperprior_density(here) == pytest.approx(value + np.linalg.slogdet(np.array(jacobian))[1], abs=1e-6)


def test_voxels_of_a_prior_are_counted_by_the_work_they_make():
    assert learn_size(5000, 10**6) == 5000
    assert learn_size(10**6, 10_000) == 100_000
    assert learn_size(10**6, 20_000) == 60_000
    assert learn_size(10**6, 400_000) == 10_000


def test_laplace_gives_the_integral_of_a_gaussian_evidence():
    """An evidence that is Gaussian and narrow in the mean and says nothing of the rest: what it costs to be narrower."""

    class Narrow:
        def __init__(self, sd: float) -> None:
            self.sd = sd

        def value(self, prior):
            return 0.0, None

        def slope(self, prior, state):
            return np.zeros(11)

        def information(self, prior, state):
            matrix = np.zeros((11, 11))
            matrix[2:5, 2:5] = (np.linalg.cholesky(prior.cov[0]).T @ np.linalg.cholesky(prior.cov[0])) / self.sd**2
            return matrix

    here = a_mixture()
    one, two = log_marginal(Narrow(1e-3), here), log_marginal(Narrow(1e-4), here)
    assert one - two == pytest.approx(3 * np.log(10), rel=1e-3)  # ten times narrower in three means
    assert log_marginal(Narrow(1.0), MixturePrior(BOUNDS, np.ones(1), np.empty((0, 3)), np.empty((0, 3, 3)))) == 0.0


def test_a_search_in_stages_ends_where_one_search_does(monkeypatch):
    data = draw_two_tissues(600, snr=50.0)
    scan = prepare_scan(AxrModel(), data.protocol, data.signals, 0.02, "per-series")
    problem, found = scan.problem(scan.dictionary(), scan.rows), []
    for stages in ((100, 250), (10_000,)):
        monkeypatch.setattr(start, "_STAGES", stages)
        found.append(start.learn_prior(AxrModel(), data.protocol, problem, scan.signals, max_components=1))
    staged, whole = found
    assert staged.converged
    assert staged.prior.n_components == whole.prior.n_components > 0
    assert staged.history[-1] == pytest.approx(whole.history[-1], abs=0.2)
