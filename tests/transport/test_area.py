"""The area under the curve is right: doses are met from both sides, and the tolerance holds for it."""

from dataclasses import replace

import numpy as np
import pytest

from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.barrier.model import Membrane
from krogh.barrier.physiology import get_physiology
from krogh.barrier.routes import Efflux, Passive
from krogh.barrier.state import BarrierState
from krogh.blood.curve import CurveBlood
from krogh.blood.dose import parse_dose
from krogh.blood.pk import dose_terms, stack
from krogh.compounds import get_compound
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.steppers import STEPPERS

from ._cases import operator_of, steady, three_layers


def _interstitium(operator, values):
    nodes = operator.graph.media["interstitium"]
    weight = operator.graph.capacity[0, 0, nodes]
    return float(values[0, 0, nodes] @ weight / weight.sum())


@pytest.fixture(scope="module")
def repeated_bolus():
    physiology, state = get_physiology("human"), BarrierState(efflux_activity={"all": 0.0})
    compound = get_compound("caffeine")
    barrier = assemble([[prepare(compound, physiology, state)]])
    operator = Operator(path_graph(barrier, layered_mesh(barrier.layers, 40)))
    return operator, stack([[dose_terms(compound, parse_dose("10 mg iv every 6 h x 4"), "human")]])


@pytest.mark.parametrize("method", ["esdirk43", "tr-bdf2"])
def test_the_area_does_not_hang_on_the_tolerance(repeated_bolus, method):
    operator, blood = repeated_bolus
    rough, fine = (integrate(operator, blood, 86400.0, method=method, rtol=r) for r in (1e-4, 1e-6))
    assert _interstitium(operator, rough.auc) == pytest.approx(
        _interstitium(operator, fine.auc), rel=2e-4 if method == "esdirk43" else 1e-3
    )


def test_the_whole_area_is_the_steady_ratio_times_that_of_plasma(repeated_bolus):
    # linear: areas over all time obey the steady equations
    operator, blood = repeated_bolus
    end = 40 * 86400.0
    run = integrate(operator, blood, end, rtol=1e-6)
    ratio = _interstitium(operator, steady(operator, np.ones((1, 1))))
    plasma = float(blood.fu[0, 0] * blood.auc_total(end)[0, 0])
    assert _interstitium(operator, run.auc) == pytest.approx(ratio * plasma, rel=1e-5)


class _Blind:
    """A source that does not know its left limits, as a hasty author would write it."""

    def __init__(self, blood):
        self.blood = blood

    def free(self, t_s, *, left=False):
        return self.blood.free(t_s)

    def events(self, t_end_s):
        return self.blood.events(t_end_s)


def test_a_missing_left_limit_would_be_seen(repeated_bolus):
    operator, blood = repeated_bolus
    fine = _interstitium(operator, integrate(operator, blood, 86400.0, rtol=1e-6).auc)
    right, wrong = (
        _interstitium(operator, integrate(operator, b, 86400.0, method="esdirk43", step_s=900.0).auc)
        for b in (blood, _Blind(blood))
    )
    assert abs(wrong / fine - 1) > 30 * abs(right / fine - 1)


def test_doses_are_hit_exactly_and_kinks_of_a_curve_too(repeated_bolus):
    operator, blood = repeated_bolus
    run = integrate(operator, blood, 86400.0)
    assert {0.0, 21600.0, 43200.0, 64800.0, 86400.0} <= set(run.t_s)
    curve = CurveBlood(np.array([0.0, 13.0, 70.0]), np.array([0.0, 2.0, 0.3]), np.ones((1, 1)))
    linear = operator_of(three_layers(), 24)
    run = integrate(linear, curve, 100.0, rtol=1e-5)
    assert 13.0 in run.t_s
    assert 70.0 in run.t_s
    fine = integrate(linear, curve, 100.0, rtol=1e-8)
    assert _interstitium(linear, run.auc) == pytest.approx(_interstitium(linear, fine.auc), rel=1e-4)


class _TwoPhases:
    """A bolus that is distributed in minutes and cleared in hours, given again after eight hours."""

    def free(self, t_s, *, left=False):
        given = [0.0, *([28800.0] if (t_s > 28800.0 if left else t_s >= 28800.0) else [])]
        return np.array([[sum(3 * np.exp(-(t_s - d) / 1300) + np.exp(-(t_s - d) / 15600) for d in given)]])

    def events(self, t_end_s):
        return np.array([28800.0])


@pytest.mark.parametrize("method", ["esdirk43", "tr-bdf2"])
@pytest.mark.parametrize("permeability", [5e-8, 5e-9], ids=["open", "pumped out"])
def test_the_tolerance_bounds_the_area_too(method, permeability):
    """Where a pump keeps the brain at a thousandth of the blood, the states alone would leave 3e-3 of it at 1e-3 (tr-bdf2)."""
    pump = Efflux(4e-6, 0.5, name="P-gp")
    plain = three_layers()
    luminal = Membrane("luminal", 0, (Passive(permeability), *((pump,) if permeability < 1e-8 else ())))
    operator = operator_of(replace(plain, membranes=(luminal, *plain.membranes[1:])), 24)
    want = _interstitium(operator, integrate(operator, _TwoPhases(), 86400.0, rtol=1e-7).auc)
    for rtol in (1e-2, 1e-3):
        got = _interstitium(operator, integrate(operator, _TwoPhases(), 86400.0, rtol=rtol, method=method).auc)
        assert abs(got / want - 1) <= 0.3 * rtol


def test_weights_beyond_those_of_a_method_integrate_polynomials_through_its_stages():
    for table in STEPPERS.values():
        whole = table.b + table.beyond
        for power in range(table.c.size):
            assert whole @ table.c**power == pytest.approx(1 / (power + 1), rel=1e-12)


class _Rising:
    """Blood that rises as the square of time; near zero the sum of its terms is round-off."""

    def free(self, t_s, *, left=False):
        return np.array([[np.exp(-t_s / 60) - 2 * np.exp(-t_s * (1 / 60 + 0.5)) + np.exp(-t_s * (1 / 60 + 1.0))]])

    def events(self, t_end_s):
        return np.array([])


def test_blood_that_rises_from_round_off_does_not_stop_the_march():
    linear = operator_of(three_layers(), 24)
    run = integrate(linear, _Rising(), 60.0, rtol=1e-7)
    fine = integrate(linear, _Rising(), 60.0, rtol=1e-9)
    assert _interstitium(linear, run.auc) == pytest.approx(_interstitium(linear, fine.auc), rel=1e-6)
    assert run.stats.steps < 2000
