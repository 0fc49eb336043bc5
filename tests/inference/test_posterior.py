"""The posterior on a surrogate is that of the model; where to sample next; a question without bounds has no posterior."""

import dataclasses

import numpy as np
import pytest
from tests.inference._cases import decay, decay_target, observations

from krogh.errors import ConvergenceError
from krogh.inference.design import next_times
from krogh.inference.fit import fit
from krogh.inference.posterior import sample
from krogh.inference.profile import profile
from krogh.inference.surrogate import build_surrogate

pytest.importorskip("emcee", reason="the sampler is the extra 'infer'")
T = np.linspace(0.2, 3.0, 12)


@pytest.fixture(scope="module")
def found():
    m = decay(T)(np.array([[2.0, 0.8]]))[0]
    empty = observations(T, m, cv=0.15)
    target = decay_target(empty.with_values(empty.draw(m, np.random.default_rng(1))))
    best = fit(target, np.zeros(2))
    return target, best, profile(target, best)


def test_samples_have_the_moments_of_the_exact_posterior(found):
    target, best, lines = found
    p = sample(target, best, lines)
    # the exact one on a grid
    axes = [np.linspace(x - 6 * s, x + 6 * s, 161) for x, s in zip(best.x, best.sd, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    mass = np.exp(best.value - target.value(grid))
    mass /= mass.sum()
    mean = mass @ grid
    sd = np.sqrt(mass @ (grid - mean) ** 2)
    error = 4 / np.sqrt(min(p.effective, len(p.x)))
    np.testing.assert_array_less(np.abs(p.x.mean(0) - mean) / sd, error)
    np.testing.assert_allclose(p.x.std(0), sd, rtol=error)
    assert p.r_hat < 1.02
    assert p.surrogate_error < 1e-2
    low, middle, high = p.interval()
    assert np.all((low < middle) & (middle < high))


def test_the_same_seed_gives_the_same_samples(found):
    a, b = (sample(*found, seed=7).x for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_a_surrogate_of_higher_degree_is_better_and_ends_at_its_reach(found):
    target, best, _ = found
    near = best.x + 2.0 * best.sd * np.random.default_rng(0).uniform(-1, 1, (40, 2))
    exact = target.predict(np.exp(near))
    worst = []
    for degree in (2, 4, 6):
        s = build_surrogate(target, best, degree)
        inside = s.inside(near) <= 1
        worst.append(np.abs(s.predict(near[inside]) - exact[inside]).max())
    assert worst[0] > 10 * worst[1] > 100 * worst[2]
    assert s.log_posterior(best.x[None] + 50)[0] == -np.inf


def test_no_posterior_without_bounds(found):
    target, best, lines = found
    open_ = [dataclasses.replace(lines[0], high=np.inf), lines[1]]
    with pytest.raises(ConvergenceError, match="no bound on a"):
        sample(target, best, open_)


class Decay:
    """A predictor without sensitivities of its own."""

    exact = False

    def __init__(self, data):
        self.model = decay(data.t_s)

    def __call__(self, theta):
        return self.model(theta)


def test_the_next_time_of_a_decay_is_where_theory_puts_it(monkeypatch):
    # a exp(-k t) with constant error: the optimal pair is t = 0 and t = 1/k (Box and Lucas 1959)
    early = observations([0.0, 0.0, 0.0], [2.0, 2.0, 2.0], sd=0.1)
    target = dataclasses.replace(decay_target(early), precision=np.diag([0.0, 1e-2]))
    monkeypatch.setattr("krogh.inference.design.predictor", lambda experiments, parameters, data: Decay(data))
    wide = dataclasses.replace(target, data=dataclasses.replace(early, t_s=np.array([0.0, 0.0, 4.0])))
    x = np.log([2.0, 0.8])
    at = target.look(x[None])
    best = dataclasses.replace(
        fit(decay_target(observations(T, decay(T)(np.exp(x)[None])[0], sd=0.1)), x),
        x=x, covariance=np.linalg.inv(at.information[0]),
    )  # fmt: skip
    first = next_times({}, (), wide, best, count=2)
    assert first[0].t_s == pytest.approx(1 / 0.8, abs=0.13)  # the grid of candidates
    assert first[0].gain > first[1].gain
    assert first[1].sd[1] < first[0].sd[1]
