"""The Krogh cylinder against Krogh and Erlang, Bessel functions, and Crone and Renkin."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import i0, i1, k0, k1

from krogh.barrier.assemble import assemble
from krogh.barrier.crossing import endfoot_permeability
from krogh.barrier.member import prepare
from krogh.barrier.model import Barrier, Bypass, Layer, Membrane
from krogh.barrier.physiology import get_physiology
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Paracellular, Passive
from krogh.barrier.state import BarrierState
from krogh.blood.pk import constant_terms, stack
from krogh.compounds import get_compound
from krogh.errors import InputError
from krogh.permeability import crone_renkin_extraction
from krogh.transport.cylinder import Capillary, cylinder_graph, mean_weight
from krogh.transport.linear import SOLVERS
from krogh.transport.mesh import layered_mesh
from krogh.transport.newton import solve_stage
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem, solve

from ._cases import ConstantBlood, operator_of, slopes, steady

RADIUS, TISSUE = 3e-6, 25e-6
ONE = np.ones((1, 1))


def _tissue(p=4e-6, d=2e-10, loss=0.0, reactions=()):
    return Barrier(("drug",), (Layer("tissue", TISSUE, d, 0.3, loss, reactions),), (Membrane("wall", 0, (Passive(p),)),))


def _radii(mesh):
    edge = RADIUS + mesh.edge_m
    return np.sqrt(0.5 * (edge[1:] ** 2 + edge[:-1] ** 2)), edge


def test_radial_profile_with_constant_consumption_is_krogh_and_erlang():
    consumption, d, p = 0.05, 2e-10, 4e-6
    # zero order: an enzyme saturated a billion times over
    barrier = _tissue(p, d, reactions=(MichaelisMenten(consumption / 1e-9, 1e-9, (None,)),))
    outer = RADIUS + TISSUE
    errors = []
    for cells in (128, 256, 512):
        mesh = layered_mesh(barrier.layers, cells, ratio=4.0)
        u = steady(operator_of(barrier, cells, ratio=4.0, radius_m=RADIUS), 10 * ONE, guess=10.0)
        r, _ = _radii(mesh)
        at_wall = 10 - consumption * (outer**2 - RADIUS**2) / (2 * RADIUS * p)
        exact = at_wall - consumption / (2 * d) * (outer**2 * np.log(r / RADIUS) - (r**2 - RADIUS**2) / 2)
        assert exact.min() > 1  # supplied everywhere
        errors.append(np.abs(u[0, 0, 1:] / exact - 1).max())
    assert errors[-1] <= 1e-6
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


def _uptake(p, d, loss):
    """Return the exact flux per length of wall and concentration 1 in blood, by Bessel functions."""
    m, outer = np.sqrt(loss / d), RADIUS + TISSUE
    a, b = m * RADIUS, m * outer
    shape = i0(a) * k1(b) + k0(a) * i1(b)
    slope = m * (k1(a) * i1(b) - i1(a) * k1(b))
    into_tissue = 2 * np.pi * RADIUS * d * slope / shape  # per concentration at the wall
    wall = 2 * np.pi * RADIUS * p
    return 1 / (1 / wall + 1 / into_tissue)


@pytest.mark.parametrize("p", [1e-7, 5e-5])
def test_radial_uptake_with_first_order_loss_is_the_bessel_solution(p):
    d, loss = 2e-10, 0.4
    errors = []
    for cells in (256, 512, 1024):
        operator = operator_of(_tissue(p, d, loss), cells, ratio=4.0, radius_m=RADIUS)
        u = steady(operator, ONE)
        errors.append(abs(float((operator.graph.loss * u).sum()) / _uptake(p, d, loss) - 1))
    assert errors[-1] <= 1e-6
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


def test_blood_along_the_capillary_falls_exponentially():
    # so long that diffusion along the vessel does not count; then c_out = exp(-uptake L / Q)
    p, d, loss, length = 2e-6, 2e-10, 0.4, 1.0
    flow = _uptake(p, d, loss) * length / 0.7
    vessel = Capillary(RADIUS, length, flow / (np.pi * RADIUS**2))
    barrier = _tissue(p, d, loss)
    errors = []
    for n_z, cells in ((16, 64), (32, 128), (64, 256), (128, 512)):
        operator = Operator(cylinder_graph(barrier, layered_mesh(barrier.layers, cells, ratio=4.0), vessel, n_z, 1.0))
        u = steady(operator, ONE)
        errors.append(abs(u[0, 0, n_z - 1] / np.exp(-0.7) - 1))
    assert errors[-1] <= 1e-6
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("n_z", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(("ps_over_flow", "fu"), [(0.01, 1.0), (0.17, 0.3), (3.3, 1.0), (30.0, 0.05)])
def test_extraction_into_an_empty_tissue_is_crone_renkin_for_any_number_of_cells(n_z, ps_over_flow, fu):
    length, velocity = 500e-6, 1e-3
    vessel = Capillary(RADIUS, length, velocity)
    p, leak = 0.7, 0.3
    unit = ps_over_flow * vessel.flow_m3_s / (2 * np.pi * RADIUS * length)
    layers = (Layer("cell", 0.3e-6, 1e3), Layer("tissue", TISSUE, 1e3))
    walls = (Membrane("luminal", 0, (Passive(p * unit),)), Membrane("abluminal", 1, (Passive(unit),)))
    barrier = Barrier(("drug",), layers, walls, (Bypass(Paracellular(leak * unit), 1),))
    operator = Operator(cylinder_graph(barrier, layered_mesh(layers, [4, 4]), vessel, n_z, fu))
    graph = operator.graph
    # everything but blood and faces is held at zero
    heavy = np.where((graph.capacity > 0) & (np.arange(graph.shape[2]) >= n_z), 1e20, 0.0)
    zero = np.zeros(graph.shape)
    result = solve_stage(operator, SOLVERS["general"](operator), 1.0, zero, zero, ONE, capacity=heavy)
    extraction = 1 - float(result.u[0, 0, n_z - 1])
    assert extraction == pytest.approx(crone_renkin_extraction(ps_over_flow, 1.0, fu), rel=1e-11)


@pytest.mark.parametrize("name", ["mannitol", "morphine", "caffeine"])
def test_the_whole_model_starts_with_the_crone_renkin_extraction(name):
    # a brain that holds a million times more stays empty, and what leaves blood is the initial uptake
    physiology, state = get_physiology("human"), BarrierState()
    compound = get_compound(name)
    member = prepare(compound, physiology, BarrierState(efflux_activity={"all": 0.0}))
    barrier = assemble([[member]], radial=True)
    last = barrier.layers[-1]
    empty = replace(barrier, layers=(*barrier.layers[:-1], replace(last, capacity=1e9, diffusivity_m2_s=1e-3)), cells=())
    vessel = Capillary(physiology.capillary_radius_m.value, 400e-6, physiology.capillary_velocity_m_s.value * state.flow_factor)
    blood = stack([[constant_terms(1e-6)]])
    fu = 0.5
    solution = solve(Problem(empty, blood, 2000.0, capillary=vessel, fu_plasma=fu, cells=64, cells_along=64))
    rate = solution.operator.ledger(solution.march.final, blood.free(2000.0))[0, 0]
    flow = {name: rate[i] for i, (name, _) in enumerate(solution.operator.ledger_names)}
    area = 2 * np.pi * vessel.radius_m * vessel.length_m
    # the layers are wider further out, the routes count per area of lumen: compare with the ring's own resistances
    wall = _ring_permeability(member, vessel.radius_m)
    extraction = 1 - flow["out:blood flow"] / flow["in:blood flow"]
    assert extraction == pytest.approx(
        crone_renkin_extraction(wall * area, vessel.flow_m3_s, fu), rel=1e-4
    )  # diffusion along the wall is left


def _ring_permeability(member, radius):
    """Return the uptake permeability per lumen area of the concentric wall, layer by layer."""
    p, c = member.physiology, member.crossing
    h = [p.endothelium_thickness_m.value, p.basement_membrane_thickness_m.value, p.endfoot_thickness_m.value]
    r = radius + np.concatenate([[0], np.cumsum(h)])
    d = c.diffusivity_m2_s
    sheath = endfoot_permeability(c.membrane_m_s * c.permeant_interstitium, d, p) * h[2]
    film = [np.log(r[i + 1] / r[i]) * radius / x for i, x in enumerate((d, p.basement_membrane_hindrance.value * d, sheath))]
    phi, out, leak = c.permeant_cell, c.permeant_interstitium, c.paracellular_m_s * member.state.total_leak
    behind = film[1] + film[2]
    pm = c.membrane_m_s
    cell = 1 / (2 / pm + phi * film[0]) if pm > 0 else 0.0
    return (cell + leak) / (1 + (out * cell + leak) * behind)


def test_channel_cells_converge_in_second_order_with_tissue_that_fills():
    vessel = Capillary(RADIUS, 300e-6, 5e-4)
    barrier = _tissue(8e-6, 3e-10, 0.2)
    out = {}
    for n_z in (8, 16, 32, 64, 512):
        operator = Operator(cylinder_graph(barrier, layered_mesh(barrier.layers, 12), vessel, n_z, 0.8))
        out[n_z] = float(steady(operator, ONE)[0, 0, n_z - 1])
    errors = [abs(out[n] - out[512]) for n in (8, 16, 32, 64)]
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("a", [0.0, 1e-8, 1e-3, 0.999e-3, 0.5, 40.0, 1e5])
def test_the_mean_weight_is_the_mean_of_an_exponential(a):
    theta = float(mean_weight(np.array(a)))
    assert 0 <= theta <= 0.5
    if 0 < a < 600:
        mean = -np.expm1(-a) / a
        assert theta + (1 - theta) * np.exp(-a) == pytest.approx(mean, rel=1e-9)


def test_bad_vessels_are_refused():
    mesh = layered_mesh(_tissue().layers, 8)
    for bad in ((0.0, 1e-4, 1e-3), (3e-6, -1.0, 1e-3), (3e-6, 1e-4, float("nan"))):
        with pytest.raises(InputError, match="capillary"):
            Capillary(*bad)
    vessel = Capillary(RADIUS, 1e-4, 1e-3)
    open_wall = Barrier(("drug",), _tissue().layers)
    with pytest.raises(InputError, match="no membrane"):
        cylinder_graph(open_wall, mesh, vessel, 4, 1.0)
    with pytest.raises(InputError, match="along"):
        cylinder_graph(_tissue(), mesh, vessel, 0, 1.0)
    two = Barrier(("drug",), _tissue().layers, _tissue().membranes, batch=2)
    with pytest.raises(InputError, match="batch"):
        cylinder_graph(two, mesh, vessel, 4, 1.0)
    with pytest.raises(InputError, match="blood"):
        solve(Problem(_tissue(), ConstantBlood(shape=(1, 2)), 1.0, cells=8))
