"""Trained networks: exact derivatives, the model problems, doses and enzymes, and a failure that is called one."""

import numpy as np
import pytest
import torch
from bench.pinn_cases import case, decaying, slab
from bench.pinn_certificate import _with_enzyme
from bench.pinn_reference import errors

from krogh import pinn
from krogh.errors import ConvergenceError, UsageError
from krogh.pinn.basis import Depth
from krogh.pinn.deep import Deep, Tangent
from krogh.pinn.gauss_newton import squares, stepped
from krogh.pinn.methods import trained
from krogh.transport.problem import Problem
from krogh.transport.problem import solve as finite_volumes


@pytest.mark.parametrize(("layers", "others", "gate"), [((5,), (), False), ((5, 4), (Depth(1e-5, 2e-6),), True)])
def test_derivatives_by_place_time_and_every_hidden_weight_are_those_of_differences(layers, others, gate):
    rng = np.random.default_rng(0)
    net = Deep.draw(layers, (2.0, 2.0), rng, Depth(1e-5, 5e-7), others, from_start=gate)
    xi, tau, beta, h = rng.uniform(-1, 1, 7), rng.uniform(-1, 1, 7), rng.standard_normal(layers[-1]), 1e-6
    value, by_xi, by_tau = net(xi, tau)
    assert net.value(xi, tau) == pytest.approx(value)
    assert by_xi == pytest.approx((net.value(xi + h, tau) - net.value(xi - h, tau)) / (2 * h), abs=1e-8)
    assert by_tau == pytest.approx((net.value(xi, tau + h) - net.value(xi, tau - h)) / (2 * h), abs=1e-8)
    tangents = Tangent(net, beta)(xi, tau)
    for k in range(net.hidden):
        step = h * np.eye(net.hidden)[k]
        for a, b, tangent in zip(net.moved(step)(xi, tau), net.moved(-step)(xi, tau), tangents, strict=True):
            assert tangent[:, net.count + k] == pytest.approx((a - b) @ beta / (2 * h), abs=1e-7)


def test_nothing_is_there_at_the_start_whatever_the_weights():
    net = Deep.draw((6, 6), (2.0, 2.0), np.random.default_rng(1), Depth(1e-5, None), from_start=True)
    assert np.all(net.value(np.linspace(-1, 1, 9), np.full(9, -1.0)) == 0)


def test_planes_stay_as_flat_as_points_can_see():
    net = Deep.draw((6,), (2.0, 2.0), np.random.default_rng(1), Depth(1e-5, None))
    assert np.abs(net.moved(np.full(net.hidden, 100.0)).weights[0][0]).max() <= 6.0


@pytest.mark.parametrize("name", ["A", "H"])
def test_one_layer_is_within_5e5_of_spectral_elements(name):
    found = pinn.solve(case(name), method="trained", tol=3e-4)
    miss = errors(name, found.at)
    assert miss["lin"] <= 5e-5
    assert miss["log"] <= 1e-4
    assert found.mass_defect < 1e-5


def test_an_enzyme_in_the_volume_and_a_second_dose_agree_with_finite_volumes():
    barrier = _with_enzyme(slab([20.0], [100.0], [0.01], [1.0]), 0, 0.3, 0.2)
    problem = Problem(barrier, decaying(starts=(0.0, 30.0)), 60.0, cells=160)
    found, volumes = pinn.solve(problem, method="trained"), finite_volumes(problem, rtol=1e-7)
    times = np.linspace(1, 60, 60)
    held = volumes.capacity[0, 0] > 0
    a, b = (x.sample(times)[..., held] for x in (found, volumes))
    assert np.sqrt(((a - b) ** 2).sum() / (b**2).sum()) < 1e-4
    assert found.converged


def test_a_step_lowers_the_loss_and_leaves_the_window_before_it_alone():
    problem = case("A", t_end_s=5.0)
    window = pinn.solve(problem, method="trained", tol=0.1).windows[0].window
    before, weights = squares(window, 0), window.rows[0][0].columns.u.weights[0][0].copy()
    after = stepped(window, 0, 1.0)
    assert squares(after, 0) < before
    assert np.all(window.rows[0][0].columns.u.weights[0][0] == weights)
    assert np.any(after.rows[0][0].columns.u.weights[0][0] != weights)


def test_training_that_does_not_reach_the_tolerance_is_refused_with_its_number(monkeypatch):
    monkeypatch.setattr(trained, "_STEPS", 1)
    monkeypatch.setattr("krogh.pinn.march._LARGEST", 20)
    hard = Problem(slab([43.0], [1.1], [0.01], [0.6], vmax=6e-6, km=0.07), decaying(), 1.0, cells=64)
    with pytest.raises(ConvergenceError, match="certificate"):
        pinn.solve(hard, method="trained", tol=1e-6)


def test_steps_in_single_precision_end_at_the_same_answer():
    problem = case("A", t_end_s=5.0, cells=30)
    double, mixed = (pinn.solve(problem, method="trained", precision=p) for p in ("float64", "mixed"))
    times = np.linspace(0.5, 5, 10)
    a, b = double.sample(times), mixed.sample(times)
    assert 0 < np.abs(a - b).max() < 1e-4 * a.max()
    assert mixed.windows[0].window.triangle.mixed


@pytest.mark.parametrize(("change", "message"), [({"device": "abacus"}, "abacus"), ({"precision": "half"}, "float64 or mixed")])
def test_a_device_or_precision_that_is_not_there_is_one_line(change, message):
    with pytest.raises(UsageError, match=message):
        pinn.solve(case("A"), method="trained", **change)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_a_gpu_gives_the_answer_of_the_processor():
    problem = case("A", t_end_s=5.0, cells=30)
    times = np.linspace(0.5, 5, 10)
    a, b = (pinn.solve(problem, method="trained", device=d).sample(times) for d in ("cpu", "cuda"))
    assert np.abs(a - b).max() < 1e-4 * a.max()
