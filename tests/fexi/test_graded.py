"""A graded dictionary: its sums are the integrals under a prior, however narrow, wherever it lies; the plain one's are not."""

import numpy as np
import pytest

from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.learned.graded import graded
from krogh.fexi.learned.posterior import Problem, posterior
from krogh.fexi.learned.prior import MixturePrior, to_theta, uniform_prior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset

PROTOCOL = preset("human-bbb")
NARROW = AxrModel(bounds={"adc_m2_s": (0.3e-9, 1.5e-9), "sigma": (0.0, 0.6)})
#: Medians within the bounds, SDs on the logit scale and one correlation, of all pairs.
PLACES = [
    ([0.5, 0.4, 0.3], [0.4, 0.35, 0.35], 0.3), ([0.3, 0.5, 0.2], [0.1, 0.12, 0.15], 0.0), ([0.02, 0.01, 0.004], [0.3] * 3, 0.2),
    ([0.97, 0.9, 0.99], [0.25] * 3, 0.0), ([0.5, 0.03, 0.5], [1.0, 0.2, 1.5], -0.3),
]  # fmt: skip


def a_prior(median: list[float], sd: list[float], r: float) -> MixturePrior:
    cov = (np.full((3, 3), r) + (1 - r) * np.eye(3)) * np.outer(sd, sd)
    x = np.array(median)
    return MixturePrior(NARROW.bounds, np.array([1e-12, 1.0]), np.log(x / (1 - x))[None], cov[None])


def a_problem(prior: MixturePrior) -> Problem:
    rng = np.random.default_rng(3)
    theta = np.concatenate([prior.draw(12, rng), uniform_prior(NARROW.bounds).draw(300, rng)])
    signals = add_noise(NARROW.shape(theta, PROTOCOL), 0.02, rng)
    scan = prepare_scan(NARROW, PROTOCOL, signals, 0.02, "per-series")
    return scan.problem(scan.dictionary(), np.arange(12))


def exact(problem: Problem, prior: MixturePrior) -> tuple[np.ndarray, np.ndarray]:
    """Return means and SDs [voxel, param] by the sum over a lattice on which the prior itself is even in all directions."""
    line = np.linspace(-6, 6, 49)
    z = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    theta = to_theta(prior.mean[0] + z @ np.linalg.cholesky(prior.cov[0]).T, prior.bounds)
    grid = problem.grid
    shape = NARROW.shape(theta, PROTOCOL)[:, grid.order]
    value = -0.5 * np.square(z).sum(axis=1) * np.ones((problem.n_voxels, 1))
    for s in range(grid.pointer.size - 1):
        g = slice(grid.pointer[s], grid.pointer[s + 1])
        e, zs = shape[:, g], problem.z[:, g]
        left = 1 - (g.stop - g.start) / (2 * np.square(zs).sum(axis=1))
        along = (zs @ e.T) ** 2 / np.square(e).sum(axis=1)
        value += -0.5 * left[:, None] * (np.square(zs).sum(axis=1)[:, None] - along)
        value += 0.25 * (g.stop - g.start) * np.log(np.square(e).sum(axis=1)) - 0.5 * np.log(e).sum(axis=1)
    w = np.exp(value - value.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    mean = w @ theta
    return mean, np.sqrt(np.maximum(w @ theta**2 - mean**2, 0))


@pytest.mark.parametrize("place", PLACES)
def test_sums_are_the_integrals(place):
    prior = a_prior(*place)
    problem = a_problem(prior)
    mean, sd = exact(problem, prior)
    found = posterior(problem.on(graded(problem.grid, [prior])), prior)
    assert np.abs((found.mean - mean) / sd).max() < 0.08
    np.testing.assert_allclose(found.sd, sd, rtol=0.08)


def test_the_dictionary_for_the_noise_alone_is_too_coarse_there():
    errors = []
    for place in PLACES[1:4]:
        prior = a_prior(*place)
        problem = a_problem(prior)
        mean, sd = exact(problem, prior)
        errors.append(np.abs((posterior(problem, prior).mean - mean) / sd).max())
    assert min(errors) > 0.15


def test_many_narrow_gaussians_are_capped_and_none_changes_nothing():
    data = draw_two_tissues(300, snr=50.0)
    grid = prepare_scan(AxrModel(), PROTOCOL, data.signals, 0.02, "per-series").dictionary()
    assert graded(grid, [uniform_prior(AxrModel().bounds)]) is grid
    u = np.random.default_rng(0).uniform(-4, 4, (40, 3))
    needles = MixturePrior(AxrModel().bounds, np.full(41, 1 / 41), u, np.tile(0.02**2 * np.eye(3), (40, 1, 1)))
    found = graded(grid, [needles])
    assert 20_000 < found.n_atoms <= 60_000
    for old, new in zip(grid.edges, found.edges, strict=True):
        assert np.all(np.diff(new) > 0)
        assert (new[0], new[-1]) == (old[0], old[-1])
