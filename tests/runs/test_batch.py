"""Many compounds at once: the same numbers as one by one, in the order given, with mass kept."""

import numpy as np
import pytest

from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.barrier.physiology import get_physiology
from krogh.barrier.state import BarrierState
from krogh.blood.dose import parse_dose
from krogh.blood.pk import dose_terms, stack
from krogh.compounds import get_compound
from krogh.errors import InputError
from krogh.runs.batch import simulate_batch
from krogh.transport.problem import Problem, solve

NAMES = ("morphine", "caffeine", "mannitol", "verapamil", "diazepam", "levodopa")
T_END, CELLS = 4 * 3600.0, 40


@pytest.fixture(scope="module")
def members():
    return [prepare(get_compound(name), get_physiology("human"), BarrierState()) for name in NAMES]


@pytest.fixture(scope="module")
def blood():
    dose = parse_dose("100 mg oral every 2 h x 2")
    return stack([[dose_terms(get_compound("caffeine"), dose, "human")] for _ in NAMES])


def _one(member, blood, row):
    alone = type(blood)(*(getattr(blood, f)[[row]] for f in ("start_s", "rate_per_s", "coefficient", "fu")))
    return solve(Problem(assemble([[member]]), alone, T_END, cells=CELLS))


def test_chunks_of_one_are_the_single_run(members, blood):
    times = np.linspace(0, T_END, 31)
    batch = simulate_batch(members, blood, T_END, times_s=times, cells=CELLS, chunk=1)
    assert batch.names == NAMES
    for row, member in enumerate(members):
        single = _one(member, blood, row)
        nodes = single.operator.graph.media["neuron"]
        weight = single.operator.graph.capacity[0, 0, nodes]
        expected = (single.sample(times)[:, 0, 0, nodes] * weight).sum(-1) / weight.sum()
        scale = np.abs(expected).max()
        # between the steps one interpolates means, the other cells; the area below is by the stepper's weights
        np.testing.assert_allclose(batch.media["neuron"][row], expected, rtol=0, atol=2e-3 * scale)
        area = (single.march.auc[0, 0, nodes] * weight).sum() / weight.sum()
        assert batch.auc["neuron"][row] == pytest.approx(area, rel=1e-9)


def test_chunks_change_the_numbers_within_the_tolerance_only(members, blood):
    apart = simulate_batch(members, blood, T_END, cells=CELLS, chunk=1)
    together = simulate_batch(members, blood, T_END, cells=CELLS, chunk=8)
    np.testing.assert_allclose(together.kp_uu, apart.kp_uu, rtol=1e-5)
    assert together.mass_defect.max() <= 1e-12
    assert together.steps.size < apart.steps.size == len(NAMES)


def test_processes_change_nothing(members, blood):
    one = simulate_batch(members, blood, T_END, cells=CELLS, chunk=2)
    seen = []
    two = simulate_batch(members, blood, T_END, cells=CELLS, chunk=2, processes=2, progress=seen.append)
    for name in one.media:
        np.testing.assert_array_equal(one.media[name], two.media[name])
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_bad_batches_are_refused(members, blood):
    with pytest.raises(InputError, match="one curve per compound"):
        simulate_batch(members[:2], blood, T_END)
    with pytest.raises(InputError, match="one curve per compound"):
        simulate_batch([], blood, T_END)
    with pytest.raises(InputError, match="chunk"):
        simulate_batch(members, blood, T_END, chunk=0)
