"""The cylinder by modes is the cylinder by sparse elimination, and says where it is not used."""

from dataclasses import replace

import numpy as np
import pytest

from krogh.barrier.model import Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.barrier.routes.patterned import Patterned
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.integrate import integrate
from krogh.transport.linear import ModalSolver, SparseSolver
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator

from ._cases import SmoothBlood, saturable, three_layers

VESSEL = Capillary(3e-6, 2e-4, 5e-4)


def _cylinder(barrier, slices, cells=16, fu=0.4):
    return cylinder_graph(barrier, layered_mesh(barrier.layers, cells), VESSEL, slices, fu)


def _state(graph, rng):
    """Return random concentrations, alike in all slices where something reacts."""
    u, slices = rng.uniform(0.1, 1, graph.shape), graph.layout["n_z"]
    for reaction in graph.reactions:
        nodes = reaction.nodes.reshape(-1, slices)
        u[..., nodes] = u[..., nodes[:, :1]]
    return u


@pytest.mark.parametrize("species", [("a",), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("slices", [1, 2, 7, 16])
def test_modes_give_the_step_of_the_sparse_factor(species, slices):
    operator = Operator(_cylinder(saturable(species), slices))
    graph, rng = operator.graph, np.random.default_rng(slices)
    u, residual, blood = _state(graph, rng), rng.normal(size=graph.shape), rng.uniform(0.1, 1, graph.shape[:2])
    for gh in (1e-6, 0.3, 1e5):
        modal, sparse = ModalSolver(operator), SparseSolver(operator)
        got, want = (x.step(graph.capacity, gh, u, blood, residual) for x in (modal, sparse))
        assert modal.counts == {"modes": 1}
        assert np.abs(got - want).max() <= 1e-9 * np.abs(want).max()


def test_a_run_by_modes_is_the_run_by_sparse_elimination():
    graph = _cylinder(saturable(("a", "b")), 12)
    blood = SmoothBlood(20.0, shape=(1, 2))
    runs = []
    for structure in ("cylinder", "general"):
        operator = Operator(replace(graph, structure=structure))
        runs.append(integrate(operator, blood, 100.0, method="tr-bdf2", step_s=5.0))
    modal, sparse = runs
    for one, other in ((modal.auc, sparse.auc), (modal.final, sparse.final), (modal.ledger[-1], sparse.ledger[-1])):
        assert np.abs(one - other).max() <= 1e-9 * np.abs(other).max()
    assert modal.factors["modes"] > 0
    assert set(sparse.factors) == {"sparse LU"}
    assert modal.worst_defect <= 1e-13


def test_permeability_that_changes_along_the_vessel_is_solved_exactly():
    slices, rng = 8, np.random.default_rng(3)
    density = np.exp(rng.normal(size=(1, 1, slices)) * 3)
    plain = three_layers()
    walls = tuple(Membrane(m.name, m.face, (*m.routes, Efflux(2e-8, 0.5, name="P-gp"))) for m in plain.membranes)
    graph = _cylinder(replace(plain, membranes=walls), slices)
    routes = tuple(replace(r, route=Patterned(r.route, density)) if r.route.name == "P-gp" else r for r in graph.routes)
    operator = Operator(replace(graph, routes=routes))
    u, residual, blood = rng.uniform(0.1, 1, graph.shape), rng.normal(size=graph.shape), np.ones((1, 1))
    modal, sparse = ModalSolver(operator), SparseSolver(operator)
    for gh in (1e-3, 10.0, 1e4):
        got, want = (x.step(graph.capacity, gh, u, blood, residual) for x in (modal, sparse))
        assert np.abs(got - want).max() <= 1e-9 * np.abs(want).max()
    assert modal.counts == {"modes": 3}


def test_what_modes_cannot_do_goes_to_the_sparse_factor():
    graph, rng = _cylinder(saturable(), 6), np.random.default_rng(4)
    blood, residual = np.ones((1, 1)), rng.normal(size=graph.shape)
    steep = rng.uniform(0.01, 30.0, graph.shape)  # the enzyme works here and is full there
    cases = [(graph, graph.capacity, steep)]
    unlike = graph.capacity * rng.uniform(1, 2, graph.shape)
    cases.append((graph, unlike, np.ones(graph.shape)))
    bent = replace(graph, conductance=graph.conductance * rng.uniform(1, 2, graph.conductance.shape))
    cases.append((bent, graph.capacity, np.ones(graph.shape)))
    for case, capacity, u in cases:
        operator = Operator(case)
        modal, sparse = ModalSolver(operator), SparseSolver(operator)
        got, want = (x.step(capacity, 1e4, u, blood, residual) for x in (modal, sparse))
        assert modal.counts == {"sparse LU": 1}
        assert np.array_equal(got, want)


def test_closed_walls_leave_the_tissue_alone():
    layers = (Layer("cell", 0.3e-6, 1e-10), Layer("tissue", 1e-5, 1e-10, 0.2, 1e-3))
    closed = (Membrane("luminal", 0, (Passive(0.0),)), Membrane("abluminal", 1, (Passive(0.0),)))
    operator = Operator(_cylinder(replace(three_layers(), layers=layers, membranes=closed), 4, cells=8))
    run = integrate(operator, SmoothBlood(), 10.0)
    slices = operator.graph.layout["n_z"]
    assert np.all(run.final[..., slices:] == 0)
    assert run.final[..., :slices].min() > 0
