"""Steps end at the times that are asked for, at no cost in accuracy and without restarting the step size."""

import numpy as np
from bench.pinn_cases import case

from krogh.transport.problem import solve


def test_states_at_stops_need_no_interpolation_and_few_steps_more():
    problem, stops = case("A", cells=24), np.linspace(3.0, 57.0, 10)
    free = solve(problem, rtol=1e-4)
    stopped = solve(problem, rtol=1e-4, stops_s=stops)
    exact = solve(problem, rtol=1e-9, stops_s=stops)
    assert set(stops) <= set(stopped.t_s)
    assert stopped.march.stats.steps <= free.march.stats.steps + 3 * stops.size
    a, b = (s.medium("layer 0", s.sample(stops)) for s in (stopped, exact))
    np.testing.assert_allclose(a, b, rtol=2e-5)
    np.testing.assert_allclose(stopped.auc, exact.auc, rtol=1e-4, atol=1e-12)
