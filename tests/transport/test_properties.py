"""Properties that hold for any barrier and any dose (drawn by hypothesis, the same ones every time)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.blood.pk import Terms, stack
from krogh.errors import InputError
from krogh.transport.integrate import integrate
from krogh.transport.problem import Problem, solve

from ._cases import operator_of, steady

PROFILE = settings(deadline=None, max_examples=30, derandomize=True)


def _power(low, high):
    return st.floats(low, high).map(lambda x: 10.0**x)


@st.composite
def layers(draw, count):
    return tuple(
        Layer(f"layer {i}", draw(_power(-7, -4.5)), draw(_power(-12, -9)), draw(_power(-1, 1)), draw(_power(-6, -2)))
        for i in range(count)
    )


@st.composite
def barriers(draw, linear=False):
    count = draw(st.integers(1, 3))
    sheets = draw(layers(count))
    membranes = []
    for i in range(count):
        routes = [Passive(draw(_power(-9, -5)), 1.0, draw(st.floats(0.3, 1.5)))]
        if not linear and draw(st.booleans()):
            routes.append(Efflux(draw(_power(-10, -6)), draw(_power(-3, 1))))
        if not linear and draw(st.booleans()):
            routes.append(
                Carrier(
                    draw(_power(-10, -6)), np.full((1, 1, 1), draw(_power(-3, 1))), draw(st.floats(0, 3)), draw(st.floats(0, 3))
                )
            )
        membranes.append(Membrane(f"membrane {i}", i, tuple(routes)))
    if not linear and draw(st.booleans()):
        sheets = (
            replace(sheets[0], reactions=(MichaelisMenten(draw(_power(-3, 0)), draw(_power(-2, 1)), (None,)),)),
            *sheets[1:],
        )
    bypasses = (Bypass(Paracellular(draw(_power(-11, -7))), count - 1),) if draw(st.booleans()) else ()
    cells = (
        (CellCompartment("neuron", count - 1, draw(_power(-1, 1)), draw(_power(-4, 0)), draw(st.floats(0.3, 3))),)
        if draw(st.booleans())
        else ()
    )
    return Barrier(("drug",), sheets, tuple(membranes), bypasses, cells)


@st.composite
def doses(draw):
    """Return blood: a few bolus doses of one or two exponentials, or a constant."""
    height, count = draw(_power(-6, 1)), draw(st.integers(1, 3))
    rates = draw(st.lists(_power(-5, -1), min_size=1, max_size=2))
    start = np.repeat(np.arange(count) * draw(st.floats(5.0, 60.0)), len(rates))
    return stack([[Terms(start, np.tile(rates, count), np.full(start.size, height), draw(st.floats(0.05, 1.0)))]])


def _scaled(blood, factor):
    return replace(blood, coefficient=factor * blood.coefficient)


def _run(barrier, blood, t_end=120.0, **choice):
    operator = operator_of(barrier, 8 * len(barrier.layers))
    return operator, integrate(operator, blood, t_end, **choice)


def _held(operator, u):
    return float((operator.graph.capacity * u).sum())


@PROFILE
@given(barriers(), doses())
def test_mass_is_kept_and_nothing_is_negative(barrier, blood):
    _, run = _run(barrier, blood)
    assert run.worst_defect <= 1e-12
    assert run.most_negative >= -1e-14


@PROFILE
@given(barriers(), doses())
def test_the_whole_run_keeps_mass(barrier, blood):
    assert solve(Problem(barrier, blood, 300.0, cells=8 * len(barrier.layers))).mass_defect <= 1e-10


@PROFILE
@given(barriers(linear=True), doses(), _power(-3, 3))
def test_a_linear_barrier_is_linear_in_the_dose(barrier, blood, factor):
    choice = {"method": "esdirk43", "step_s": 3.0}
    _, once = _run(barrier, blood, **choice)
    _, scaled = _run(barrier, _scaled(blood, factor), **choice)
    # up to what was returned from undershoots, which the tolerance allows
    np.testing.assert_allclose(
        scaled.final, factor * once.final, rtol=1e-8, atol=1e-10 * factor * float(np.abs(once.final).max())
    )


@PROFILE
@given(barriers(), doses())
def test_more_drug_in_blood_never_leaves_less_in_brain(barrier, blood):
    choice = {"method": "backward-euler", "step_s": 4.0}
    _, once = _run(barrier, blood, **choice)
    _, twice = _run(barrier, _scaled(blood, 2.0), **choice)
    assert np.all(twice.final >= once.final * (1 - 1e-9))


@PROFILE
@given(barriers(linear=True), doses())
def test_a_pump_that_is_off_is_no_pump(barrier, blood):
    first = barrier.membranes[0]
    off = replace(
        barrier, membranes=(replace(first, routes=(*first.routes, Efflux(1e-7, 0.1, activity=0.0))), *barrier.membranes[1:])
    )
    choice = {"method": "esdirk43", "step_s": 4.0}
    np.testing.assert_allclose(
        _run(off, blood, **choice)[1].final, _run(barrier, blood, **choice)[1].final, rtol=1e-9, atol=1e-300
    )


@PROFILE
@given(barriers(linear=True), doses(), _power(-10, -6))
def test_a_pump_lowers_what_is_in_brain(barrier, blood, strength):
    first = barrier.membranes[0]
    pumped = replace(barrier, membranes=(replace(first, routes=(*first.routes, Efflux(strength, 0.1))), *barrier.membranes[1:]))
    choice = {"method": "backward-euler", "step_s": 4.0}
    with_pump, without = _run(pumped, blood, **choice), _run(barrier, blood, **choice)
    assert np.all(with_pump[1].final <= without[1].final * (1 + 1e-9))


@PROFILE
@given(layers(2), _power(-9, -5), st.floats(1.1, 100.0), doses())
def test_higher_permeability_never_lowers_the_early_uptake(sheets, p, factor, blood):
    held = []
    for value in (p, p * factor):
        barrier = Barrier(("drug",), sheets, (Membrane("wall", 0, (Passive(value),)),))
        operator, run = _run(
            barrier, replace(blood, start_s=np.zeros_like(blood.start_s), rate_per_s=np.zeros_like(blood.rate_per_s)), 2.0
        )
        held.append(_held(operator, run.final))
    assert held[1] >= held[0] * (1 - 1e-6)


@PROFILE
@given(barriers(linear=True), doses(), st.integers(2, 6))
def test_cutting_a_layer_in_two_changes_nothing(barrier, blood, part):
    # the same cells, whether their layer has one name or two
    whole = replace(barrier, cells=(), bypasses=())
    last = whole.layers[-1]
    cut = replace(
        whole,
        layers=(
            *whole.layers[:-1],
            *(replace(last, name=x, thickness_m=last.thickness_m * s) for x, s in (("one", part / 8), ("two", 1 - part / 8))),
        ),
    )
    counts = [8] * len(whole.layers)
    choice = {"method": "esdirk43", "step_s": 5.0}
    a = integrate(operator_of(whole, counts, ratio=1.0), blood, 60.0, **choice)
    b = integrate(operator_of(cut, [*counts[:-1], part, 8 - part], ratio=1.0), blood, 60.0, **choice)
    np.testing.assert_allclose(b.final, a.final, rtol=1e-8, atol=1e-10 * float(a.final.max()))


@PROFILE
@given(barriers(), _power(-5, 1), st.floats(0.0, 3.0))
def test_the_steady_state_does_not_depend_on_the_start(barrier, height, start):
    assume(all(layer.loss_per_s > 1e-5 for layer in barrier.layers))
    operator = operator_of(barrier, 8 * len(barrier.layers))
    blood = np.full((1, 1), height)
    from_empty, from_full = steady(operator, blood), steady(operator, blood, guess=start * height)
    np.testing.assert_allclose(from_full, from_empty, rtol=1e-7)
    assert from_empty.min() >= 0


@PROFILE
@given(barriers(linear=True), _power(-6, 1))
def test_a_barrier_that_traps_nothing_never_exceeds_its_blood(barrier, height):
    plain = tuple(replace(m, routes=(Passive(m.routes[0].permeability_m_s),)) for m in barrier.membranes)
    barrier = replace(barrier, membranes=plain, cells=tuple(replace(c, trapping=1.0) for c in barrier.cells))
    _, run = _run(
        barrier, stack([[Terms(np.zeros(1), np.zeros(1), np.array([height]), 1.0)]]), 1e4, method="backward-euler", step_s=500.0
    )
    assert float(run.final.max()) <= height * (1 + 1e-12)


_BAD = st.sampled_from([float("nan"), float("inf"), -1.0, -1e-30, 0.0])


@PROFILE
@given(layers(2), st.sampled_from(["thickness_m", "diffusivity_m2_s", "capacity"]), _BAD, st.integers(0, 1))
def test_bad_layers_are_always_refused(sheets, field, bad, place):
    sheets = tuple(replace(x, **{field: bad}) if i == place else x for i, x in enumerate(sheets))
    with pytest.raises(InputError):
        Barrier(("drug",), sheets)


@PROFILE
@given(
    layers(1),
    st.sampled_from([float("nan"), float("inf"), -1.0, -1e-30]),
    st.sampled_from(["passive", "efflux", "km", "carrier"]),
)
def test_bad_kinetics_are_always_refused(sheets, bad, place):
    routes = {
        "passive": Passive(bad),
        "efflux": Efflux(bad, 1.0),
        "km": Efflux(1e-8, bad if bad != float("inf") else 0.0),
        "carrier": Carrier(bad, np.ones((1, 1, 1))),
    }
    with pytest.raises(InputError):
        Barrier(("drug",), sheets, (Membrane("wall", 0, (routes[place],)),))
