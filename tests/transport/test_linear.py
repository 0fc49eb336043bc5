"""Elimination along the chain and the sparse factor give the solution of the dense system."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Passive
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.linear import SOLVERS, ChainSolver, SparseSolver
from krogh.transport.mesh import layered_mesh
from krogh.transport.newton import consistent_faces
from krogh.transport.operator import Operator

from ._cases import operator_of, saturable, steady


def _jacobian(operator, u, blood):
    """Return -dF/du by central differences, dense, for one problem."""
    _, s, n = operator.graph.shape
    out = np.empty((s * n, s * n))
    for k in range(s * n):
        h = 1e-6
        move = np.zeros((1, s, n))
        move.reshape(-1)[k] = h
        out[:, k] = -(operator.rate(u + move, blood) - operator.rate(u - move, blood)).reshape(-1) / (2 * h)
    return out


def _operator(kind):
    if kind == "cylinder":
        barrier = saturable()
        return Operator(cylinder_graph(barrier, layered_mesh(barrier.layers, 14), Capillary(3e-6, 1e-4, 1e-3), 3, 0.4))
    return operator_of(saturable(("a", "b") if kind == "coupled chain" else ("a",)), 16)


@pytest.mark.parametrize("kind", ["chain", "coupled chain", "cylinder"])
@pytest.mark.parametrize("gh", [1e-6, 0.3, 1e5])
def test_a_newton_step_solves_the_linearised_system(kind, gh):
    operator = _operator(kind)
    rng = np.random.default_rng(4)
    shape = operator.graph.shape
    u, residual = rng.uniform(0.1, 1, shape), rng.normal(size=shape)
    blood = rng.uniform(0.1, 1, shape[:2])
    matrix = np.diag(operator.graph.capacity.reshape(-1)) + gh * _jacobian(operator, u, blood)
    for solver in (SOLVERS[operator.graph.structure], SparseSolver):
        got = solver(operator).step(operator.graph.capacity, gh, u, blood, residual).reshape(-1)
        want = np.linalg.solve(matrix, -residual.reshape(-1))
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()  # the differences are that exact


def test_solvers_agree_to_round_off():
    operator = operator_of(saturable(("a", "b", "c")), 20)
    rng = np.random.default_rng(5)
    u, residual = rng.uniform(0.1, 1, operator.graph.shape), rng.normal(size=operator.graph.shape)
    blood = rng.uniform(0.1, 1, (1, 3))
    a, b = (x(operator).step(operator.graph.capacity, 0.7, u, blood, residual) for x in (ChainSolver, SparseSolver))
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10 * np.abs(a).max())


def test_a_part_that_nothing_reaches_stays_as_it_is():
    # a cell with closed membranes has no steady state of its own; sugar passes beside it
    layers = (Layer("cell", 0.3e-6, 1e-10), Layer("tissue", 1e-5, 1e-10, 0.2, 1e-3))
    closed = (Membrane("luminal", 0, (Passive(0.0),)), Membrane("abluminal", 1, (Passive(0.0),)))
    operator = operator_of(Barrier(("drug",), layers, closed), 12)
    assert np.all(steady(operator, np.ones((1, 1))) == 0)
    two = operator_of(Barrier(("a", "b"), layers, closed), 12)
    assert np.all(steady(two, np.ones((1, 2))) == 0)


def test_faces_come_into_balance_and_cells_stay():
    operator = operator_of(saturable(), 16)
    u = np.random.default_rng(6).uniform(0.1, 1, operator.graph.shape)
    blood = np.array([[0.6]])
    settled = consistent_faces(operator, ChainSolver(operator), u, blood)
    cells = operator.graph.capacity > 0
    assert np.array_equal(settled[cells], u[cells])
    slope = np.abs(operator.slopes(settled, blood).tail).max()
    assert np.abs(operator.rate(settled, blood)[~cells]).max() <= 1e-14 * slope
