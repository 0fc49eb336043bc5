"""The same problems by other people's software: FiPy and DOLFINx on the same cells, SciPy's BDF on the assembled equations."""

import numpy as np
import pytest
from bench.block_peers import closed_block, dolfinx_block, dolfinx_python
from bench.peers import fipy_layers
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh

from ._cases import ConstantBlood, SmoothBlood, operator_of, three_layers

# -- FiPy ------------------------------------------------------------


def _layered(case):
    """Return (barrier, counts, blood, end): three layered problems."""
    if case == "membranes":
        return three_layers(), [6, 4, 12], SmoothBlood(5.0), 15.0
    if case == "no membranes":
        layers = (Layer("a", 2e-6, 1e-11, 4.0), Layer("b", 1e-6, 2e-12, 0.5), Layer("c", 5e-6, 1e-10, 0.2, 0.05))
        return Barrier(("drug",), layers), [8, 6, 10], SmoothBlood(1.0), 3.0
    enzyme = MichaelisMenten(0.5, 0.1, (None,))
    layers = (Layer("a", 1e-6, 1e-11, 2.0, reactions=(enzyme,)), Layer("b", 10e-6, 2e-10, 0.3, 0.01))
    walls = (Membrane("in", 0, (Passive(2e-6),)), Membrane("out", 1, (Passive(1e-6),)))
    return Barrier(("drug",), layers, walls), [6, 12], SmoothBlood(2.0), 6.0


@pytest.mark.parametrize("case", ["membranes", "no membranes", "enzyme"])
def test_fipy_agrees_step_by_step_and_in_the_limit(case):
    pytest.importorskip("fipy")
    barrier, counts, blood, t_end = _layered(case)
    operator = operator_of(barrier, counts)
    mesh = layered_mesh(barrier.layers, counts)
    nodes = operator.graph.layout["cell_node"]
    coarse, fine, finest = (fipy_layers(barrier, mesh, blood, t_end, n) for n in (30, 60, 120))
    ours = integrate(operator, blood, t_end, method="backward-euler", step_s=t_end / 30).final[0, 0, nodes]
    # FiPy solves the layers' linear systems with a condition number of 1e6 or so
    np.testing.assert_allclose(ours, coarse, rtol=1e-7)
    # its backward Euler, freed of the first two orders in the step, against our adaptive method
    limit = (8 * finest - 6 * fine + coarse) / 3
    best = integrate(operator, blood, t_end, rtol=1e-8).final[0, 0, nodes]
    np.testing.assert_allclose(best, limit, rtol=1e-4)


# -- DOLFINx -----------------------------------------------------------


def test_dolfinx_meets_the_block_with_the_square_of_its_step():
    python = dolfinx_python()
    if python is None:
        pytest.skip("needs a Python with DOLFINx (KROGH_DOLFINX_PYTHON)")
    model, u0 = closed_block(12)
    system, none = BlockSystem(model, tolerance=1e-10), SmoothBlood(height=0.0)
    ours = integrate(system, none, 20.0, u0=u0.reshape(1, 1, -1), rtol=1e-8).final.reshape(model.grid)
    far = [np.abs(dolfinx_block(python, model, u0, n)[0] - ours).max() / ours.max() for n in (20, 40)]
    assert far[1] <= 1e-4
    assert np.log2(far[0] / far[1]) == pytest.approx(2.0, abs=0.2)


# -- SciPy -----------------------------------------------------------


class _Assembled:
    """Hold the equations of a slab for the cells alone: each membrane's flux is the root of one equation in the flux."""

    def __init__(self, barrier, mesh, blood):
        self.barrier, self.mesh, self.blood = barrier, mesh, blood
        pick = lambda name: np.array([getattr(barrier.layers[i], name) for i in mesh.layer], dtype=float)  # noqa: E731
        self.half = mesh.width_m / 2 / pick("diffusivity_m2_s")
        self.capacity, self.loss = pick("capacity") * mesh.width_m, pick("loss_per_s") * mesh.width_m
        self.wall = {int(np.flatnonzero(mesh.layer == m.face)[0]): m.routes for m in barrier.membranes}

    def flux(self, face, a, b):
        """Return the flux through the face before cell `face` from the values at the two centres (or blood and centre)."""
        near = self.half[face - 1] if face else 0.0
        far = self.half[face]
        if face not in self.wall:
            return (a - b) / (near + far)

        def miss(j):
            s, t = np.full((1, 1, 1), a - j * near), np.full((1, 1, 1), b + j * far)
            total = 0.0
            for route in self.wall[face]:
                inward, outward, _, _ = route.flux(s, t)
                total += float((inward - outward)[0, 0, 0])
            return total - j

        # a wide bracket first, the root to the last digit then
        size = 1e-3 * (abs(a) + abs(b)) + 1e-30
        low, high = -size, size
        top = max(a, 0.0) / near if near > 0 else np.inf
        return brentq(
            miss, max(low, -max(b, 1e-300) / far), min(high, top) if np.isfinite(top) else high, xtol=1e-300, rtol=1e-14
        )

    def __call__(self, t, u):
        held = np.concatenate([[self.blood.free(t)[0, 0]], u])
        flow = np.array([self.flux(i, held[i], held[i + 1]) for i in range(u.size)] + [0.0])
        rate = flow[:-1] - flow[1:] - self.loss * u
        for i, layer in enumerate(self.barrier.layers):
            for law in layer.reactions:
                own = self.mesh.layer == i
                rate[own] -= law.rate(u[own])[0] * self.mesh.width_m[own]
        return rate / self.capacity


def _case(name):
    if name == "linear":
        return three_layers(), [3, 2, 4], SmoothBlood(5.0), 12.0
    layers = (Layer("endothelium", 0.4e-6, 3e-12, 1.5), Layer("tissue", 10e-6, 1e-10, 0.2, 0.01))
    if name == "P-gp":
        walls = (
            Membrane("luminal", 0, (Passive(2e-7, 1.0, 0.7), Efflux(2e-7, 0.1))),
            Membrane("abluminal", 1, (Passive(2e-7, 0.7, 0.9),)),
        )
        return Barrier(("drug",), layers, walls), [3, 5], SmoothBlood(4.0), 10.0
    lat = Carrier(3e-7, np.full((1, 1, 1), 0.3), 1.0, 0.2)
    enzyme = MichaelisMenten(0.3, 0.2, (None,))
    layers = (Layer("endothelium", 0.4e-6, 3e-12, 1.5, reactions=(enzyme,)), layers[1])
    walls = (Membrane("luminal", 0, (lat, Efflux(5e-8, 0.4))), Membrane("abluminal", 1, (lat,)))
    return Barrier(("drug",), layers, walls), [3, 5], SmoothBlood(4.0), 10.0


@pytest.mark.parametrize("name", ["linear", "P-gp", "carrier and enzyme"])
def test_scipy_bdf_on_the_assembled_equations_agrees(name):
    barrier, counts, blood, t_end = _case(name)
    operator = operator_of(barrier, counts)
    nodes = operator.graph.layout["cell_node"]
    equations = _Assembled(barrier, layered_mesh(barrier.layers, counts), blood)
    n = nodes.size
    bands = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1
    theirs = solve_ivp(
        equations, (0, t_end), np.zeros(n), method="BDF", rtol=1e-9, atol=1e-13, jac_sparsity=bands, first_step=1e-6
    )
    assert theirs.success
    ours = integrate(operator, blood, t_end, rtol=1e-9).final[0, 0, nodes]
    np.testing.assert_allclose(ours, theirs.y[:, -1], rtol=1e-6)


def test_a_constant_blood_problem_agrees_at_default_tolerance():
    barrier, counts, _, t_end = _case("linear")
    operator = operator_of(barrier, counts)
    best = integrate(operator, ConstantBlood(), t_end, rtol=1e-9)
    default = integrate(operator, ConstantBlood(), t_end)
    np.testing.assert_allclose(default.final, best.final, rtol=1e-3)
