"""Points that walk down side by side: each finds its own minimum, whoever else walks."""

import dataclasses

import numpy as np
import pytest
from tests.inference._cases import decay_target, observations, saturable_target

from krogh.inference.descend import descend
from krogh.inference.fit import fit
from krogh.inference.profile import profile
from krogh.inference.target import Target, flat_prior
from krogh.inference.walkers import Walkers

T = np.linspace(0.2, 3.0, 12)
FIRST = np.array([True, False])


@pytest.fixture
def target():
    return decay_target(observations(T, 2.0 * np.exp(-0.8 * T) + 0.05 * np.cos(9 * T), sd=0.05))


def test_a_place_is_taken_again_while_the_others_walk_on(target):
    walkers = Walkers(target, 2, tol=1e-10, most=60)
    walkers.send(0, np.array([[0.5, -0.3]]), FIRST)
    walkers.send(1, np.array([[3.0, 3.0]]))
    arrived, asked = {}, [0.6, 0.7, 0.8]
    while walkers.walking.any():
        for place in walkers.step():
            x = walkers.at.x[place]
            arrived[float(x[0]) if place == 0 else "free"] = x.copy()
            if place == 0 and asked:
                walkers.send(0, np.array([[asked.pop(0), x[1]]]), FIRST)
    starts = np.array([[a, -0.3] for a in (0.5, 0.6, 0.7, 0.8)])
    alone = descend(target, starts, held=np.tile(FIRST, (4, 1)), tol=1e-10).at.x
    for x in alone:
        np.testing.assert_allclose(arrived[float(x[0])], x, atol=1e-6)
    np.testing.assert_allclose(arrived["free"], descend(target, np.zeros((1, 2)), tol=1e-10).at.x[0], atol=1e-6)


def test_a_rival_that_is_lower_is_the_start(target):
    best = fit(target, np.zeros(2)).x
    walkers = Walkers(target, 1, tol=1e-8, most=60)
    walkers.send(0, np.array([[6.0, 6.0], best, [-3.0, 0.0]]))
    assert not walkers.step().size
    assert walkers.step().tolist() == [0]
    np.testing.assert_allclose(walkers.at.x[0], best, atol=1e-4)


def test_far_from_the_level_that_decides_a_walker_stops_early_and_says_how_much_is_missing(target):
    held, start = np.array([True, False]), np.array([[1.6, -0.2]])
    fine = descend(target, start, held=held[None], tol=1e-8)
    walkers = Walkers(target, 1, tol=1e-8, most=60, level=fit(target, np.zeros(2)).value)
    walkers.send(0, start, held)
    while walkers.walking.any():
        walkers.step()
    assert walkers.converged[0]
    assert walkers.used[0] < fine.iterations[0]
    rise = 2 * (fine.at.value[0] - walkers.level)
    assert 2 * (walkers.at.value[0] - walkers.level) - walkers.decrease[0] == pytest.approx(rise, rel=0.1)


@pytest.mark.parametrize("exact", [False, True])
def test_a_look_beside_a_glance_is_what_each_is_alone(exact):
    target, truth = saturable_target(0.3, np.random.default_rng(0))
    if exact:
        target = dataclasses.replace(target, slopes=target.differences)
    x, others = truth + np.array([[0.1, 0.2], [-0.3, 0.1]]), truth + np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    point, values = target.look_and_glance(x, others)
    alone = target.look(x)
    np.testing.assert_allclose(values, target.value(others), rtol=1e-12)
    for field in dataclasses.fields(point):
        np.testing.assert_allclose(getattr(point, field.name), getattr(alone, field.name), rtol=1e-9)


def test_a_deviance_that_levels_off_just_below_its_limit_leaves_the_end_open():
    # the root is 1.93 tanh(x): near 1.96, but never there
    data = observations(np.zeros(1), np.zeros(1), sd=1.0, lloq=0.0)
    target = Target(("a",), lambda theta: 1.93 * np.tanh(np.log(theta)), data, np.full(1, -7.0), np.full(1, 7.0), *flat_prior(1))
    (line,) = profile(target, fit(target, np.full(1, 0.3)))
    assert (line.low, line.high) == (-np.inf, np.inf)
