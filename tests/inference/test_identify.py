"""What the data hold and what not: against profiles by brute force, over random draws, and at what cost."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom, chi2
from tests.inference._cases import saturable_target

from krogh.inference.descend import descend
from krogh.inference.fit import covariance, fit
from krogh.inference.identify import LARGEST_SD_HELD, identify
from krogh.inference.profile import profile

_LIMIT = chi2.ppf(0.95, 1)


def judge(target, start):
    found = fit(target, start)
    return found, identify(target, found, profile(target, found))


def open_by_brute_force(target, found, k):
    """Tell whether the profile of `k` stays below its limit up to where either parameter meets the reach of the search."""
    ends = []
    for end in (target.low[k], target.high[k]):
        grid = np.linspace(found.x[k], end, 40)[1:]
        starts = np.tile(found.x, (grid.size, 1))
        starts[:, 1 - k] += grid - found.x[k] if end > found.x[k] else 0.0  # along the valley where there is one
        starts[:, k] = grid
        at = descend(target, starts, held=np.tile(np.arange(2) == k, (grid.size, 1)), most=100).at
        pushed = np.array([target.leaning(x, g)[1 - k] for x, g in zip(at.x, at.gradient, strict=True)])
        beyond = (2 * (at.value - found.value) > _LIMIT) & ~pushed
        ends.append(not beyond.any())
    return any(ends)


def test_the_verdict_is_that_of_a_profile_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(40):
        target, truth = saturable_target(10 ** rng.uniform(-1.5, 2.5), rng)
        found, judged = judge(target, truth + rng.normal(0, 0.7, 2))
        for k in range(2):
            held = found.sd[k] <= LARGEST_SD_HELD and not open_by_brute_force(target, found, k)
            assert judged.held[k] == held, (truth, found.x, target.names[k])


@pytest.mark.parametrize(("km", "refused"), [((0.1, 0.4), False), ((30.0, 300.0), True)], ids=["held", "not held"])
def test_few_questions_are_refused_falsely_and_few_are_missed(km, refused):
    rng, wrong, draws = np.random.default_rng(1), 0, 50
    covered = []
    for _ in range(draws):
        target, truth = saturable_target(np.exp(rng.uniform(*np.log(km))), rng)
        sd = np.sqrt(np.diag(covariance(target.look(truth[None]).information[0])))
        assert np.all(sd > 4) if refused else np.all(sd < 0.5)  # that is what the design can tell
        judged = judge(target, truth + rng.normal(0, 0.7, 2))[1]
        wrong += bool(judged.held.all()) == refused
        covered += [c.low <= np.exp(truth[0] - truth[1]) <= c.high for c in judged.combinations if c.name == "Vmax/Km"]
    assert wrong <= binom.ppf(0.999, draws, 0.05)  # that of two-sided 95 % intervals
    if refused:
        assert len(covered) == draws - wrong  # each refusal says what is held
        assert sum(covered) >= binom.ppf(0.001, draws - wrong, 0.95)


def rows_asked(km, draws=12):
    """Return how many rows the model is asked for by a fit with all verdicts: the mean of some draws."""
    rng, asked = np.random.default_rng(2), []
    for _ in range(draws):
        target, truth = saturable_target(km, rng)

        def counted(theta, predict=target.predict):
            asked.append(len(theta))
            return predict(theta)

        judge(dataclasses.replace(target, predict=counted), truth + rng.normal(0, 0.7, 2))
    return sum(asked) / draws


def test_a_question_that_is_refused_costs_about_as_much_as_one_that_is_answered():
    assert rows_asked(50.0) < 2.0 * rows_asked(0.2)


def test_each_valley_has_its_own_combination():
    # a b and c/d are seen, in two decays
    rng = np.random.default_rng(3)
    first, truth = saturable_target(0.2, rng)

    def predict(theta):
        return first.predict(np.column_stack([theta[:, 0] * theta[:, 1], theta[:, 2] / theta[:, 3]]))

    target = dataclasses.replace(
        first, names=("a", "b", "c", "d"), predict=predict, low=np.full(4, -7.0), high=np.full(4, 7.0), center=np.zeros(4),
        precision=np.zeros((4, 4)),
    )  # fmt: skip
    judged = judge(target, np.array([truth[0], 0.0, truth[1], 0.0]))[1]
    assert not judged.held.any()
    assert sorted(c.name for c in judged.combinations) == ["b*a", "d/c"]
    exact = profile(first, fit(first, truth))
    for c in judged.combinations:
        p = exact[0] if c.name == "b*a" else exact[1]
        ends = np.log([c.low, c.high]) if c.name == "b*a" else -np.log([c.high, c.low])
        np.testing.assert_allclose(ends, [p.low, p.high], atol=0.02 * (p.high - p.low))
