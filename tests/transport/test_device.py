"""The torch code gives the answers of the compiled one: stage by stage, over a day with doses, with seven digits refined to more.

It runs on the processor, and where there is a GPU on that too.
"""

import numpy as np
import pytest
import torch

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Passive
from krogh.errors import InputError, UsageError
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.device.arrays import DeviceArray, on_device
from krogh.transport.block.device.place import Place, place_of
from krogh.transport.block.device.planes import DevicePlanes
from krogh.transport.block.device.system import DeviceSystem
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate
from krogh.transport.system import return_to_neighbours

from ._cases import SmoothBlood, three_layers
from .test_block import _block, _Doses, _patchy, _random_block

_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
_DEVICES = ["cpu", pytest.param("cuda", marks=_NO_GPU)]
_SQUARE = uniform_axis(6e-6, 6), uniform_axis(5e-6, 5)


def _forming():
    """Return two species that compete for a carrier, one of which becomes the other."""
    forms = MichaelisMenten(np.array([0.05, 0.0])[None, :, None], np.array([0.4, np.inf])[None, :, None], (1, None), name="AADC")
    carrier = Carrier(np.array([3e-8, 2e-8])[None, :, None], np.array([0.5, 0.2])[None, :, None], 1.0, 0.2, name="LAT1")
    layers = (Layer("endothelium", 4e-7, 3e-11, 1.5), Layer("interstitium", 2e-5, 1e-10, 0.2, 1e-3, reactions=(forms,)))
    patch = 1e-7 * np.where(np.arange(12) % 5 == 0, 100.0, 1.0).reshape(1, 1, -1)
    walls = (Membrane("luminal", 0, (Passive(patch), carrier)), Membrane("abluminal", 1, (Passive(5e-8), carrier)))
    return Barrier(("levodopa", "dopamine"), layers, walls, cells=(CellCompartment("neuron", 1, 0.8, 0.05, reactions=(forms,)),))


def _linear():
    rng = np.random.default_rng(3)
    walls = tuple(
        Membrane(name, i, (Passive(10 ** rng.uniform(-9, -5, (1, 1, 12))),))
        for i, name in enumerate(("luminal", "abluminal", "sheath"))
    )
    return Barrier(("drug",), three_layers().layers, walls)


def _pair(barrier, device="cpu", tolerance=1e-12, **settings):
    mine = _block(barrier, tolerance=tolerance, **settings)
    return mine, DeviceSystem(mine.model, Place(device), tolerance=tolerance)


def _far(mine, theirs):
    return float(np.abs(mine - np.asarray(theirs)).max() / np.abs(mine).max())


# -- the same answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("barrier", "steps"),
    [(_linear(), (1e-3, 1.0, 1e3, 1e6)), (_forming(), (1e-3, 1.0, 30.0)), (_patchy(3, 4), (1e-3, 1.0, 1e3, 1e6))],
    ids=["linear", "forming", "patchy"],
)
@pytest.mark.parametrize("device", _DEVICES)
def test_rates_and_stages_agree(barrier, steps, device):
    mine, theirs = _pair(barrier, device, tolerance=1e-11, turnover_per_s=0.8 if barrier.layers[0].name == "lumen" else None)
    rng = np.random.default_rng(4)
    u, blood = rng.random(mine.shape), np.full((1, mine.shape[1]), 0.8)
    (f, rows), (g, their_rows) = mine.start(u, blood), theirs.start(u, blood)
    assert _far(f, g) <= 1e-13
    np.testing.assert_allclose(their_rows, rows, rtol=1e-12, atol=1e-13 * np.abs(rows).max())
    for gh in steps:
        want, got = (s.stage(gh, mine.capacity * u, u, blood) for s in (mine, theirs))
        assert want.converged
        assert got.converged
        assert _far(want.u, got.u) <= 1e-10, gh
        np.testing.assert_allclose(got.flows, want.flows, rtol=1e-9, atol=1e-10 * np.abs(want.flows).max())
        loose, error = mine.filter(gh, want.u, blood, 1e-3 * f), theirs.filter(gh, got.u, blood, 1e-3 * g)
        assert _far(loose, error) <= 0.3, gh  # as well as an error estimate needs it


@pytest.mark.parametrize("method", ["backward-euler", "crank-nicolson", "tr-bdf2", "esdirk43"])
def test_every_implicit_stepper_runs_on_it(method):
    mine, theirs = _pair(_patchy(3, 4), turnover_per_s=0.8)
    want, got = (integrate(s, SmoothBlood(2.0, 4), 4.0, method=method, step_s=0.5) for s in (mine, theirs))
    assert _far(want.auc, got.auc) <= 1e-10
    assert _far(want.final, got.final) <= 1e-10
    assert got.worst_defect <= 1e-13


def _day(system, t_end_s=86400.0, **settings):
    return integrate(system, _Doses(), t_end_s, rtol=1e-3, reduce=system.plane_means, **settings)


@pytest.mark.parametrize("device", _DEVICES)
def test_a_day_with_doses_has_the_same_answer(device):
    mine, theirs = (
        f(_block(_patchy(6, 5), 20, *_SQUARE, turnover_per_s=0.8).model)
        for f in (lambda m: BlockSystem(m, tolerance=1e-11), lambda m: DeviceSystem(m, Place(device), tolerance=1e-11))
    )
    # the steps are given: an error estimate is solved to a tenth only, so that each code chooses its own
    want, got = _day(mine, step_s=900.0), _day(theirs, step_s=900.0)
    assert _far(want.auc, got.auc) <= 1e-10
    assert _far(np.array(want.u), np.array(got.u)) <= 1e-10
    assert _far(np.array(want.ledger), np.array(got.ledger)) <= 1e-10
    assert got.worst_defect <= 1e-13


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("tolerance", [1e-6, 1e-9])
def test_float32_with_refinement_keeps_its_tolerance_and_the_mass(tolerance, device):
    model = _block(_patchy(6, 5), 20, *_SQUARE, turnover_per_s=0.8).model
    exact, single = BlockSystem(model, tolerance=1e-12), DeviceSystem(model, Place(device, "float32"), tolerance=tolerance)
    rng = np.random.default_rng(6)
    u, blood = rng.random(exact.shape), np.array([[0.8]])
    for gh in (1e-3, 1.0, 1e3, 1e6):
        want, got = (s.stage(gh, exact.capacity * u, u, blood) for s in (exact, single))
        assert got.converged, gh
        assert _far(want.u, got.u) <= 10 * tolerance, gh
    assert 0.0 < single.worst_residual < 1e-3 * tolerance * gh
    if tolerance > 1e-8:
        run, fine = _day(single, 30000.0), _day(exact, 30000.0)
        assert run.worst_defect <= 1e-13
        assert _far(fine.auc, run.auc) <= 1e-4


def test_a_stage_converges_for_any_step_in_both_precisions():
    rng = np.random.default_rng(31)
    for case in range(40):
        system = _random_block(rng, case, side=4)
        model = system.model
        fastest = float((model.lateral / model.mass).max() / min(model.mesh.width_m.min(), model.y.width_m.min()) ** 2)
        gh = 10 ** rng.uniform(-3, 9) / fastest
        start, blood = (rng.random(system.shape) < 0.5) * 10 ** rng.uniform(-6, 0), np.array([[10 ** rng.uniform(-6, 1)]])
        want = system.stage(gh, system.capacity * start, start, blood).u
        for precision in ("float64", "float32"):
            other = DeviceSystem(model, Place("cpu", precision), tolerance=1e-7)
            got = other.stage(gh, system.capacity * start, start, blood)
            assert got.converged, (case, precision)
            assert _far(want, got.u) <= 1e-4, (case, precision)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_nothing_of_a_stage_is_left_on_the_processor(precision):
    """Torch's device without memory refuses any array of another device, as a GPU would."""
    mine = _block(_forming())
    system = DeviceSystem(mine.model, Place("meta", precision), tolerance=1e-9)
    laws, flows, faces = system._laws, system._flows, mine.model.faces
    u, blood = (
        torch.zeros(2, mine.model.unknowns // faces, faces, dtype=torch.float64, device="meta"),
        torch.zeros(2, device="meta"),
    )
    slopes, flux = mine.flows.mean_slopes(np.ones(u.shape)), u.new_zeros(laws.count, 2, faces)
    planes = DevicePlanes(mine.model, system.modes, laws, system._reference, 1.0, mine.flows.diagonal(1.0, slopes))
    values = laws.evaluate(laws.traces(system._ports(u), flux), blood.double())
    residual = flows.residual(u, u, 1.0, blood, flux)
    modes, change = planes.inward(flows.fold_leaves(residual, 1.0, slopes))
    step = flows.unfold_leaves(planes.outward(modes, flux), residual, 1.0, slopes)
    found = [values.flux, values.by_head, laws.along(values, change), planes.respond(flux), step, flows.uptake(u)[0][0]]
    found.append(np.where(DeviceArray(u) > 0, np.maximum(np.abs(DeviceArray(step)), 1e-3 * np.ones((2, 1, 1))), 0.0).tensor)
    assert all(x.device.type == "meta" and x.dtype == torch.float64 for x in found)
    assert modes[0].dtype == system.place.work


# -- pieces --------------------------------------------------------------------------------------------------------------------


def test_numpy_functions_answer_on_the_device():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1, 2, 5)), rng.normal(size=(1, 2, 5))
    x, y = (on_device(v, torch.device("cpu")) for v in (a, b))
    for f in (lambda p, q: np.maximum(np.abs(p), 0.3 * q) ** 2 / (1.0 + p * p), lambda p, q: np.where(p > 0, q, 0.0) - 2.0 * p):
        assert isinstance(f(x, y), DeviceArray)
        np.testing.assert_allclose(np.asarray(f(x, y)), f(a, b), rtol=1e-15)
    out = np.divide(x, y, out=np.zeros_like(x), where=y > 0)
    np.testing.assert_allclose(np.asarray(out), np.divide(a, b, out=np.zeros_like(a), where=b > 0))
    assert isinstance(x.max(-1), np.ndarray)
    assert float(x.min()) == a.min()
    with pytest.raises(TypeError):
        np.linalg.norm(x)  # nothing is fetched behind the user's back


def test_undershoots_go_to_the_neighbour_as_on_the_processor():
    mine, theirs = _pair(_patchy(3, 4), turnover_per_s=0.8)
    u = np.random.default_rng(2).normal(0.3, 0.5, mine.shape)
    got = return_to_neighbours(theirs, on_device(u, theirs.device))
    np.testing.assert_allclose(np.asarray(got), return_to_neighbours(mine, u), rtol=0, atol=1e-13)


def test_a_place_that_is_none_is_refused_in_one_line():
    assert place_of("auto") is None
    assert place_of("torch-cpu", "float32") == Place("cpu", "float32")
    for device, precision, word in (
        ("tpu", "float64", "--device"), ("cuda:99", "float64", "GPU"), ("cpu", "float32", "--precision"),
        ("torch-cpu", "half", "--precision"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=word):
            place_of(device, precision)
    with pytest.raises(InputError, match="gradient"):
        _pair(_linear())[1].adjoint()
