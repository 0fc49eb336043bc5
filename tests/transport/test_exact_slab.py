"""The slab against solutions in closed form: series of resistances, eigen-expansion, Laplace transform, limits of P."""

import numpy as np
import pytest
from scipy.optimize import brentq

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.blood.pk import constant_terms, stack
from krogh.transport.integrate import integrate

from ._cases import ConstantBlood, SmoothBlood, operator_of, slopes, steady, three_layers

ONE = np.ones((1, 1))


def _with_sink(layers, membranes):
    """Return the barrier with a last layer of no resistance that takes everything in (one cell of it)."""
    sink = Layer("sink", 1e-6, 1e3, 1.0, loss_per_s=1e6)
    return Barrier(("drug",), (*layers, sink), tuple(membranes))


def _sink_resistance():
    return 0.5e-6 / 1e3 + 1.0 / (1e6 * 1e-6)


def _into_sink(operator, u):
    node = operator.graph.media["sink"][0]
    return float(operator.graph.loss[0, 0, node] * u[0, 0, node])


@pytest.mark.parametrize("cells", [[4, 4, 4, 1], [9, 5, 30, 1], [32, 16, 64, 1]])
@pytest.mark.parametrize("p", [1e-10, 5e-8, 1e-4])
def test_steady_flux_through_membranes_and_layers_is_the_series_formula(p, cells):
    three = three_layers(luminal=p, loss=0.0)
    operator = operator_of(_with_sink(three.layers, three.membranes), cells)
    resistance = 1 / p + 1 / 8e-8 + 1 / 5e-7 + sum(x.thickness_m / x.diffusivity_m2_s for x in three.layers) + _sink_resistance()
    assert _into_sink(operator, steady(operator, ONE)) == pytest.approx(1 / resistance, rel=1e-10)


@pytest.mark.parametrize("p", [1e-9, 5e-8, 1e-5])
def test_marching_for_long_ends_in_that_steady_state(p):
    three = three_layers(luminal=p, loss=0.0)
    operator = operator_of(_with_sink(three.layers, three.membranes), [8, 8, 16, 1])
    run = integrate(operator, ConstantBlood(), 1e7)
    resistance = 1 / p + 1 / 8e-8 + 1 / 5e-7 + sum(x.thickness_m / x.diffusivity_m2_s for x in three.layers) + _sink_resistance()
    assert _into_sink(operator, run.final) == pytest.approx(1 / resistance, rel=1e-10)


def test_steady_profile_through_piecewise_constant_media_is_exact_on_any_mesh():
    layers = (Layer("a", 1e-6, 2e-11, 5.0), Layer("b", 3e-6, 9e-10, 0.2), Layer("c", 2e-6, 4e-10, 1.0))
    operator = operator_of(_with_sink(layers, []), [5, 7, 4, 1], ratio=20.0)
    u = steady(operator, ONE)
    total = sum(x.thickness_m / x.diffusivity_m2_s for x in layers) + _sink_resistance()
    passed, mean = 0.0, {}
    for layer in layers:
        here = layer.thickness_m / layer.diffusivity_m2_s
        mean[layer.name] = 1 - (passed + here / 2) / total
        passed += here
    for name, value in mean.items():
        nodes = operator.graph.media[name]
        width = operator.graph.capacity[0, 0, nodes]
        assert u[0, 0, nodes] @ width / width.sum() == pytest.approx(value, rel=1e-12)


def test_steady_flux_through_pump_and_carrier_is_the_root_of_one_equation():
    pump, carrier = Efflux(6e-8, 0.2), Carrier(5e-8, np.full((1, 1, 1), 0.4), 1.5, 0.3)
    layers = (Layer("endothelium", 0.3e-6, 3e-11, 2.0), Layer("tissue", 20e-6, 1e-10, 0.3))
    walls = (Membrane("luminal", 0, (Passive(1e-7), pump)), Membrane("abluminal", 1, (Passive(2e-8, 0.8, 1.1), carrier)))
    operator = operator_of(_with_sink(layers, walls), [6, 12, 1])
    blood = 0.7

    def deficit(j):
        # walk from the sink to the blood with the flux j: every law is written out again here
        u4 = j * (_sink_resistance() + 20e-6 / 1e-10)
        outward = 5e-8 * (u4 / 0.4) / (1 + 0.3 + u4 / 0.4) + 2e-8 * 1.1 * u4
        u3 = brentq(
            lambda x: 2e-8 * 0.8 * x + 5e-8 * (x / 0.4) / (1 + 1.5 + x / 0.4) - outward - j, 0.0, 1e3, xtol=1e-300, rtol=1e-15
        )
        u2 = u3 + j * 0.3e-6 / 3e-11
        return 1e-7 * (blood - u2) - 6e-8 * u2 / (0.2 + u2) - j

    exact = brentq(deficit, 0.0, 1e-7 * blood, xtol=1e-300, rtol=1e-15)
    assert _into_sink(operator, steady(operator, ONE * blood)) == pytest.approx(exact, rel=1e-10)


# -- one layer behind a membrane, closed at the far end, constant blood: eigenfunctions ---

_L, _D, _KAPPA = 10e-6, 1e-10, 0.4


def _roots(biot, count=400):
    """Return the roots of mu tan(mu) = Bi; mu = (k + 1/2) pi without a membrane."""
    k = np.arange(count)
    if np.isinf(biot):
        return (k + 0.5) * np.pi
    return np.array(
        [brentq(lambda m: m * np.sin(m) - biot * np.cos(m), i * np.pi + 1e-12, (i + 0.5) * np.pi, xtol=1e-14) for i in k]
    )


def _averages(edge, t, p):
    """Return the exact cell averages for blood 1 from t = 0 on."""
    mu = _roots(p * _L / _D)
    weight = 4 * np.sin(mu) / (2 * mu + np.sin(2 * mu)) * np.exp(-(mu**2) * _D * t / (_KAPPA * _L**2))
    integral = np.sin(np.outer(1 - edge / _L, mu)) / mu
    return 1 - ((integral[:-1] - integral[1:]) / np.diff(edge / _L)[:, None]) @ weight


@pytest.mark.parametrize("p", [1e-6, 2e-5, np.inf])
def test_transient_behind_a_membrane_is_the_eigen_expansion(p):
    errors = []
    barrier = Barrier(("drug",), (Layer("tissue", _L, _D, _KAPPA),), () if np.isinf(p) else (Membrane("wall", 0, (Passive(p),)),))
    t = 0.1
    for cells in (256, 512, 1024):
        operator = operator_of(barrier, cells, ratio=4.0)
        run = integrate(operator, stack([[constant_terms(1.0)]]), t, rtol=1e-8)
        nodes = operator.graph.layout["cell_node"]
        edge = np.concatenate([[0.0], np.cumsum(operator.graph.capacity[0, 0, nodes] / _KAPPA)])
        errors.append(np.abs(run.final[0, 0, nodes] - _averages(edge, t, p)).max())
    assert errors[-1] <= 1e-6
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


# -- three layers behind three membranes: Laplace transform ------------------------------------------------------------


def _talbot(barrier, where, t, tau):
    """Return u at the points `where` (layer, distance from its left face) by transfer matrices in Laplace space."""
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 30
    wall = {m.face: m.routes[0].permeability_m_s for m in barrier.membranes}

    def transform(s, layer, x):
        u, j, found = mp.mpf(1), mp.mpf(0), None
        for i in reversed(range(len(barrier.layers))):
            sheet = barrier.layers[i]
            d = mp.mpf(sheet.diffusivity_m2_s)
            m = mp.sqrt((sheet.capacity * s + sheet.loss_per_s) / d)

            def left_of(distance, u=u, j=j, m=m, d=d):
                ch, sh = mp.cosh(m * distance), mp.sinh(m * distance)
                return u * ch + j * sh / (d * m), j * ch + u * d * m * sh

            if i == layer:
                found = left_of(mp.mpf(sheet.thickness_m) - mp.mpf(x))[0]
            u, j = left_of(mp.mpf(sheet.thickness_m))
            u += j / mp.mpf(wall[i])
        return found / u / tau / (s + mp.mpf(1) / tau) ** 2

    return np.array(
        [float(mp.invertlaplace(lambda s, a=a, b=b: transform(s, a, b), t, method="talbot", degree=24)) for a, b in where]
    )


def test_three_layers_and_membranes_are_the_laplace_solution():
    # capacities multiply every rate here; loss is per volume of sheet
    barrier = three_layers()
    t, tau = 8.0, 5.0
    centers = [(0, 0.2e-6), (1, 0.05e-6), (2, 2e-6), (2, 10e-6), (2, 18e-6)]
    exact = None
    errors = []
    for m in (1, 2, 4, 8, 16):
        # odd counts put a cell centre in the middle; the others are met by taking the two cells beside a face
        counts = [5 * m, 5 * m, 10 * m]
        operator = operator_of(barrier, counts, ratio=1.0)
        if exact is None:
            exact = _talbot(barrier, centers, t, tau)
        run = integrate(operator, SmoothBlood(tau), t, method="esdirk43", step_s=t / 256)
        value = [_at(operator, run.final, barrier, layer, x) for layer, x in centers]
        errors.append(float(np.abs(np.array(value) / exact - 1).max()))
    assert errors[-1] <= 1e-6
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


def _at(operator, u, barrier, layer, x):
    """Return u at `x` in a layer of equal cells by the cubic through the four nearest centres."""
    nodes = operator.graph.media[barrier.layers[layer].name]
    h = barrier.layers[layer].thickness_m / nodes.size
    first = int(np.clip(np.floor(x / h - 1.5), 0, nodes.size - 4))
    at = (np.arange(first, first + 4) + 0.5) * h
    weights = [np.prod([(x - at[j]) / (at[i] - at[j]) for j in range(4) if j != i]) for i in range(4)]
    # a cell average is the value at the centre up to h^2 / 24 of the curvature, part of the second-order error
    return float(np.dot(weights, u[0, 0, nodes[first : first + 4]]))


# -- equilibrium and limits ------------------------------------------------------------


def test_two_layers_share_by_their_capacities_at_equilibrium():
    layers = (Layer("a", 1e-6, 1e-11, 7.0), Layer("b", 2e-6, 3e-10, 0.3))
    for walls in ((), (Membrane("wall", 0, (Passive(1e-6),)), Membrane("inner", 1, (Passive(3e-7),)))):
        operator = operator_of(Barrier(("drug",), layers, walls), 40)
        u = steady(operator, ONE)
        np.testing.assert_allclose(u, 1.0, rtol=1e-12)
        amount = {n: float((operator.graph.capacity * u)[0, 0, operator.graph.media[n]].sum()) for n in "ab"}
        assert amount["a"] / amount["b"] == pytest.approx(7.0 * 1e-6 / (0.3 * 2e-6), rel=1e-12)


def test_ion_trapping_shifts_the_equilibrium_by_the_permeant_fractions():
    layers = (Layer("cell", 1e-6, 1e-11, 2.0), Layer("fluid", 2e-6, 3e-10, 0.3))
    walls = (Membrane("in", 0, (Passive(1e-6, 1.0, 0.4),)), Membrane("out", 1, (Passive(1e-6, 0.4, 0.8),)))
    neurons = CellCompartment("neuron", 1, 0.7, 0.2, 2.5)
    operator = operator_of(Barrier(("drug",), layers, walls, cells=(neurons,)), 20)
    u = steady(operator, ONE)
    for name, level in (("cell", 1 / 0.4), ("fluid", 1 / 0.8), ("neuron", 2.5 / 0.8)):
        np.testing.assert_allclose(u[0, 0, operator.graph.media[name]], level, rtol=1e-12)


def test_a_membrane_of_infinite_permeability_is_no_membrane():
    layers = (Layer("a", 1e-6, 1e-11, 3.0), Layer("b", 5e-6, 1e-10, 0.5, loss_per_s=0.01))
    free = operator_of(Barrier(("drug",), layers), 60)
    step = {"method": "esdirk43", "step_s": 0.02}
    want = integrate(free, SmoothBlood(0.3), 1.0, **step).final[0, 0, free.graph.layout["cell_node"]]
    misses = []
    for p in (1e0, 1e2, 1e3):
        walls = tuple(Membrane(str(i), i, (Passive(p),)) for i in range(2))
        operator = operator_of(Barrier(("drug",), layers, walls), 60)
        got = integrate(operator, SmoothBlood(0.3), 1.0, **step).final[0, 0, operator.graph.layout["cell_node"]]
        misses.append(np.abs(got / want - 1).max())
    assert misses[-1] <= 2e-8
    assert misses[0] / misses[1] == pytest.approx(100, rel=0.05)  # first order in 1/P


def test_a_closed_membrane_lets_nothing_through():
    barrier = three_layers(abluminal=0.0)
    operator = operator_of(barrier, 24)
    run = integrate(operator, SmoothBlood(), 50.0)
    assert np.all(run.final[0, 0, operator.graph.media["interstitium"]] == 0)
    closed = operator_of(three_layers(luminal=0.0), 24)
    assert np.all(integrate(closed, SmoothBlood(), 50.0).final == 0)


def test_little_permeability_lets_little_through_in_proportion():
    taken = []
    for p in (1e-13, 1e-12):
        operator = operator_of(three_layers(luminal=p), 24)
        run = integrate(operator, SmoothBlood(), 20.0, rtol=1e-8)
        taken.append(float((operator.graph.capacity * run.final).sum()))
    assert taken[1] / taken[0] == pytest.approx(10, rel=1e-4)


def test_a_bypass_and_a_membrane_in_parallel_add_up():
    # closed cells, so all goes past them: P = leak in series with what lies behind
    layers = (Layer("endothelium", 0.3e-6, 1e-11), Layer("basement", 0.1e-6, 1e-10))
    from krogh.barrier.model import Bypass

    sink = Layer("sink", 1e-6, 1e3, 1.0, loss_per_s=1e6)
    walls = (Membrane("luminal", 0, (Passive(0.0),)), Membrane("abluminal", 1, (Passive(0.0),)))
    operator = operator_of(Barrier(("drug",), (*layers, sink), walls, (Bypass(Paracellular(3e-8), 1),)), [4, 4, 1])
    u = np.zeros(operator.graph.shape)
    u = integrate(operator, ConstantBlood(), 1e6).final
    assert _into_sink(operator, u) == pytest.approx(1 / (1 / 3e-8 + 0.1e-6 / 1e-10 + _sink_resistance()), rel=1e-10)
