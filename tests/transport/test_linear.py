"""Elimination along the chain and the sparse factor give the solution of the dense system."""

import numpy as np
import pytest
import scipy.fft

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Passive
from krogh.transport.balance import close_balance
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.linear import SOLVERS, ChainSolver, ModalSolver, SparseSolver
from krogh.transport.linear.cg import conjugate_gradients
from krogh.transport.linear.cosines import Cosines
from krogh.transport.linear.gmres import Seen, gmres
from krogh.transport.mesh import layered_mesh
from krogh.transport.newton import consistent_faces, solve_stage
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
    for solver in (SOLVERS[operator.graph.structure], SparseSolver):
        state = u
        if solver is ModalSolver:  # exact where slices are alike: reactions enter with their means along the vessel
            state = np.repeat(u.reshape(1, 1, -1, 3)[..., :1], 3, axis=-1).reshape(shape)
        matrix = np.diag(operator.graph.capacity.reshape(-1)) + gh * _jacobian(operator, state, blood)
        got = solver(operator).step(operator.graph.capacity, gh, state, blood, residual).reshape(-1)
        want = np.linalg.solve(matrix, -residual.reshape(-1))
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()  # the differences are that exact


def test_solvers_agree_to_round_off():
    operator = operator_of(saturable(("a", "b", "c")), 20)
    rng = np.random.default_rng(5)
    u, residual = rng.uniform(0.1, 1, operator.graph.shape), rng.normal(size=operator.graph.shape)
    blood = rng.uniform(0.1, 1, (1, 3))
    a, b = (x(operator).step(operator.graph.capacity, 0.7, u, blood, residual) for x in (ChainSolver, SparseSolver))
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10 * np.abs(a).max())


def test_the_compiled_step_of_a_chain_is_the_general_one():
    operator = operator_of(saturable(batch=3), 20)
    rng = np.random.default_rng(6)
    capacity, gh = operator.graph.capacity, 0.7
    u, known = rng.uniform(-0.1, 1, capacity.shape), rng.normal(size=capacity.shape)  # iterations may pass below zero
    blood, floor = rng.uniform(0.1, 1, (3, 1)), np.full(3, 1e-9)
    solver = ChainSolver(operator)
    met = operator.meet(u, blood)
    step = solver.step(capacity, gh, u, blood, capacity * u - gh * operator.rate(u, blood, met) - known, met=met)
    flat = [np.array(x).reshape(3, -1) for x in (u, capacity, known)]
    size = solver.advance(flat[1], gh, flat[0], blood.reshape(3), flat[2], floor, met)
    got = flat[0].reshape(u.shape) - u
    np.testing.assert_allclose(got, step, rtol=1e-9, atol=1e-12 * np.abs(step).max())
    assert size == pytest.approx((np.abs(step).max(-1) / np.abs(u + step).max(-1)).max())


def test_what_adds_to_the_rate_is_not_passed_over_by_the_compiled_step():
    class Fed(Operator):
        def rate(self, u, blood, met=None):
            return super().rate(u, blood, met) + 1e-6

    barrier = saturable()
    graph = operator_of(barrier, 12).graph
    start, blood = np.zeros(graph.shape), np.zeros((1, 1))
    fed = solve_stage(Fed(graph), ChainSolver(Fed(graph)), 1.0, start, start, blood)
    assert fed.converged
    assert np.all(fed.u > 0)


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


def test_what_earlier_solves_found_serves_later_ones():
    rng = np.random.default_rng(5)
    matrix = np.eye(80) + 0.3 * rng.standard_normal((80, 80)) / np.sqrt(80)
    seen, counts = Seen(), []
    start, slope = rng.standard_normal((2, 80))
    for k in range(6):  # right-hand sides of one plane: the third is known
        b = start + k * slope
        x, count, good = gmres(lambda v: matrix @ v, b, lambda v: v, tolerance=1e-6, seen=seen)
        counts.append(count)
        assert good
        assert np.linalg.norm(b - matrix @ x) <= 2e-6 * np.linalg.norm(b)
    assert counts[0] > 5
    assert max(counts[2:]) <= 2


def test_cosines_by_products_are_the_fast_transform():
    cells = np.random.default_rng(6).random((2, 5, 8, 6))
    own = Cosines((5, 8, 6))
    np.testing.assert_allclose(own.forward(cells), scipy.fft.dctn(cells, axes=(1, 2, 3), norm="ortho"), atol=1e-13)
    np.testing.assert_allclose(own.backward(own.forward(cells)), cells, atol=1e-13)
    large = Cosines((100, 2, 2))
    wide = np.random.default_rng(7).random((1, 100, 2, 2))
    np.testing.assert_allclose(large.backward(large.forward(wide)), wide, atol=1e-13)


def test_conjugate_gradients_solve_and_say_when_they_do_not():
    rng = np.random.default_rng(8)
    root = rng.standard_normal((40, 40))
    matrix = root @ root.T + 40 * np.eye(40)
    b = rng.standard_normal(40)
    near = 1.0 / np.diag(matrix)
    stop = lambda x, z: float(np.abs(z).max()) <= 1e-10  # noqa: E731
    x, count, good = conjugate_gradients(lambda v: matrix @ v, b, lambda v: near * v, enough=stop, most=100)
    assert good
    assert 1 < count <= 40
    np.testing.assert_allclose(matrix @ x, b, atol=1e-7)
    _, count, good = conjugate_gradients(lambda v: matrix @ v, b, lambda v: near * v, enough=stop, most=2)
    assert not good
    assert count == 2
    x, count, good = conjugate_gradients(lambda v: matrix @ v, 0 * b, lambda v: near * v, enough=stop, most=2)
    assert good
    assert count == 0


def test_the_balance_of_a_stage_is_closed_to_round_off():
    operator = operator_of(saturable(), 24)
    signs = np.array([sign for _, sign in operator.ledger_names])
    rng, blood, gh = np.random.default_rng(9), np.array([[0.7]]), 3.0
    r = operator.graph.capacity * rng.random(operator.graph.shape)
    exact = solve_stage(operator, SOLVERS["chain"](operator), gh, r, 0 * r, blood).u
    u, rows, closed = close_balance(operator, gh, r, exact * (1 + 1e-6 * rng.random(exact.shape)), blood)
    assert closed
    held = float((operator.graph.capacity * u).sum())
    assert abs(held - float(r.sum()) - gh * float((rows @ signs)[0, 0])) <= 1e-15 * held
    np.testing.assert_allclose(u, exact, rtol=2e-6)
    _, _, closed = close_balance(operator, gh, r, 0.5 * exact, blood)
    assert not closed
