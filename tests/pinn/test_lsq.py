"""The networks against finite volumes, a closed form, and their own certificate."""

import numpy as np
import pytest
import torch
from bench.pinn_cases import case, decaying, slab

from krogh import pinn
from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.errors import ConvergenceError, InputError
from krogh.pinn.basis import Kernels
from krogh.pinn.threads import one_thread
from krogh.runs.config import build_config
from krogh.runs.simulate import plan
from krogh.transport.problem import Problem
from krogh.transport.problem import solve as finite_volumes


def _apart(networks, volumes, times):
    """Return the relative L2 difference of every medium and species, (medium, S)."""
    out = []
    for medium in volumes.operator.graph.media:
        a, b = (x.medium(medium, x.sample(times))[:, 0] for x in (networks, volumes))
        out.append(np.sqrt(((a - b) ** 2).sum(0) / ((b**2).sum(0) + 1e-300)))
    return np.array(out)


@pytest.mark.parametrize(("name", "tol", "error"), [("A", 1e-4, 1e-5), ("H", 5e-5, 1e-5), ("B", 1e-4, 1e-5)])
def test_reference_cases_agree_with_fine_finite_volumes_in_linear_and_logarithmic_time(name, tol, error):
    networks = pinn.solve(case(name, cells=400), tol=tol)
    volumes = finite_volumes(case(name, cells=400), rtol=1e-8)
    assert networks.converged
    assert _apart(networks, volumes, np.linspace(0, 60, 121)[1:]).max() < error
    assert _apart(networks, volumes, np.geomspace(1e-2, 60, 60)).max() < 1e-4
    assert networks.mass_defect < 1e-5


def test_a_wall_without_membrane_is_the_heat_equation():
    # constant 1 at x = 0, closed at L: 1 - sum 4/((2n+1) pi) sin(..) exp(..)
    problem = Problem(Barrier(("drug",), (Layer("tissue", 20e-6, 1e-11),)), decaying(0.0), 60.0, cells=64)
    found = pinn.solve(problem, tol=1e-4)
    x, t = np.meshgrid(np.linspace(1e-6, 20e-6, 20), [0.1, 1.0, 10.0, 60.0])
    odd = np.arange(1, 400, 2)[:, None, None] * np.pi / 2
    exact = 1 - (2 / odd * np.sin(odd * x / 20e-6) * np.exp(-(odd**2) * 1e-11 * t / (20e-6) ** 2)).sum(0)
    assert found.at(0, x, t) == pytest.approx(exact, abs=2e-5)
    assert found.mass_defect < 1e-5


def test_every_law_at_once_with_two_doses_agrees_with_finite_volumes():
    pump, leak = Efflux(4e-8, 0.3, name="P-gp"), Bypass(Paracellular(2e-9), 1)
    carrier = Carrier(3e-8, np.full((1, 1, 1), 0.5), 1.0, 0.2, name="LAT1")
    layers = (
        Layer("endothelium", 0.4e-6, 3e-11, 1.5, reactions=(MichaelisMenten(0.02, 0.4, (None,)),)),
        Layer("basement membrane", 0.1e-6, 6e-11, 0.8),
        Layer("interstitium", 20e-6, 1.2e-10, 0.2, loss_per_s=1e-3, spread=3.0),
    )
    walls = (
        Membrane("luminal", 0, (Passive(1e-7, 1.0, 0.7), carrier, pump)),
        Membrane("abluminal", 1, (Passive(1e-7, 0.7, 0.9), carrier)),
    )
    neurons = CellCompartment("neuron", 2, 0.8, 0.05, 1.3, (MichaelisMenten(0.01, 0.1, (None,)),))
    barrier = Barrier(("drug",), layers, walls, (leak,), (neurons,))
    problem = Problem(barrier, decaying(1 / 300, starts=(0.0, 400.0)), 900.0, cells=120)
    networks, volumes = pinn.solve(problem, tol=5e-4), finite_volumes(problem, rtol=1e-7)
    assert _apart(networks, volumes, np.linspace(1, 900, 120)).max() < 1e-4
    assert networks.mass_defect < 1e-5
    for row, _ in volumes.operator.ledger_names:
        scale = float(np.abs(volumes.march.ledger[-1]).max())
        assert networks.ledger(row)[-1] == pytest.approx(volumes.ledger(row)[-1], rel=1e-3, abs=1e-5 * scale)


def test_a_species_formed_from_another_agrees_with_finite_volumes():
    settings = {"compounds": ["levodopa"], "duration": "5 min", "dose": "1 mg/kg iv", "cells": 80}
    problem = plan(build_config({}, (), settings))[0].problem
    networks, volumes = pinn.solve(problem, tol=1e-3), finite_volumes(problem, rtol=1e-6)
    assert _apart(networks, volumes, np.linspace(1, 300, 60)).max() < 1e-3


def test_a_looser_answer_is_refused_with_its_number_and_flagged_when_asked_for():
    # a front of 0.03 um in 43 um behind a saturated pump: the hardest of the random draws
    hard = Problem(slab([43.0], [1.1], [0.01], [0.6], vmax=6e-6, km=0.07), decaying(), 1.0, cells=64)
    with pytest.raises(ConvergenceError, match="certificate"):
        pinn.solve(hard, tol=1e-9)
    assert not pinn.solve(hard, tol=1e-9, strict=False).converged


def test_kernels_solve_the_heat_equation_with_loss():
    kernels = Kernels(range(7), 1e-11, 0.02, 1.0)
    x, t, h = np.linspace(1e-6, 5e-6, 9), np.full(9, 0.7), 1e-5
    later, now, _ = (kernels(x, t + dt)[0] for dt in (h, 0.0, 0.0))
    earlier = kernels(x, t - h)[0]
    rate, bend = (later - earlier) / (2 * h), kernels(x, t)[2]
    assert rate == pytest.approx(1e-11 * bend - 0.02 * now, abs=1e-6 * np.abs(rate).max())


def test_seeds_agree():
    problem = case("A")
    a, b = (pinn.solve(problem, seed=s).sample(np.linspace(1, 60, 30)) for s in (0, 1))
    assert np.abs(a - b).max() < 1e-4 * a.max()


@pytest.mark.parametrize("method", ["lsq", "trained"])
def test_least_squares_run_on_one_thread_and_the_setting_comes_back(monkeypatch, method):
    # with two threads on a busy machine QR waits at barriers: up to 50 times slower
    seen = []
    real = torch.linalg.qr
    monkeypatch.setattr(torch.linalg, "qr", lambda *a, **k: (seen.append(torch.get_num_threads()), real(*a, **k))[1])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        pinn.solve(case("A", t_end_s=5.0), method=method, tol=1e-2)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="inside"), one_thread():
            raise ValueError("inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"tol": 0.0}, "tol"), ({"tol": float("nan")}, "tol")],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        pinn.solve(case("A"), **change)


def test_simulate_takes_the_networks_and_gives_the_metrics_of_finite_volumes():
    import krogh

    settings = {"dose": "1 uM constant", "duration": "10 min", "cells": 64}
    networks, volumes = (krogh.simulate("caffeine", solver=s, **settings).dataset for s in ("pinn", "fv"))
    for name in ("auc_interstitium", "auc_neuron", "cmax_interstitium", "kp_uu"):
        assert networks[name].item() == pytest.approx(volumes[name].item(), rel=1e-3)
    assert np.abs(networks.interstitium - volumes.interstitium).max() < 1e-3 * volumes.interstitium.max()


def test_a_run_ends_at_the_first_window_that_has_no_solution(monkeypatch):
    monkeypatch.setattr("krogh.pinn.march.certificate", lambda window: np.inf)
    told = []
    with pytest.raises(ConvergenceError, match=r"no solution of the equations from 0 s .*--solver fv"):
        pinn.solve(case("A"), tell=told.append)
    assert not told
