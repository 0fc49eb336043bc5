"""Tissue that differs from cell to cell: it is the layered block where nothing does, second order where something does."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.errors import InputError
from krogh.transport.block.axis import Axis, uniform_axis
from krogh.transport.block.model import assemble_block
from krogh.transport.block.multigrid import LineMultigrid
from krogh.transport.block.system import BlockSystem
from krogh.transport.block.uneven import TissueMaps, even_maps, layered
from krogh.transport.block.uneven_system import UnevenSystem
from krogh.transport.block.volumes import Region, ball, from_function, from_volume
from krogh.transport.integrate import integrate
from krogh.transport.mesh import graded_widths

from ._cases import SmoothBlood, slopes, three_layers
from .test_block import _D, _THICK, _Doses, _patchy, _random_block, _x_part


def _maps(model, rng, contrast=1e6, kind=0):
    """Return maps on the last layer and its cells: `kind` 0 two values, 1 a gradient, 2 any value between."""
    even, last = even_maps(model), model.mesh.layer == model.mesh.layer.max()

    def draw(low, high, shape):
        share = rng.random(shape)
        share = np.round(share) if kind == 0 else np.sort(share, axis=-1) if kind == 1 else share
        return low * (high / low) ** share

    found = {name: getattr(even, name).copy() for name in ("diffusivity", "storage", "uptake")}
    root = np.sqrt(contrast)
    for name, (low, high) in {"diffusivity": (1 / root, root), "storage": (0.1, 10.0), "uptake": (1e-9, 1e-2)}.items():
        found[name][:, last] = draw(low, high, found[name][:, last].shape)
    leaves = ((name, [draw(0.1, 10.0, x.shape) for x in getattr(even, name)]) for name in ("leaf_storage", "leaf_exchange"))
    return TissueMaps(**found, **{name: tuple(values) for name, values in leaves})


def _forming():
    """Return two species, one formed from the other, that compete for a carrier."""
    shape = np.array([0.05, 0.0])[None, :, None], np.array([0.4, np.inf])[None, :, None]
    forms = MichaelisMenten(*shape, (1, None), name="AADC")
    carrier = Carrier(np.array([3e-8, 2e-8])[None, :, None], np.array([0.5, 0.2])[None, :, None], 1.0, 0.2, name="LAT1")
    layers = (Layer("endothelium", 4e-7, 3e-11, 1.5), Layer("interstitium", 2e-5, 1e-10, 0.2, 1e-3, reactions=(forms,)))
    walls = (Membrane("luminal", 0, (Passive(1e-7), carrier)), Membrane("abluminal", 1, (Passive(5e-8), carrier)))
    return Barrier(("levodopa", "dopamine"), layers, walls, cells=(CellCompartment("neuron", 1, 0.8, 0.05, reactions=(forms,)),))


# -- against the direct path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("barrier", "settings"), [(_patchy(6, 5), {"turnover_per_s": 0.8}), (three_layers(), {}), (_forming(), {})],
    ids=["patchy", "linear", "forming"],
)  # fmt: skip
def test_both_paths_agree_where_the_tissue_is_layered(barrier, settings):
    model = assemble_block(barrier, 24, uniform_axis(6e-6, 6), Axis(1e-6 * np.array([1.0, 2.0, 1.5, 0.7, 1.0])), **settings)
    direct, iterative = (
        BlockSystem(model, tolerance=1e-13),
        UnevenSystem(model, even_maps(model), tolerance=1e-13),
    )
    blood = SmoothBlood(2.0, 4.0, shape=(1, len(barrier.species)))
    rng = np.random.default_rng(0)
    u = rng.random(direct.shape)
    (f, rows), (g, own) = direct.start(u, blood.free(1.0)), iterative.start(u, blood.free(1.0))
    np.testing.assert_allclose(g, f, rtol=0, atol=1e-14 * np.abs(f).max())
    np.testing.assert_allclose(own, rows, rtol=0, atol=1e-13 * np.abs(rows).max())
    assert iterative.stability_limit_s() == pytest.approx(direct.stability_limit_s(), rel=1e-12)
    one, two = (integrate(s, blood, 4.0, method="esdirk43", step_s=0.5) for s in (direct, iterative))
    np.testing.assert_allclose(two.final, one.final, rtol=0, atol=1e-10 * one.final.max())
    np.testing.assert_allclose(two.ledger[-1], one.ledger[-1], rtol=0, atol=1e-10 * np.abs(one.ledger[-1]).max())


def test_maps_that_are_the_same_over_planes_become_layers():
    model = assemble_block(_patchy(4, 4), 24, uniform_axis(4e-6, 4), uniform_axis(4e-6, 4), turnover_per_s=0.8)
    maps = _maps(model, np.random.default_rng(1), contrast=100.0)
    flat = TissueMaps(
        *(np.repeat(x[:, :, :1], 16, axis=2) for x in (maps.diffusivity, maps.storage, maps.uptake)),
        *(tuple(np.repeat(x[:, :, :1], 16, axis=2) for x in y) for y in (maps.leaf_storage, maps.leaf_exchange)),
    )
    assert flat.uniform
    assert not maps.uniform
    direct, iterative = BlockSystem(layered(model, flat), tolerance=1e-13), UnevenSystem(model, flat, tolerance=1e-13)
    r, blood = direct.capacity * np.random.default_rng(2).random(direct.shape), np.array([[0.7]])
    one, two = (s.stage(3.0, r, np.zeros(s.shape), blood) for s in (direct, iterative))
    np.testing.assert_allclose(two.u, one.u, rtol=0, atol=1e-10 * one.u.max())


def test_a_stage_equals_a_dense_factorisation():
    model = assemble_block(_linear_trapped(), 12, uniform_axis(4e-6, 4), uniform_axis(3e-6, 3))
    system = UnevenSystem(model, _maps(model, np.random.default_rng(3), kind=2), tolerance=1e-12)
    n, blood, none = system.shape[-1], np.array([[0.8]]), np.zeros((1, 1))
    jacobian = np.stack([system.start(e.reshape(system.shape), none)[0].ravel() for e in np.eye(n)], axis=1)
    source = system.start(np.zeros(system.shape), blood)[0].ravel()
    r = system.capacity * np.random.default_rng(4).random(system.shape)
    for gh in (1e-3, 1.0, 1e3):
        got = system.stage(gh, r, np.zeros(system.shape), blood)
        want = np.linalg.solve(np.diag(system.capacity.ravel()) - gh * jacobian, r.ravel() + gh * source)
        np.testing.assert_allclose(got.u.ravel(), want, rtol=0, atol=1e-9 * want.max())


@pytest.mark.parametrize("shape", [(9, 5, 7), (6, 1, 8), (7, 6, 1), (5, 8, 4)])
def test_a_cycle_is_symmetric_positive_and_reduces_the_error(shape):
    rng = np.random.default_rng(5)
    tx, ty, tz = (10 ** rng.uniform(-2, 2, shape) for _ in range(3))
    tx[0], ty[:, 0], tz[:, :, 0] = 0, 0, 0
    mass, upper = 10 ** rng.uniform(-6, 0, shape), np.zeros(shape)
    upper[:-1] = tx[1:]
    levels = LineMultigrid.levels_of(ty, tz, *(rng.uniform(1, 2, n) for n in shape[1:]))
    cycle = LineMultigrid(levels, 1.0, mass + tx + upper, tx, upper)

    def apply(u):
        out = mass * u
        for axis, t in enumerate((tx, ty, tz)):
            flow = np.take(t, range(1, shape[axis]), axis) * np.diff(u, axis=axis)
            pad = [(0, 0)] * 3
            pad[axis] = (1, 1)
            out -= np.diff(np.pad(flow, pad), axis=axis)
        return out

    a, b = rng.normal(size=(2, *shape))
    one, two = (float(np.vdot(x, cycle(y))) for x, y in ((a, b), (b, a)))
    size = np.sqrt(np.vdot(a, cycle(a)) * np.vdot(b, cycle(b)))
    assert size > 0.0
    assert abs(one - two) <= 1e-4 * size
    error = a.copy()
    for _ in range(8):
        error -= cycle(apply(error))
    assert np.vdot(error, apply(error)) <= 0.05 * np.vdot(a, apply(a))


def _linear_trapped():
    walls = tuple(Membrane(n, i, (Passive(p, 0.7, 0.9),)) for i, (n, p) in enumerate((("luminal", 1e-7), ("abluminal", 3e-7))))
    return Barrier(("drug",), three_layers().layers, walls, cells=(CellCompartment("neuron", 2, 0.8, 0.05, 1.3),))


# -- order in space ------------------------------------------------------------------------------------------------------------

_WIDTH, _ENZYME, _BLOOD = 4e-6, (2.0, 0.4), 2.5
_LONG = sum(_THICK)


def _factor(x, y, z):
    """Return a smooth factor on D with its derivatives along x, y and z."""
    w = np.pi / _WIDTH
    a, b, c = 1.1 * np.pi * x / _LONG, 1.3 * w * y, 0.8 * w * z
    wave = 0.6 * np.sin(a) * np.cos(b) * np.sin(c + 0.5)
    m = np.exp(wave)
    by_x = 0.6 * 1.1 * np.pi / _LONG * np.cos(a) * np.cos(b) * np.sin(c + 0.5)
    by_y = -0.6 * 1.3 * w * np.sin(a) * np.sin(b) * np.sin(c + 0.5)
    by_z = 0.6 * 0.8 * w * np.sin(a) * np.cos(b) * np.cos(c + 0.5)
    return m, m * by_x, m * by_y, m * by_z


def _manufactured_error(n):
    """Return the error of a steady field with D(x, y, z), pumps, a trap and an enzyme, on graded meshes."""
    y, z = Axis(graded_widths(_WIDTH, n, ratio=3.0)), Axis(graded_widths(_WIDTH, n, ratio=2.0))
    w = np.pi / _WIDTH
    yy, zz = y.center_m[:, None], z.center_m[None, :]
    wave = 0.3 * np.cos(w * yy) * np.cos(2 * w * zz)

    def membrane(name, face, layer, x, before, pump, trap):
        f, slope, _ = _x_part(layer, x)
        after = (1 + wave) * f
        flux = -_D[layer] * _factor(x, yy, zz)[0] * (1 + wave) * slope + pump * after / (0.5 + after)
        p = flux / (before - trap * after)
        assert np.all(p > 0)
        return Membrane(name, face, (Passive(p.reshape(1, 1, -1), 1.0, trap), Efflux(pump, 0.5)))

    law = MichaelisMenten(*_ENZYME, (None,))
    layers = (Layer("endothelium", _THICK[0], _D[0], 1.7, 0.3, (law,)), Layer("tissue", _THICK[1], _D[1], 0.4, 0.1))
    walls = (
        membrane("luminal", 0, 0, 0.0, _BLOOD, 3e-6, 0.8),
        membrane("abluminal", 1, 1, _THICK[0], (1 + wave) * _x_part(0, _THICK[0])[0], 1e-6, 0.9),
    )
    model = assemble_block(Barrier(("drug",), layers, walls), (2 * n, 2 * n), y, z, ratio=4.0)
    x, layer = model.mesh.center_m[:, None, None], model.mesh.layer[:, None, None]
    m, *gradient = _factor(x, yy, zz)
    even = even_maps(model)
    uptake = 0.2 * (1 + m)
    maps = TissueMaps(m.reshape(1, 2 * n * 2, -1), 1 / m.reshape(1, 2 * n * 2, -1), uptake.reshape(even.uptake.shape))
    system = UnevenSystem(model, maps, tolerance=1e-11)
    f, g, h = (np.where(layer == 0, a, b) for a, b in zip(_x_part(0, x), _x_part(1, x), strict=True))
    exact = f * (1 + wave)
    by_y, by_z = -0.3 * w * np.sin(w * yy) * np.cos(2 * w * zz), -0.6 * w * np.cos(w * yy) * np.sin(2 * w * zz)
    spread = m * (h * (1 + wave) - f * 5 * w**2 * wave)
    spread += gradient[0] * g * (1 + wave) + gradient[1] * f * by_y + gradient[2] * f * by_z
    d, loss = np.array(_D)[layer], np.array([0.3, 0.1])[layer] + uptake
    taken = np.where(layer == 0, _ENZYME[0] * exact / (1 + exact / _ENZYME[1]), 0.0)
    volume = model.mesh.width_m[:, None, None] * model.area_m2
    source = ((loss * exact - d * spread + taken) * volume).reshape(1, 1, -1)
    u, gh = exact.reshape(1, 1, -1), 1e6
    result = system.stage(gh, system.capacity * u + gh * source, u, np.array([[_BLOOD]]))
    assert result.converged
    error = (result.u - u).reshape(volume.shape)
    return float(np.sqrt((error**2 * volume).sum() / volume.sum())), float(np.abs(error).max())


def test_order_two_in_space_with_a_diffusivity_that_varies():
    errors = np.array([_manufactured_error(n) for n in (8, 16, 32)])
    assert abs(slopes(errors[:, 0])[-1] - 2.0) <= 0.1, errors
    assert abs(slopes(errors[:, 1])[-1] - 2.0) <= 0.15, errors


# -- mass and robustness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_mass_is_kept_over_a_day_at_any_tolerance(rtol):
    model = assemble_block(_patchy(4, 4), 20, uniform_axis(4e-6, 4), uniform_axis(4e-6, 4), turnover_per_s=0.8)
    system = UnevenSystem(model, _maps(model, np.random.default_rng(7), kind=2), tolerance=1e-2 * rtol)
    run = integrate(system, _Doses(), 86400.0, rtol=rtol)
    signs = np.array([sign for _, sign in system.ledger_names])
    last = run.ledger[-1][0, 0]
    assert abs(float((system.capacity * run.final).sum()) - last @ signs) <= 1e-13 * (last * (signs > 0)).sum()
    assert run.worst_defect <= 1e-13
    assert run.most_negative >= -1e-14


def check_random_case(rng, case, side=6):
    """Solve one random stage: contrast to 1e6, patches x1000, dt D/h2 from 1e-3 to 1e9; check balance, sign and repeatability."""
    base = _random_block(rng, case, side)
    model = base.model
    system = UnevenSystem(model, _maps(model, rng, 10 ** rng.uniform(0, 6), case % 3), tolerance=1e-7)
    fastest = float((model.lateral / model.mass).max() / min(model.mesh.width_m.min(), model.y.width_m.min()) ** 2)
    gh = 10 ** rng.uniform(-3, 9) / fastest if case >= 2 else (1e-3, 1e9)[case] / fastest
    start = (rng.random(system.shape) < 0.5) * 10 ** rng.uniform(-6, 0)
    blood, r = np.array([[10 ** rng.uniform(-6, 1)]]), system.capacity * start
    stage = system.stage(gh, r, start, blood)
    work = system.work
    assert stage.converged, case
    signs = np.array([sign for _, sign in system.ledger_names])
    gained = float((system.capacity * (stage.u - start)).sum())
    through = gh * np.abs(stage.flows[0, 0] * signs).sum() + float(np.abs(r).sum())
    assert abs(gained - gh * stage.flows[0, 0] @ signs) <= 1e-13 * through, case
    assert stage.u.min() >= -1e-5 * stage.u.max(), case
    again = system.stage(gh, r, stage.u, blood)
    assert np.abs(again.u - stage.u).max() <= 1e-4 * stage.u.max(), case
    return work


def test_a_stage_converges_for_any_step_and_contrast():
    rng = np.random.default_rng(31)
    for case in range(200):
        check_random_case(rng, case)


def test_the_explicit_method_agrees():
    model = assemble_block(_patchy(4, 3, factor=10.0), (4, 4, 4, 6), uniform_axis(4e-6, 4), uniform_axis(3e-6, 3),
                           turnover_per_s=0.8, ratio=1.0)  # fmt: skip
    system = UnevenSystem(model, _maps(model, np.random.default_rng(5), contrast=4.0, kind=2), tolerance=1e-10)
    t_end = 400 * system.stability_limit_s()
    slow = integrate(system, SmoothBlood(t_end / 5), t_end, method="explicit").final
    fast = integrate(system, SmoothBlood(t_end / 5), t_end, rtol=1e-7).final
    assert np.abs(slow - fast).max() <= 5e-3 * fast.max()


# -- drawing -------------------------------------------------------------------------------------------------------------------


def _region():
    return Region(np.array([0.0, 1e-6, 3e-6, 4e-6]), Axis(np.array([2e-6, 1e-6, 1e-6])), uniform_axis(4e-6, 8))


def test_volumes_keep_their_mean_and_balls_their_size():
    region = _region()
    volume = np.diff(region.edge_m)[:, None, None] * region.y.width_m[:, None] * region.z.width_m
    image = np.random.default_rng(0).random((5, 7, 3))
    drawn = from_volume(image, region)
    assert (drawn * volume).sum() / volume.sum() == pytest.approx(image.mean(), rel=1e-12)
    assert drawn.min() >= image.min()
    np.testing.assert_allclose(from_volume(np.full((1, 1, 1), 3.0), region), 3.0)
    linear = from_function(lambda x, y, z: x + 2 * y + 3 * z, region)
    centers = [0.5 * (e[1:] + e[:-1]) for e in region.edges]
    np.testing.assert_allclose(linear, centers[0][:, None, None] + 2 * centers[1][:, None] + 3 * centers[2], rtol=1e-12)
    held = ((ball(region, (2e-6, 2e-6, 2e-6), 1.5e-6, 1.0, 0.0)) * volume).sum()
    assert held == pytest.approx(4 / 3 * np.pi * 1.5e-6**3, rel=0.1)


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (lambda: from_volume(np.ones((2, 2)), _region()), "three dimensions"),
        (lambda: from_volume(np.full((2, 2, 2), np.nan), _region()), "8 values"),
        (lambda: ball(_region(), (0, 0, 9e-6), 1e-6, 1.0, 0.0), "within"),
        (lambda: ball(_region(), (0, 0, 0), 0.0, 1.0, 0.0), "radius"),
        (lambda: TissueMaps(-np.ones((1, 2, 3)), np.ones((1, 2, 3)), np.zeros((1, 2, 3))), "-1 in 6 cells"),
        (lambda: TissueMaps(np.ones((1, 2, 3)), np.ones((1, 2, 3)), np.full((1, 2, 3), np.nan)), "uptake"),
        (lambda: UnevenSystem(assemble_block(three_layers(), 12, uniform_axis(4e-6, 4), uniform_axis(3e-6, 3)),
                              TissueMaps(np.ones((1, 2, 3)), np.ones((1, 2, 3)), np.zeros((1, 2, 3)))), "shape"),
    ],
)  # fmt: skip
def test_maps_that_are_none_are_refused(action, word):
    with pytest.raises(InputError, match=word):
        action()
