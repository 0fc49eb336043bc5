"""The certificate on a few of the random problems of ``bench/pinn_certificate.py``, and what once hid errors from it."""

import numpy as np
import pytest
from bench.pinn_cases import case, decaying, slab
from bench.pinn_certificate import MISS, trial

from krogh import pinn
from krogh.pinn.certificate import held
from krogh.transport.problem import Problem


# a dose soon after another, a steep decline behind an enzyme, the end of a run, four layers, a front at the closed far side
@pytest.mark.parametrize("number", [22, 53, 77, 9, 176])
def test_random_problems_are_solved_within_their_certificate(number):
    found = trial(number, 1e-3)
    assert found.error < MISS
    assert found.certificate <= 1e-3


def test_a_time_beyond_the_end_by_round_off_is_the_end():
    found = pinn.solve(case("A", t_end_s=7.0), tol=1e-2)
    end = found.windows[-1].window.clock.b_s
    assert found.at(0, 1e-6, np.nextafter(end, 8.0)) == pytest.approx(found.at(0, 1e-6, end))
    assert found.at(0, 1e-6, end) > 0


def test_errors_are_weighed_by_what_a_saturated_pump_lets_back_not_by_what_an_empty_one_would():
    problem = Problem(slab([20.0], [500.0], [0.02], [1.0], vmax=5e-6, km=0.01), decaying(), 5.0)
    window = pinn.solve(problem, strict=False).windows[-1].window
    t = window.clock.at(np.linspace(0, 1, 20))
    found = held(window.slab, 0, window.sides_at(t), window.blood_at(t))[0]
    sides = window.sides_at(t).u_near[0, 0]
    # the slope of P u + Vmax u / (Km + u)
    assert found == pytest.approx((1e-6 + 5e-6 * 0.01 / (0.01 + sides) ** 2).min(), rel=1e-6)
    assert found < 0.9 * window.slab.permeability(0, 0)


def test_a_second_dose_does_not_need_ever_shorter_windows():
    problem = Problem(slab([25.0], [3.0], [0.01], [1.7], vmax=1e-7, km=0.08), decaying(0.01, (0.0, 33.0)), 60.0)
    found = pinn.solve(problem)
    assert found.converged
    assert len(found.windows) < 15
