"""Networks: flow is conserved, a straight vessel is the Krogh cylinder, refinement settles, mass is kept."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse.linalg

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.errors import InputError
from krogh.io.network_file import read_network
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.integrate import integrate
from krogh.transport.linear.embedded import EmbeddedSolver
from krogh.transport.linear.pattern import Pattern
from krogh.transport.mesh import layered_mesh
from krogh.transport.network.assemble import Tissue, network_graph
from krogh.transport.network.coupling import exchange_factor, spread_weights
from krogh.transport.network.vessels import VISCOSITY_PA_S, Vessels, poiseuille_flow, refine
from krogh.transport.operator import Operator

from ._cases import ConstantBlood, SmoothBlood

CORTEX = Path(os.environ.get("KROGH_DATA", "../shared/data")) / "pharma" / "mouse_cortex_network"
_R, _LENGTH, _SIDE, _V = 3e-6, 200e-6, 40e-6, 1e-4


def _barrier(depth_m=1e-5, *, neurons=False, species=("drug",)):
    layers = (
        Layer("endothelium", 0.3e-6, 3e-10, 1.0),
        Layer("basement membrane", 0.1e-6, 1e-10, 1.0),
        Layer("interstitium", depth_m, 1e-10, 0.5, 0.02),
    )
    walls = (Membrane("luminal", 0, (Passive(2e-7),)), Membrane("abluminal", 1, (Passive(2e-7),)))
    cells = ()
    if neurons:
        enzyme = MichaelisMenten(0.05, 0.3, (None,), name="enzyme")
        cells = (CellCompartment("neuron", 2, 0.8, 0.05, 1.3, (enzyme,)), CellCompartment("astrocyte", 2, 0.4, 0.2))
        walls = (Membrane("luminal", 0, (Passive(2e-7), Efflux(4e-8, 0.3), Carrier(3e-8, np.full((1, 1, 1), 0.5)))), walls[1])
    return Barrier(species, layers, walls, cells=cells)


def _straight(longest_m=5e-6):
    drop = 8 * VISCOSITY_PA_S * _LENGTH * _V / _R**2
    points = np.array([[0, _SIDE / 2, _SIDE / 2], [_LENGTH, _SIDE / 2, _SIDE / 2]])
    vessels = Vessels(points, np.array([[0, 1]]), np.array([_R]), np.array([drop + 100, 100.0]))
    return poiseuille_flow(refine(vessels, longest_m))


def _branched():
    """Return a vessel that splits in two and joins again, a dead end, and a piece by itself."""
    points = 1e-5 * np.array(
        [[0, 2, 2], [1, 2, 2], [2, 1, 2], [2, 3, 2.2], [3, 2, 2], [4, 2, 2], [2, 0.5, 1], [0.5, 0.5, 3], [1.5, 0.5, 3]]
    )
    ends = np.array([[1, 0], [1, 2], [3, 1], [2, 4], [3, 4], [4, 5], [2, 6], [7, 8]])
    pressure = np.full(9, np.nan)
    pressure[[0, 5]] = 400.0, 100.0
    return Vessels(points, ends, np.array([2.5, 2, 1.5, 2, 1.5, 2.5, 1.5, 2.0]) * 1e-6, pressure)


def test_a_straight_vessel_is_the_krogh_cylinder_on_any_mesh():
    radius = np.sqrt(_SIDE**2 / np.pi)
    barrier = _barrier(radius - _R - 0.4e-6)
    cylinder = cylinder_graph(barrier, layered_mesh(barrier.layers, [4, 4, 32]), Capillary(_R, _LENGTH, _V), 40, np.ones((1, 1)))
    want = integrate(Operator(cylinder), ConstantBlood(), 60.0, rtol=1e-3)
    nodes = cylinder.media["interstitium"]
    amount = float((cylinder.capacity[0, 0, nodes] * want.final[0, 0, nodes]).sum())
    found = []
    for n in (8, 16, 24):  # cells of 5, 2.5 and 1.7 um: above and below the radius
        tissue = Tissue(np.zeros(3), (5 * n, n, n), _SIDE / n)
        graph = network_graph(_barrier(), _straight(), tissue, np.ones((1, 1)))
        run = integrate(Operator(graph), ConstantBlood(), 60.0, rtol=1e-3)
        own = graph.media["interstitium"]
        found.append(float((graph.capacity[0, 0, own] * run.final[0, 0, own]).sum()))
        assert run.worst_defect <= 1e-13
        assert float(run.final[0, 0, graph.layout["segments"] - 1]) == pytest.approx(float(want.final[0, 0, 39]), rel=2e-3)
    np.testing.assert_allclose(found, amount, rtol=0.01)
    assert abs(found[2] - found[1]) < abs(found[1] - found[0]) + 1e-3 * amount


def test_flow_is_conserved_and_pieces_are_counted():
    flow = poiseuille_flow(refine(_branched(), 4e-6))
    q, ends, n = flow.flow_m3_s, flow.vessels.ends, len(flow.vessels.points_m)
    net = np.bincount(ends[:, 1], q, n) - np.bincount(ends[:, 0], q, n)
    open_ends = {int(ends[flow.inlets[0], 0]), int(ends[flow.outlets[0], 1])}
    inner = [i for i in range(n) if i not in open_ends]
    assert np.abs(net[inner]).max() <= 1e-12 * q.max()
    assert flow.inlets.size == flow.outlets.size == 1
    assert flow.still_pieces == 1
    assert (q == 0).sum() > 0  # the dead end and the other piece
    assert np.all(flow.pressure_pa[ends[q > 0, 0]] > flow.pressure_pa[ends[q > 0, 1]])


def test_a_dead_end_and_a_piece_without_flow_fill_from_the_tissue_and_mass_is_kept():
    flow = poiseuille_flow(refine(_branched(), 4e-6))
    tissue = Tissue.around(flow.vessels.points_m, 16, margin_m=5e-6)
    graph = network_graph(_barrier(neurons=True), flow, tissue, np.full((1, 1), 0.4))
    run = integrate(Operator(graph), SmoothBlood(20.0, 1, 0.7), 300.0, rtol=1e-4)
    assert run.worst_defect <= 1e-13
    assert run.most_negative >= -1e-14
    still = np.flatnonzero(flow.flow_m3_s == 0)
    assert run.final[0, 0, still].min() > 0


@pytest.mark.parametrize("gh", [1e-2, 1.0, 100.0])
def test_a_step_equals_a_sparse_factorisation_of_the_whole(gh):
    flow = poiseuille_flow(refine(_branched(), 6e-6))
    tissue = Tissue.around(flow.vessels.points_m, 9, margin_m=5e-6)
    barrier = Barrier(("drug",), _barrier().layers, _barrier().membranes, cells=(CellCompartment("neuron", 2, 0.8, 0.05, 1.3),))
    operator = Operator(network_graph(barrier, flow, tissue, np.ones((1, 1))))
    capacity, blood = operator.graph.capacity, np.array([[0.8]])
    u = np.random.default_rng(0).random(operator.graph.shape)
    residual = capacity * u - gh * operator.rate(u, blood)
    solver = EmbeddedSolver(operator)
    got = solver.step(capacity, gh, u, blood, residual)
    matrix = Pattern(operator.graph).matrix(capacity, gh, operator.slopes(u, blood))
    want = -scipy.sparse.linalg.spsolve(matrix, residual[0, 0])
    assert np.abs(got[0, 0] - want).max() <= 1e-8 * np.abs(want).max()


def test_the_spread_exchange_is_that_of_the_true_radius():
    # u_wall - u(rho) = q ln(rho/R) / (2 pi D) for a steady source: integrate the disc by hand
    for ratio in (1.5, 3.0, 10.0):
        x2 = exchange_factor(float(np.log(ratio)))
        r = np.linspace(1e-9, 1.0, 20001)
        v, slope = 1.0, 0.0
        for a, b in pairwise(r):  # v'' + v'/r = x2 v, by the flux r v'
            slope += x2 * v * (b**2 - a**2) / 2
            v += slope / (0.5 * (a + b)) * (b - a)
        assert v / slope == pytest.approx(np.log(ratio), rel=1e-3)
    flow = _straight()
    weights = spread_weights(flow.vessels, np.full(len(flow.flow_m3_s), 9e-6), (40, 8, 8), np.zeros(3), 5e-6)
    np.testing.assert_allclose(np.asarray(weights.sum(1)).ravel(), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ends": [[0, 0]]}, "segment 0: got length"),
        ({"radius": [-1e-6]}, "segment 0: got radius"),
        ({"radius": [np.nan]}, "segment 0: got radius"),
        ({"ends": [[0, 7]]}, "segment 0: got nodes"),
        ({"points": [[0, 0, np.nan], [1e-5, 0, 0]]}, "node 0"),
    ],
)
def test_vessels_that_are_none_are_refused(change, word):
    points = np.array(change.get("points", [[0, 0, 0], [1e-5, 0, 0]]), dtype=float)
    with pytest.raises(InputError, match=word):
        Vessels(points, np.array(change.get("ends", [[0, 1]])), np.array(change.get("radius", [1e-6])), np.array([2.0, 1.0]))


def test_a_network_without_flow_or_too_thick_is_refused():
    points = np.array([[0, 0, 0], [1e-5, 0, 0]])
    alike = Vessels(points, np.array([[0, 1]]), np.array([1e-6]), np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="no flow"):
        poiseuille_flow(alike)
    thick = poiseuille_flow(Vessels(points, np.array([[0, 1]]), np.array([9e-6]), np.array([2.0, 1.0])))
    with pytest.raises(InputError, match="less than half"):
        network_graph(_barrier(), thick, Tissue(np.zeros(3), (4, 4, 4), 4e-6), np.ones((1, 1)))
    with pytest.raises(InputError, match="wall"):
        network_graph(Barrier(("drug",), _barrier().layers), thick, Tissue(np.zeros(3), (9, 9, 9), 4e-6), np.ones((1, 1)))


def test_the_answer_settles_when_cells_become_smaller_than_a_vessel():
    # a wall so open that the tissue alone limits: what the spread exchange has to get right
    barrier = _barrier()
    barrier = replace(barrier, membranes=tuple(replace(m, routes=(Passive(1e-4),)) for m in barrier.membranes))
    flow = poiseuille_flow(refine(_branched(), 1e-5))
    box = Tissue.around(flow.vessels.points_m, 8, margin_m=5e-6)
    amounts, outlets = [], []
    for fine in (1, 2, 4):  # cells of 3.1, 1.6 and 0.8 radii, the same box
        tissue = Tissue(box.origin_m, tuple(n * fine for n in box.shape), box.spacing_m / fine)
        graph = network_graph(barrier, flow, tissue, np.ones((1, 1)))
        run = integrate(Operator(graph), ConstantBlood(), 5.0, rtol=1e-2)
        own = graph.media["interstitium"]
        amounts.append(float((graph.capacity[0, 0, own] * run.final[0, 0, own]).sum()))
        outlets.append(float(run.final[0, 0, flow.outlets].mean()))
    assert abs(amounts[1] / amounts[0] - 1) <= 5e-3
    assert abs(amounts[2] / amounts[1] - 1) <= 1e-3
    assert abs(outlets[2] / outlets[1] - 1) <= 1e-3


@pytest.mark.data
@pytest.mark.skipif(not CORTEX.is_dir(), reason="needs mouse_cortex_network in KROGH_DATA")
def test_the_mouse_cortex_flows_keeps_mass_and_settles_under_refinement():
    vessels = read_network(CORTEX / "nodes.csv", CORTEX / "segments.csv")
    flow = poiseuille_flow(refine(vessels, 10e-6))
    assert flow.vessels.pieces.max() + 1 >= 1
    q, ends, n = flow.flow_m3_s, flow.vessels.ends, len(flow.vessels.points_m)
    degree = np.bincount(ends.ravel(), minlength=n)
    net = np.bincount(ends[:, 1], q, n) - np.bincount(ends[:, 0], q, n)
    assert np.abs(net[degree > 1]).max() <= 1e-9 * q.max()
    means = []
    for cells in (10, 20):
        graph = network_graph(_barrier(), flow, Tissue.around(vessels.points_m, cells), np.ones((1, 1)))
        run = integrate(Operator(graph), ConstantBlood(), 5.0, rtol=1e-2)
        assert run.worst_defect <= 1e-13
        own = graph.media["interstitium"]
        means.append(float(run.final[0, 0, own].mean()))
    assert means[1] == pytest.approx(means[0], rel=0.02)
