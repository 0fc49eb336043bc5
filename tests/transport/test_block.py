"""The block: it is the slab where nothing varies along the barrier, second order where something does, and it keeps mass."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.errors import InputError
from krogh.transport.block.axis import Axis, uniform_axis
from krogh.transport.block.flows import Flows
from krogh.transport.block.model import assemble_block, with_lumen
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate
from krogh.transport.mesh import graded_widths

from ._cases import ConstantBlood, SmoothBlood, operator_of, saturable, slopes, three_layers

_SIDES = Axis(np.array([1e-6, 2e-6, 1.5e-6])), uniform_axis(3e-6, 4)


def _block(barrier, cells=24, y=_SIDES[0], z=_SIDES[1], tolerance=1e-11, **settings):
    return BlockSystem(assemble_block(barrier, cells, y, z, **settings), tolerance=tolerance)


def _patchy(ny, nz, factor=1e3, seed=0):
    """Return `saturable` with a leaky spot, a pump that is missing in one corner, and a lumen in front."""
    rng = np.random.default_rng(seed)
    leak, pump = np.ones((ny, nz)), np.ones((ny, nz))
    leak[ny // 3, nz // 2] *= factor
    pump[: ny // 2, : nz // 2] = 0.0
    flat = lambda a: a.reshape(1, 1, -1)  # noqa: E731
    whole = saturable()
    luminal = Membrane("luminal", 0, (*whole.membranes[0].routes[:2], Efflux(4e-8 * flat(pump), 0.3, name="P-gp")))
    abluminal = Membrane("abluminal", 1, (Passive(1e-7 * flat(rng.uniform(0.5, 2, (ny, nz))), 0.7, 0.9),))
    barrier = Barrier(
        whole.species, whole.layers, (luminal, abluminal), (Bypass(Paracellular(2e-9 * flat(leak)), 1),), whole.cells
    )
    return with_lumen(barrier, 1.5e-6, 3e-10, 0.4)


# -- against the slab ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("barrier", [three_layers(), saturable()], ids=["linear", "saturable"])
def test_the_block_is_the_slab_where_nothing_varies_along_the_barrier(barrier):
    operator, system = operator_of(barrier, 24), _block(barrier)
    settings = {"method": "esdirk43", "step_s": 1.0}
    slab, block = (integrate(x, SmoothBlood(height=0.7), 40.0, **settings) for x in (operator, system))
    planes = system.planes_of(block.final)[0]
    layout = operator.graph.layout
    want = slab.final[0, 0, np.concatenate([layout["cell_node"], *layout["leaf_node"]])]
    np.testing.assert_allclose(planes, np.broadcast_to(want[:, None], planes.shape), rtol=0, atol=1e-11 * want.max())
    rows = {name: value for (name, _), value in zip(operator.ledger_names, slab.ledger[-1][0, 0], strict=True)}
    mine = {name: value for (name, _), value in zip(system.ledger_names, block.ledger[-1][0, 0], strict=True)}
    assert rows.keys() == mine.keys()
    for name, value in rows.items():
        assert mine[name] / system.model.area_m2.sum() == pytest.approx(value, rel=1e-9, abs=1e-30), name


def test_species_that_follow_each_other_agree_with_the_slab():
    def barrier():
        forms = MichaelisMenten(
            np.array([0.05, 0.0])[None, :, None], np.array([0.4, np.inf])[None, :, None], (1, None), name="AADC"
        )
        carrier = Carrier(np.array([3e-8, 2e-8])[None, :, None], np.array([0.5, 0.2])[None, :, None], 1.0, 0.2, name="LAT1")
        layers = (Layer("endothelium", 4e-7, 3e-11, 1.5), Layer("interstitium", 2e-5, 1e-10, 0.2, 1e-3, reactions=(forms,)))
        walls = (Membrane("luminal", 0, (Passive(1e-7), carrier)), Membrane("abluminal", 1, (Passive(5e-8), carrier)))
        cell = CellCompartment("neuron", 1, 0.8, 0.05, reactions=(forms,))
        return Barrier(("levodopa", "dopamine"), layers, walls, cells=(cell,))

    operator, system = operator_of(barrier(), 20), _block(barrier(), 20, tolerance=1e-10)
    blood = SmoothBlood(height=0.7, shape=(1, 2))
    slab, block = (integrate(x, blood, 40.0, method="esdirk43", step_s=2.0) for x in (operator, system))
    layout = operator.graph.layout
    want = slab.final[0][:, np.concatenate([layout["cell_node"], *layout["leaf_node"]])]
    np.testing.assert_allclose(system.planes_of(block.final)[:, :, 3], want, rtol=0, atol=1e-8 * want.max())
    assert block.worst_defect <= 1e-13


# -- against other solvers -----------------------------------------------------------------------------------------------------


def _matrix(system, gh):
    """Return C + gh L of a linear block cell by cell, and its right-hand side per unit of blood."""
    model = system.model
    nx, ny, nz = model.grid
    index = np.arange(nx * ny * nz).reshape(nx, ny, nz)
    size = index.size
    a = scipy.sparse.lil_matrix((size, size))
    a.setdiag(system.capacity[0, 0])
    source = np.zeros(size)
    dy, dz = model.y.width_m, model.z.width_m

    def join(i, j, conductance):
        a[i, i] += gh * conductance
        a[j, j] += gh * conductance
        a[i, j] -= gh * conductance
        a[j, i] -= gh * conductance

    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                me, area = index[i, j, k], dy[j] * dz[k]
                a[me, me] += gh * model.loss[0, i] * area
                if i + 1 < nx and model.link[0, i] > 0:
                    join(me, index[i + 1, j, k], model.link[0, i] * area)
                if j + 1 < ny:
                    join(me, index[i, j + 1, k], model.lateral[0, i] * dz[k] * 2 / (dy[j] + dy[j + 1]))
                if k + 1 < nz:
                    join(me, index[i, j, k + 1], model.lateral[0, i] * dy[j] * 2 / (dz[k] + dz[k + 1]))
    for law in model.laws:
        p = np.broadcast_to(law.routes[0].permeability_m_s, (1, 1, ny * nz)).reshape(ny, nz)
        cell, after = model.port_cell[law.head], model.port_half[law.head, 0]
        for j in range(ny):
            for k in range(nz):
                area, me = dy[j] * dz[k], index[cell, j, k]
                before = 0.0 if law.tail < 0 else model.port_half[law.tail, 0]
                conductance = area / (1 / p[j, k] + before + after)
                if law.tail < 0:
                    a[me, me] += gh * conductance
                    source[me] += gh * conductance
                else:
                    join(index[cell - 1, j, k], me, conductance)
    return a.tocsc(), source


@pytest.mark.parametrize("gh", [1e-3, 1.0, 1e3])
def test_a_patchy_stage_equals_a_sparse_factorisation(gh):
    rng = np.random.default_rng(3)
    y, z = Axis(rng.uniform(0.5e-6, 2e-6, 5)), Axis(rng.uniform(0.5e-6, 2e-6, 6))
    walls = tuple(
        Membrane(n, i, (Passive(10 ** rng.uniform(-9, -5, (1, 1, 30))),))
        for i, n in enumerate(("luminal", "abluminal", "sheath"))
    )
    system = _block(Barrier(("drug",), three_layers().layers, walls), 16, y, z, tolerance=1e-13)
    matrix, source = _matrix(system, gh)
    r, blood = system.capacity * rng.random(system.shape), np.array([[0.8]])
    got = system.stage(gh, r, np.zeros(system.shape), blood)
    want = scipy.sparse.linalg.spsolve(matrix, r[0, 0] + source * 0.8)
    assert got.converged
    np.testing.assert_allclose(got.u[0, 0], want, rtol=1e-9)


# -- order in space ------------------------------------------------------------------------------------------------------------

_THICK = (0.5e-6, 5e-6)
_D = (2e-12, 3e-11)


def _x_part(layer, x):
    """Return f, f', f'' of the part along x: D f' is continuous at the membrane, and 0 at the far end."""
    slope = _D[1] * 0.35 / _THICK[1] / _D[0] * _THICK[0]
    if layer == 0:
        t, size = x / _THICK[0], _THICK[0]
        f = 0.6 + slope * ((1 - t) + 0.2 * (1 - t) ** 2 + 0.1 * np.sin(np.pi * t) ** 2)
        g = slope * (-1 - 0.4 * (1 - t) + 0.1 * np.pi * np.sin(2 * np.pi * t))
        h = slope * (0.4 + 0.2 * np.pi**2 * np.cos(2 * np.pi * t))
    else:
        t, size = (x - _THICK[0]) / _THICK[1], _THICK[1]
        f = 0.2 + 0.1 * (1 - t) ** 2 + 0.05 * (1 - t) ** 3
        g, h = -(0.2 * (1 - t) + 0.15 * (1 - t) ** 2), 0.2 + 0.3 * (1 - t)
    return f, g / size, h / size**2


class _WithSource(Flows):
    source = 0.0

    def residual(self, u, r, gh, *rest):
        return super().residual(u, r, gh, *rest) + gh * self.source


def _manufactured_error(n):
    """Return the error of a steady field with a pump, a trap, an enzyme and maps on both membranes, on graded meshes."""
    width, enzyme, blood = 4e-6, (2.0, 0.4), 2.5
    y, z = Axis(graded_widths(width, n, ratio=3.0)), Axis(graded_widths(width, n, ratio=2.0))
    w = np.pi / width
    wave = 0.3 * np.cos(w * y.center_m)[:, None] * np.cos(2 * w * z.center_m)
    side = 1 + wave

    def membrane(name, face, layer, x, before, pump, trap):
        after = side * _x_part(layer, x)[0]
        flux = -_D[layer] * side * _x_part(layer, x)[1] + pump * after / (0.5 + after)
        p = flux / (before - trap * after)
        assert np.all(p > 0)
        return Membrane(name, face, (Passive(p.reshape(1, 1, -1), 1.0, trap), Efflux(pump, 0.5)))

    law = MichaelisMenten(enzyme[0], enzyme[1], (None,))
    layers = (Layer("endothelium", _THICK[0], _D[0], 1.7, 0.3, (law,)), Layer("tissue", _THICK[1], _D[1], 0.4, 0.1))
    walls = (
        membrane("luminal", 0, 0, 0.0, blood, 3e-6, 0.8),
        membrane("abluminal", 1, 1, _THICK[0], side * _x_part(0, _THICK[0])[0], 1e-6, 0.9),
    )
    system = _block(Barrier(("drug",), layers, walls), (2 * n, 2 * n), y, z, tolerance=1e-12, ratio=4.0)
    model = system.model
    x, layer = model.mesh.center_m, model.mesh.layer
    f, _, h = (np.where(layer == 0, a, b) for a, b in zip(_x_part(0, x), _x_part(1, x), strict=True))
    exact = f[:, None, None] * side
    laplacian = h[:, None, None] * side - f[:, None, None] * 5 * w**2 * wave
    d, loss = np.array(_D)[layer][:, None, None], np.array([0.3, 0.1])[layer][:, None, None]
    taken = np.where(layer[:, None, None] == 0, enzyme[0] * exact / (1 + exact / enzyme[1]), 0.0)
    volume = model.mesh.width_m[:, None, None] * model.area_m2
    system.flows = _WithSource(model)
    system.flows.source = ((loss * exact - d * laplacian + taken) * volume).reshape(1, -1, n * n)
    u = exact.reshape(1, 1, -1)
    result = system.stage(1e6, system.capacity * u, u, np.array([[blood]]))
    assert result.converged
    error = (result.u - u).reshape(volume.shape)
    return float(np.sqrt((error**2 * volume).sum() / volume.sum())), float(np.abs(error).max())


def test_order_two_in_space_in_three_dimensions():
    errors = np.array([_manufactured_error(n) for n in (8, 16, 32)])
    assert abs(slopes(errors[:, 0])[-1] - 2.0) <= 0.1, errors
    assert abs(slopes(errors[:, 1])[-1] - 2.0) <= 0.15, errors


# -- order in time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order"), [("backward-euler", 1), ("crank-nicolson", 2), ("tr-bdf2", 2), ("esdirk43", 4)])
def test_every_stepper_has_its_own_order_on_a_patchy_block(method, order):
    system = _block(_patchy(6, 4), 20, uniform_axis(6e-6, 6), uniform_axis(4e-6, 4), turnover_per_s=0.8, tolerance=1e-12)
    blood, t_end = SmoothBlood(2.0, 4), 4.0
    coarse = 32 if order < 4 else 16
    want = integrate(system, blood, t_end, method="esdirk43", step_s=t_end / 256).auc
    errors = [
        np.abs(integrate(system, blood, t_end, method=method, step_s=t_end / n).auc - want).max() for n in (coarse, 2 * coarse)
    ]
    assert abs(slopes(errors)[0] - order) <= (0.1 if order < 4 else 0.4), errors


# -- mass and stability --------------------------------------------------------------------------------------------------------


class _Doses(SmoothBlood):
    """Three bolus doses in a day, two exponentials each."""

    def free(self, t_s, *, left=False):
        given = [d for d in self.events(np.inf) if (t_s > d if left else t_s >= d)]
        return np.full(self.shape, sum(3 * np.exp(-(t_s - d) / 1300) + np.exp(-(t_s - d) / 15600) for d in [0.0, *given]))

    def events(self, t_end_s):
        return np.array([28800.0, 57600.0])


@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_mass_is_kept_over_a_day_at_any_tolerance(rtol):
    system = _block(_patchy(8, 8), 24, uniform_axis(8e-6, 8), uniform_axis(8e-6, 8), turnover_per_s=0.8, tolerance=1e-5)
    run = integrate(system, _Doses(), 86400.0, rtol=rtol)
    signs = np.array([sign for _, sign in system.ledger_names])
    stored = float((system.capacity * run.final).sum())
    last = run.ledger[-1][0, 0]
    assert abs(stored - last @ signs) <= 1e-13 * (last * (signs > 0)).sum()
    assert run.worst_defect <= 1e-13
    assert run.most_negative >= -1e-14


def _random_block(rng, case, side=6):
    count = int(rng.integers(2, 5))
    faces = side**2
    layers, walls = [], []
    for i in range(count):
        enzyme = (MichaelisMenten(10 ** rng.uniform(-4, 1), 10 ** rng.uniform(-4, 1), (None,)),) if rng.random() < 0.3 else ()
        layers.append(Layer(str(i), 10 ** rng.uniform(-7.3, -4.3), 10 ** rng.uniform(-12, -9), 10 ** rng.uniform(-1, 2),
                            10 ** rng.uniform(-6, 0), enzyme))  # fmt: skip
        patch = np.where(rng.random(faces) < 0.1, 1e3, 1.0).reshape(1, 1, -1)
        routes = [Passive(10 ** rng.uniform(-10, -4) * patch, 1.0, rng.uniform(0.1, 2))]
        if rng.random() < 0.7:
            routes.append(Efflux(10 ** rng.uniform(-11, -5) * rng.permuted(patch, axis=2), 10 ** rng.uniform(-5, 1)))
        if rng.random() < 0.5:
            routes.append(Carrier(10 ** rng.uniform(-11, -5), np.full((1, 1, 1), 10 ** rng.uniform(-5, 1)), rng.uniform(0, 5),
                                  rng.uniform(0, 5)))  # fmt: skip
        walls.append(Membrane(str(i), i, tuple(routes)))
    cells = (
        CellCompartment("neuron", count - 1, 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-5, 2), 10 ** rng.uniform(-0.5, 0.5)),
    )
    bypass = (Bypass(Paracellular(10 ** rng.uniform(-11, -6) * rng.permuted(patch, axis=2)), 1),)
    barrier = Barrier(("drug",), tuple(layers), tuple(walls), bypass, cells)
    turnover = None
    if case % 2:
        barrier, turnover = with_lumen(barrier, 2e-6, 3e-10, rng.uniform(0.05, 1)), 10 ** rng.uniform(-2, 1)
    h = 10 ** rng.uniform(-7, -5)
    y, z = uniform_axis(side * h, side), Axis(h * rng.uniform(0.5, 2, side))
    return _block(barrier, 6 * len(barrier.layers), y, z, tolerance=1e-7, turnover_per_s=turnover)


def test_an_implicit_stage_converges_for_any_step():
    rng = np.random.default_rng(31)
    for case in range(200):
        system = _random_block(rng, case)
        model = system.model
        fastest = float((model.lateral / model.mass).max() / min(model.mesh.width_m.min(), model.y.width_m.min()) ** 2)
        gh = 10 ** rng.uniform(-3, 9) / fastest if case >= 2 else (1e-3, 1e9)[case] / fastest
        start = (rng.random(system.shape) < 0.5) * 10 ** rng.uniform(-6, 0)
        blood, r = np.array([[10 ** rng.uniform(-6, 1)]]), system.capacity * start
        stage = system.stage(gh, r, start, blood)
        assert stage.converged, case
        rate, _ = system.start(stage.u, blood)
        signs = np.array([sign for _, sign in system.ledger_names])
        gained = float((system.capacity * (stage.u - start)).sum())
        through = gh * np.abs(stage.flows[0, 0] * signs).sum() + float(np.abs(r).sum())
        assert abs(gained - gh * stage.flows[0, 0] @ signs) <= 1e-13 * through, case
        assert stage.u.min() >= -1e-5 * stage.u.max(), case
        again = system.stage(gh, r, stage.u, blood)
        assert np.abs(again.u - stage.u).max() <= 1e-4 * stage.u.max(), case
        assert np.all(np.isfinite(rate))


def test_backward_euler_is_never_negative_and_the_explicit_method_agrees():
    system = _block(
        _patchy(6, 4, factor=10.0), (4, 4, 4, 6), uniform_axis(6e-6, 6), uniform_axis(4e-6, 4), turnover_per_s=0.8, ratio=1.0
    )
    run = integrate(system, ConstantBlood(), 100.0, method="backward-euler", step_s=10.0)
    assert min(float(u.min()) for u in run.u) >= 0.0
    t_end = 400 * system.stability_limit_s()
    slow = integrate(system, SmoothBlood(t_end / 5), t_end, method="explicit").final
    fast = integrate(system, SmoothBlood(t_end / 5), t_end, rtol=1e-7).final
    assert np.abs(slow - fast).max() <= 5e-3 * fast.max()


# -- refusals ------------------------------------------------------------------------------------------------------------------


def test_maps_of_another_shape_and_batches_are_refused():
    odd = Barrier(("drug",), three_layers().layers, (Membrane("luminal", 0, (Passive(np.full((1, 1, 7), 1e-8)),)),))
    with pytest.raises(InputError, match="3 x 4 cells"):
        _block(odd)
    with pytest.raises(InputError, match="batch"):
        _block(saturable(batch=2))
    with pytest.raises(InputError, match="width"):
        Axis(np.array([1e-6, np.nan]))
    with pytest.raises(InputError, match="length"):
        uniform_axis(0.0, 4)
    with pytest.raises(InputError, match="finite"):
        Barrier(("drug",), three_layers().layers, (Membrane("luminal", 0, (Passive(np.full((1, 1, 12), np.nan)),)),))
