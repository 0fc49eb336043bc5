"""Limits that are stated hold: the explicit step, ringing, very large steps, settings out of range."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.blood.pk import constant_terms, stack
from krogh.errors import ConvergenceError, InputError
from krogh.transport.integrate import integrate
from krogh.transport.linear import ChainSolver
from krogh.transport.mesh import graded_widths, layered_mesh
from krogh.transport.newton import solve_stage
from krogh.transport.steppers.stability import stability_limit_s

from ._cases import ConstantBlood, SmoothBlood, operator_of, saturable, three_layers


def _spectral_limit(operator):
    """Return 2 / the largest eigenvalue of the cells' equations, by elimination of the faces."""
    _, _, n = operator.graph.shape
    u, blood = np.full(operator.graph.shape, 1e-9), np.zeros((1, 1))
    jacobian = (
        np.array([operator.rate(u + e, blood)[0, 0] - operator.rate(u, blood)[0, 0] for e in np.eye(n)[:, None, None] * 1e-3]).T
        / 1e-3
    )
    cells = operator.graph.capacity[0, 0] > 0
    faces = ~cells
    full = jacobian[np.ix_(cells, cells)]
    if faces.any():
        full = full - jacobian[np.ix_(cells, faces)] @ np.linalg.solve(
            jacobian[np.ix_(faces, faces)], jacobian[np.ix_(faces, cells)]
        )
    return 2 / np.abs(np.linalg.eigvals(full / operator.graph.capacity[0, 0, cells][:, None])).max()


@pytest.mark.parametrize(
    "barrier", [three_layers(), Barrier(("drug",), (Layer("tissue", 1e-5, 1e-10, 0.3),))], ids=["membranes", "open"]
)
def test_explicit_is_stable_at_its_limit_and_refused_beyond(barrier):
    operator = operator_of(barrier, [6] * len(barrier.layers), ratio=1.0)
    limit = stability_limit_s(operator)
    assert 0.3 * _spectral_limit(operator) <= limit <= _spectral_limit(operator)
    run = integrate(operator, ConstantBlood(), 3000 * limit, method="explicit", step_s=limit)
    assert float(run.final.min()) >= -1e-12
    assert float(run.final.max()) <= 1 + 1e-12
    with pytest.raises(InputError, match="stability limit"):
        integrate(operator, ConstantBlood(), 1.0, method="explicit", step_s=1.001 * limit)


def test_explicit_refuses_a_run_without_end():
    operator = operator_of(three_layers(), 60)
    with pytest.raises(InputError, match="esdirk43"):
        integrate(operator, ConstantBlood(), 86400.0, method="explicit")


def test_explicit_agrees_with_the_default():
    operator = operator_of(three_layers(), [4, 4, 6], ratio=1.0)
    t = 2000 * stability_limit_s(operator)
    blood = SmoothBlood(t / 5)
    a = integrate(operator, blood, t, method="explicit").final
    b = integrate(operator, blood, t, rtol=1e-7).final
    assert np.abs(a - b).max() <= 2e-3 * np.abs(b).max()


def _wiggles(method):
    operator = operator_of(Barrier(("drug",), (Layer("tissue", 1e-5, 1e-10, 0.3),)), [24], ratio=1.0)
    run = integrate(operator, ConstantBlood(), 3.0, method=method, step_s=0.3)
    first = np.array(run.u)[:, 0, 0, 0]
    return float(-np.minimum(np.diff(first), 0).min())


def test_crank_nicolson_rings_after_a_jump_and_the_others_do_not():
    assert _wiggles("crank-nicolson") > 0.05
    assert _wiggles("backward-euler") <= 1e-12


def test_an_implicit_stage_converges_for_any_step():
    rng = np.random.default_rng(30)
    iterations = []
    for case in range(200):
        layers, membranes = [], []
        for i in range(int(rng.integers(1, 5))):
            enzyme = (MichaelisMenten(10 ** rng.uniform(-4, 1), 10 ** rng.uniform(-4, 1), (None,)),) if rng.random() < 0.3 else ()
            size, d = 10 ** rng.uniform(-7.3, -4.3), 10 ** rng.uniform(-12, -9)
            layers.append(Layer(str(i), size, d, 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(-6, 0), enzyme))
            routes = [Passive(10 ** rng.uniform(-11, -4), 1.0, rng.uniform(0.1, 2))]
            if rng.random() < 0.7:
                routes.append(Efflux(10 ** rng.uniform(-11, -5), 10 ** rng.uniform(-5, 1)))
            if rng.random() < 0.5:
                routes.append(
                    Carrier(
                        10 ** rng.uniform(-11, -5),
                        np.full((1, 1, 1), 10 ** rng.uniform(-5, 1)),
                        rng.uniform(0, 5),
                        rng.uniform(0, 5),
                    )
                )
            membranes.append(Membrane(str(i), i, tuple(routes)))
        cells = (CellCompartment("neuron", len(layers) - 1, 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-5, 2)),)
        operator = operator_of(Barrier(("drug",), tuple(layers), tuple(membranes), cells=cells), 6 * len(layers), ratio=8.0)
        widths = layered_mesh(layers, 6 * len(layers), ratio=8.0).width_m
        fastest = max(layer.diffusivity_m2_s for layer in layers) / widths.min() ** 2
        step = 10 ** rng.uniform(-3, 9) / fastest if case >= 2 else (1e-3, 1e9)[case] / fastest
        capacity = operator.graph.capacity
        start = np.where(capacity > 0, rng.random() < 0.5, 0.0) * 10 ** rng.uniform(-6, 0)
        blood = np.array([[10 ** rng.uniform(-6, 1)]])
        result = solve_stage(operator, ChainSolver(operator), step, capacity * start, start, blood)
        assert result.converged, case
        residual = capacity * (result.u - start) - step * operator.rate(result.u, blood)
        flow = np.abs(operator.slopes(result.u, blood).tail).max() * step + capacity.max()
        assert np.abs(residual).max() <= 1e-9 * flow * np.abs(result.u).max(), case
        assert result.u.min() >= -1e-12 * result.u.max(), case
        iterations.append(result.iterations)
    assert max(iterations) <= 30


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"method": "magic"}, "method"),
        ({"method": "backward-euler"}, "step"),
        ({"step_s": 0.0}, "step"),
        ({"step_s": float("nan")}, "step"),
        ({"rtol": 1e-12}, "rtol"),
        ({"rtol": float("nan")}, "rtol"),
    ],
)
def test_settings_out_of_range_are_refused(settings, word):
    with pytest.raises(InputError, match=word):
        integrate(operator_of(three_layers(), 12), ConstantBlood(), 1.0, **settings)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_run_of_no_length_is_refused(bad):
    with pytest.raises(InputError, match="duration"):
        integrate(operator_of(three_layers(), 12), ConstantBlood(), bad)


def test_meshes_fill_their_layers_and_bad_ones_are_refused():
    widths = graded_widths(3e-6, 17, ratio=12.0)
    assert widths.sum() == pytest.approx(3e-6, rel=1e-14)
    assert 6 < widths.max() / widths.min() <= 12
    np.testing.assert_allclose(widths, widths[::-1], rtol=1e-10)
    fine = graded_widths(3e-6, 34, ratio=12.0)
    np.testing.assert_allclose(fine.reshape(17, 2).sum(1), widths, rtol=1e-10)
    layers = three_layers().layers
    mesh = layered_mesh(layers, 60)
    assert mesh.width_m.size == 60
    for i, layer in enumerate(layers):
        assert mesh.width_m[mesh.layer == i].sum() == pytest.approx(layer.thickness_m, rel=1e-12)
    for bad in (11, [4, 4], [0, 4, 4]):
        with pytest.raises(InputError, match="cells"):
            layered_mesh(layers, bad)
    with pytest.raises(InputError, match="ratio"):
        graded_widths(1e-6, 4, ratio=0.5)


def test_kinetics_that_blow_up_end_in_an_error_of_ours():
    class Broken(Passive):
        linear = False

        def flux(self, u_blood, u_brain):
            flux = super().flux(u_blood, u_brain)
            return flux._replace(inward=flux.inward * np.nan)

    barrier = Barrier(("drug",), (Layer("tissue", 1e-5, 1e-10),), (Membrane("wall", 0, (Broken(1e-6),)),))
    with pytest.raises(ConvergenceError):
        integrate(operator_of(barrier, 8), ConstantBlood(), 1.0)


def test_progress_ends_at_one_and_reduce_keeps_what_is_asked():
    seen = []
    operator = operator_of(saturable(), 24)
    run = integrate(operator, stack([[constant_terms(0.3)]]), 10.0, reduce=lambda u: u[..., -1], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
    assert run.u[0].shape == (1, 1)
    assert run.final.shape == operator.graph.shape
