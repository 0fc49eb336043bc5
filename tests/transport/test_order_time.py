"""Every stepper has its own order in time, and its table satisfies the conditions for it."""

import numpy as np
import pytest

from krogh.transport.integrate import integrate
from krogh.transport.steppers import STEPPERS
from krogh.transport.steppers.stability import stability_limit_s

from ._cases import SmoothBlood, operator_of, saturable, slopes


def _conditions(a, b, order):
    """Return the residuals of the Runge-Kutta order conditions up to `order` <= 4."""
    c = a.sum(1)
    found = {1: [b.sum() - 1], 2: [b @ c - 1 / 2], 3: [b @ c**2 - 1 / 3, b @ a @ c - 1 / 6]}
    found[4] = [b @ c**3 - 1 / 4, b @ (c * (a @ c)) - 1 / 8, b @ a @ c**2 - 1 / 12, b @ a @ a @ c - 1 / 24]
    return np.concatenate([found[k] for k in range(1, order + 1)])


@pytest.mark.parametrize("table", STEPPERS.values(), ids=STEPPERS)
def test_tables_satisfy_their_order_conditions(table):
    np.testing.assert_allclose(_conditions(table.a, table.b, table.order), 0, atol=1e-13)
    if table.order < 4:  # and no higher order by accident: the name says what it is
        assert np.abs(_conditions(table.a, table.b, table.order + 1)).max() > 1e-3
    if table.b_error is not None:
        np.testing.assert_allclose(_conditions(table.a, table.b_error, table.error_order), 0, atol=1e-13)
        assert np.abs(table.b - table.b_error).max() > 1e-3


@pytest.mark.parametrize("table", STEPPERS.values(), ids=STEPPERS)
def test_tables_have_the_shape_the_driver_relies_on(table):
    a = table.a
    assert np.all(a[0] == 0)
    np.testing.assert_array_equal(a, np.tril(a))
    np.testing.assert_allclose(np.diag(a)[1:], table.gamma, rtol=1e-15)
    assert table.c[-1] == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("table", STEPPERS.values(), ids=STEPPERS)
def test_stability_far_to_the_left(table):
    def growth(z):
        return 1 + z * table.b @ np.linalg.solve(np.eye(len(table.b)) - z * table.a, np.ones(len(table.b)))

    assert abs(growth(-1e-3) - np.exp(-1e-3)) < 1e-6
    assert max(abs(growth(-(10.0**k))) for k in np.linspace(-2, 6, 100)) <= 1 + 1e-9
    far = abs(growth(-1e8))
    assert far == pytest.approx(1.0, abs=1e-6) if table.name == "crank-nicolson" else far < 1e-6


_ORDERS = {"esdirk43": 4, "tr-bdf2": 2, "crank-nicolson": 2, "backward-euler": 1}


@pytest.fixture(scope="module")
def smooth_run():
    """Return an operator, a blood curve, a duration and the end state by very small steps."""
    operator = operator_of(saturable(), [4, 4, 6], ratio=2.0)
    blood, t = SmoothBlood(tau_s=8.0, power=4, height=0.02), 40.0
    return operator, blood, t, integrate(operator, blood, t, method="esdirk43", step_s=t / 1024).final


@pytest.mark.parametrize("method", _ORDERS)
def test_observed_order_in_time(method, smooth_run):
    operator, blood, t, reference = smooth_run
    cells = operator.graph.capacity > 0
    counts = {"esdirk43": (32, 64, 128), "backward-euler": (256, 512, 1024)}.get(method, (128, 256, 512))
    errors = []
    for n in counts:
        run = integrate(operator, blood, t, method=method, step_s=t / n)
        assert run.stats.steps == n
        errors.append(np.abs(run.final - reference)[cells].max() / np.abs(reference).max())
    assert slopes(errors)[-2:] == pytest.approx([_ORDERS[method]] * 2, abs=0.1)


def test_observed_order_in_time_of_the_explicit_method():
    operator = operator_of(saturable(), [4, 4, 4], ratio=1.0)
    limit = stability_limit_s(operator)
    t = 400 * limit
    blood = SmoothBlood(tau_s=t / 4, power=2)
    reference = integrate(operator, blood, t, method="esdirk43", step_s=t / 400).final
    errors = [
        np.abs(integrate(operator, blood, t, method="explicit", step_s=t / n).final - reference).max() for n in (400, 800, 1600)
    ]
    assert slopes(errors) == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize("method", ["esdirk43", "tr-bdf2"])
def test_a_tighter_tolerance_gives_a_smaller_error(method):
    operator = operator_of(saturable(), [4, 4, 6], ratio=2.0)
    blood, t = SmoothBlood(tau_s=8.0), 60.0
    reference = integrate(operator, blood, t, rtol=1e-8).auc
    cells = operator.graph.capacity > 0
    errors = [
        np.abs(integrate(operator, blood, t, method=method, rtol=r).auc / reference - 1)[cells].max() for r in (1e-3, 1e-4, 1e-5)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    # the error of the area is of the order of the tolerance
    assert np.all(np.array(errors) <= 5 * np.array([1e-3, 1e-4, 1e-5]))


@pytest.mark.parametrize("name", sorted(STEPPERS))
def test_stages_start_where_a_parabola_through_those_before_leads(name):
    table = STEPPERS[name]
    for i in range(1, table.c.size):
        weights = np.array(table.ahead[i])
        known = table.c[max(0, i - 3) : i]
        for power in range(weights.size):
            assert weights @ known**power == pytest.approx(table.c[i] ** power, abs=1e-13)
