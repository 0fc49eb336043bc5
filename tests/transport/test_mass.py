"""Mass comes and goes only by the ledger, and no concentration is negative."""

import numpy as np
import pytest

from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.physiology import get_physiology
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.barrier.state import BarrierState
from krogh.blood.dose import parse_dose
from krogh.blood.pk import constant_terms, dose_terms, stack
from krogh.compounds import get_compound
from krogh.runs.config import build_config
from krogh.runs.simulate import capillary_of, plan
from krogh.transport.integrate import integrate
from krogh.transport.problem import Problem, solve

from ._cases import ConstantBlood, SmoothBlood, operator_of, saturable

DAY_S = 86400.0
PER_STEP, PER_RUN = 1e-13, 1e-13


def _day(name, **settings):
    config = build_config({"compounds": [name], "cells": 80, "duration": "24 h", **settings})
    return solve(plan(config)[0].problem)


@pytest.mark.parametrize(
    ("name", "dose"),
    [
        ("caffeine", "100 mg oral every 8 h x 3"),
        ("morphine", "10 mg iv every 6 h x 4"),
        ("mannitol", "50 g infusion over 30 min"),
        ("dopamine", "21 mg infusion over 1 h"),
        ("levodopa", "100 mg oral every 6 h x 4"),  # a group of two: dopamine is formed
    ],
)
def test_mass_is_kept_over_a_day_in_the_slab(name, dose):
    solution = _day(name, dose=dose)
    assert solution.march.worst_defect <= PER_STEP
    assert solution.mass_defect <= PER_RUN
    assert solution.march.most_negative >= -1e-14


@pytest.mark.parametrize("name", ["morphine", "mannitol"])
def test_mass_is_kept_over_a_day_in_the_cylinder(name):
    physiology, state = get_physiology("human"), BarrierState()
    compound = get_compound(name)
    dose = parse_dose("10 mg iv every 8 h x 3")
    blood = stack([[dose_terms(compound, dose, "human")]])
    barrier = assemble([[prepare(compound, physiology, state)]], radial=True)
    problem = Problem(
        barrier, blood, DAY_S, capillary=capillary_of(physiology, state), fu_plasma=blood.fu, cells=32, cells_along=8
    )
    solution = solve(problem)
    assert solution.march.worst_defect <= PER_STEP
    assert solution.mass_defect <= PER_RUN
    assert solution.march.most_negative >= -1e-14


@pytest.mark.parametrize("method", ["esdirk43", "tr-bdf2", "crank-nicolson", "backward-euler"])
def test_every_method_keeps_mass(method):
    step = None if method in ("esdirk43", "tr-bdf2") else 0.5
    operator = operator_of(saturable(), 24)
    run = integrate(operator, SmoothBlood(height=0.7), 40.0, method=method, step_s=step)
    assert run.worst_defect <= PER_STEP


def test_the_explicit_method_keeps_mass():
    operator = operator_of(saturable(), [4, 4, 8], ratio=1.0)
    run = integrate(operator, SmoothBlood(tau_s=1e-3), 1e-3, method="explicit")
    signs = np.array([sign for _, sign in operator.ledger_names])
    stored = (operator.graph.capacity * (run.final - run.u[0])).sum(-1)
    assert abs(float(stored[0, 0] - run.ledger[-1][0, 0] @ signs)) <= PER_RUN * float(stored[0, 0])


def test_what_round_off_leaves_at_a_face_goes_to_a_cell():
    operator = operator_of(saturable(), 24)
    u = np.abs(np.random.default_rng(1).normal(size=operator.graph.shape))
    blood = np.array([[0.4]])
    f = operator.cell_rate(u, blood)
    assert np.all(f[operator.graph.capacity == 0] == 0)
    assert f.sum() == pytest.approx(operator.rate(u, blood).sum(), rel=1e-12)


def _random_barrier(rng):
    count = int(rng.integers(1, 5))
    layers, membranes, cells = [], [], []
    for i in range(count):
        layers.append(
            Layer(
                f"layer {i}",
                10 ** rng.uniform(-7.5, -4.5),
                10 ** rng.uniform(-12, -9),
                10 ** rng.uniform(-1.5, 1.5),
                10 ** rng.uniform(-6, -2),
            )
        )
        if i == 0 or rng.random() < 0.6:
            routes = [Passive(10 ** rng.uniform(-10, -5), 1.0, rng.uniform(0.2, 1.5))]
            if rng.random() < 0.5:
                routes.append(Efflux(10 ** rng.uniform(-10, -6), 10 ** rng.uniform(-3, 1)))
            if rng.random() < 0.5:
                routes.append(
                    Carrier(
                        10 ** rng.uniform(-10, -6),
                        np.full((1, 1, 1), 10 ** rng.uniform(-3, 1)),
                        rng.uniform(0, 3),
                        rng.uniform(0, 3),
                    )
                )
            membranes.append(Membrane(f"membrane {i}", i, tuple(routes)))
    if rng.random() < 0.5:
        cells.append(
            CellCompartment("neuron", count - 1, 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-4, 1), 10 ** rng.uniform(-0.5, 0.5))
        )
    return Barrier(("drug",), tuple(layers), tuple(membranes), cells=tuple(cells))


def test_the_default_method_is_never_negative():
    rng = np.random.default_rng(20)
    for _ in range(40):
        barrier = _random_barrier(rng)
        operator = operator_of(barrier, 8 * len(barrier.layers))
        rtol = 10 ** rng.uniform(-5, -2)
        height = 10 ** rng.uniform(-6, 1)
        blood = stack([[constant_terms(height)]]) if rng.random() < 0.5 else SmoothBlood(10 ** rng.uniform(0, 3), 1, height)
        run = integrate(operator, blood, 10 ** rng.uniform(0, 5), rtol=rtol)
        assert run.most_negative >= -1e-14
        assert run.worst_defect <= PER_STEP


def test_backward_euler_is_never_negative():
    rng = np.random.default_rng(21)
    for _ in range(60):
        barrier = _random_barrier(rng)
        operator = operator_of(barrier, 6 * len(barrier.layers))
        t_end = 10 ** rng.uniform(-2, 5)
        run = integrate(
            operator,
            ConstantBlood(height=10 ** rng.uniform(-6, 1)),
            t_end,
            method="backward-euler",
            step_s=t_end / rng.integers(1, 12),
        )
        assert min(float(u.min()) for u in run.u) >= -1e-14 * max(float(u.max()) for u in run.u)
        assert run.stats.repaired == 0
