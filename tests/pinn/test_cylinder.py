"""The Krogh cylinder by networks: against a closed form, finite volumes, and its own bookkeeping."""

import numpy as np
import pytest
from bench.pinn_cases import decaying
from scipy.special import i0, i1, k0, k1

import krogh
from krogh import pinn
from krogh.barrier.model import Barrier, Bypass, Layer, Membrane
from krogh.barrier.routes import Efflux, Paracellular, Passive
from krogh.blood.exponentials import ExponentialBlood
from krogh.errors import InputError
from krogh.pinn.cylinder.axial import axial
from krogh.pinn.cylinder.mixing import Anderson
from krogh.transport.cylinder import Capillary
from krogh.transport.problem import Problem
from krogh.transport.problem import solve as finite_volumes

VESSEL = Capillary(4e-6, 400e-6, 1e-3)


def rising():
    """Return blood that rises smoothly to 1 mol/m3 and decays: (1 - exp(-t/2))^2 exp(-t/60)."""
    coefficient = np.array([[[1.0, -2.0, 1.0]]])
    rate = np.array([[[0.0, 0.5, 1.0]]]) + 1 / 60
    return ExponentialBlood(np.zeros_like(coefficient), rate, coefficient, np.ones((1, 1)))


def tissue(permeability=1e-6, loss=0.02, pump=0.5e-6, thickness=21e-6):
    routes = (Passive(permeability), *((Efflux(pump, 0.5),) if pump else ()))
    return Barrier(("drug",), (Layer("tissue", thickness, 5e-10, 1.0, loss_per_s=loss),), (Membrane("luminal", 0, routes),))


def test_blood_that_is_emptied_along_the_way_follows_crone_and_renkin():
    # a ring that loses what enters: J = u / (1/P + 1/G), G by modified Bessel functions, so u = exp(-2 J z / (a v u))
    p, k, thick = 5e-6, 500.0, 2e-6
    problem = Problem(tissue(p, k, 0.0, thick), decaying(0.0), 2.0, capillary=VESSEL, cells=40, cells_along=8)
    found = pinn.solve(problem, strict=False)
    m = np.sqrt(k / 5e-10)
    near, far = m * VESSEL.radius_m, m * (VESSEL.radius_m + thick)
    slope = i1(far) * k1(near) - k1(far) * i1(near)
    ring = 5e-10 * m * slope / (i0(near) * k1(far) + k0(near) * i1(far))
    z = np.array([100e-6, 400e-6])
    exact = np.exp(-2 / (1 / p + 1 / ring) * z / (VESSEL.radius_m * VESSEL.velocity_m_s))
    assert found.sampler.blood(z, np.full(2, 1.9))[0] == pytest.approx(exact, rel=1e-4)


def test_the_cylinder_agrees_with_finite_volumes_and_keeps_mass():
    problem = Problem(tissue(), rising(), 60.0, capillary=VESSEL, cells=40, cells_along=40)
    networks, volumes = pinn.solve(problem), finite_volumes(problem, rtol=1e-6)
    times = np.linspace(0, 60, 31)[1:]
    held = volumes.capacity[0, 0] > 0  # finite volumes know the faces of a membrane at their steps only
    a, b = (x.sample(times)[..., held] for x in (networks, volumes))
    assert np.sqrt(((a - b) ** 2).sum() / (b**2).sum()) < 1e-4
    assert networks.converged
    assert networks.mass_defect < 1e-5
    for row in ("in:blood flow", "out:blood flow", "loss:tissue"):
        assert networks.ledger(row)[-1] == pytest.approx(volumes.ledger(row)[-1], rel=1e-3)


def test_nothing_is_there_before_the_blood_arrives():
    found = pinn.solve(Problem(tissue(), decaying(), 1.0, capillary=VESSEL, cells=24, cells_along=8), strict=False)
    far, near = found.at(0, 1e-6, 0.3, z_m=350e-6), found.at(0, 1e-6, 0.3, z_m=50e-6)
    assert far == 0
    assert near > 0


def test_simulate_takes_a_real_drug_through_all_layers_and_cells():
    settings = {"dose": "1 uM constant", "duration": "20 s", "geometry": "cylinder", "cells": 32, "cells_along": 24}
    networks, volumes = (krogh.simulate("caffeine", solver=s, **settings).dataset for s in ("pinn", "fv"))
    for name in ("auc_interstitium", "auc_neuron", "cmax_interstitium"):
        assert networks[name].item() == pytest.approx(volumes[name].item(), rel=2e-3)
    assert networks.profile.shape == volumes.profile.shape


def test_a_layer_that_holds_little_does_not_unsettle_the_terms_of_the_moving_time():
    # the endothelium holds a hundredth of what water would: along it drug spreads a hundred times as fast
    layers = (Layer("endothelium", 0.3e-6, 7e-10, 0.01), Layer("tissue", 5e-6, 1e-10, 0.2, 1e-3))
    walls = (Membrane("luminal", 0, (Passive(1e-9),)), Membrane("abluminal", 1, (Passive(1e-9),)))
    barrier = Barrier(("sugar",), layers, walls, (Bypass(Paracellular(1e-9), 1),))
    problem = Problem(barrier, decaying(), 30.0, capillary=VESSEL, cells=24, cells_along=24)
    found, volumes = pinn.solve(problem), finite_volumes(problem, rtol=1e-5)
    t = np.array([5.0, 10.0, 30.0])
    a, b = (s.medium("tissue", s.sample(t)) for s in (found, volumes))
    np.testing.assert_allclose(a, b, rtol=5e-3)


def test_only_least_squares_knows_the_cylinder():
    problem = Problem(tissue(), decaying(), 1.0, capillary=VESSEL, cells=24, cells_along=4)
    with pytest.raises(InputError, match="lsq"):
        pinn.solve(problem, method="classic")


def test_modes_project_integrate_and_mix_without_loss():
    modes = axial(7, 2e-4, 1e-3)
    line = modes.project(3 * modes.share + 1)
    assert modes.modes(np.array([0.0, 0.5, 1.0])) @ line == pytest.approx([1.0, 2.5, 4.0])
    assert modes.integrals(np.array([0.0, 1.0])) @ line == pytest.approx([0.0, 2.5])
    assert modes.mix == pytest.approx(-modes.mix.T)
    assert modes.rate[0] == pytest.approx(0.0, abs=1e-3)
    # among polynomials the slowest wave along closed ends decays as pi^2 / L^2
    assert modes.rate[1] == pytest.approx((np.pi / 2e-4) ** 2, rel=1e-4)


def test_mixing_finds_a_fixed_point_that_plain_iteration_runs_away_from():
    rng = np.random.default_rng(0)
    matrix = 3 * rng.standard_normal((5, 5)) / np.sqrt(5)
    x, mixer = np.zeros(5), Anderson()
    for _ in range(12):
        x = mixer.mix(x, matrix @ x + 1)
    assert x == pytest.approx(np.linalg.solve(np.eye(5) - matrix, np.ones(5)))
