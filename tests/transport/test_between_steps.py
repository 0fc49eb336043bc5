"""Values between the steps are as right as the steps: at a peak, and on either side of a dose."""

from dataclasses import replace

import numpy as np
from bench.pinn_cases import case, decaying

from krogh.transport.march import hermite
from krogh.transport.problem import solve


def test_a_peak_between_two_steps_is_not_cut_off():
    problem, times = case("A", cells=24), np.linspace(3.0, 60.0, 200)
    found, exact = solve(problem, rtol=1e-4), solve(problem, rtol=1e-9, stops_s=times)
    a, b = (s.medium("layer 0", s.sample(times)) for s in (found, exact))
    assert a.max() > found.medium("layer 0", np.array(found.march.u)).max() * 1.001  # it does lie between two of them
    np.testing.assert_allclose(a, b, rtol=1e-4)


def test_slopes_differ_before_and_after_a_dose():
    dose = 40.0
    problem = replace(case("A", cells=24), blood=decaying(starts=(0.0, dose)))
    times = dose + np.array([-3.0, -1.5, -0.3, 0.3, 1.5, 3.0])
    found, exact = solve(problem, rtol=1e-4), solve(problem, rtol=1e-9, stops_s=times)
    k = found.march.t_s.index(dose)
    assert np.any(found.march.slope[k] != found.march.slope_before[k])
    a, b = (s.medium("layer 0", s.sample(times)) for s in (found, exact))
    np.testing.assert_allclose(a, b, rtol=2e-4)


def test_a_kink_is_not_taken_for_a_peak():
    t, u = np.array([0.0, 1.0]), np.array([[1.0], [1.1]])
    steep, none = np.array([[100.0], [-0.1]]), np.zeros((2, 1))  # a slope that belongs to the first moments only
    between = hermite(t, u, steep, steep, np.array([0.3]))
    np.testing.assert_allclose(between, [[1.03]])
    np.testing.assert_allclose(hermite(t, u, np.array([[1.0], [0.0]]), np.array([[0.0], [-0.8]]), np.array([0.5])), [[1.275]])
    assert hermite(t, u, none, none, np.array([0.5])) == 1.05
