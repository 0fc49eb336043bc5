"""Forward Euler in one pass over a block: the step that F says, mass kept, whatever lies on the membranes and in the tissue."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Passive
from krogh.errors import ConvergenceError
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.model import assemble_block
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate

from ._cases import ConstantBlood, SmoothBlood
from .test_block import _SIDES, _block, _patchy


def _followers():
    """Return two species in competition for a carrier, the second formed from the first in tissue and cells."""
    forms = MichaelisMenten(np.array([0.05, 0.0])[None, :, None], np.array([0.4, np.inf])[None, :, None], (1, None), name="AADC")
    carrier = Carrier(np.array([3e-8, 2e-8])[None, :, None], np.array([0.5, 0.2])[None, :, None], 1.0, 0.2, name="LAT1")
    layers = (Layer("endothelium", 4e-7, 3e-11, 1.5), Layer("interstitium", 2e-5, 1e-10, 0.2, 1e-3, reactions=(forms,)))
    walls = (Membrane("luminal", 0, (Passive(1e-7), carrier)), Membrane("abluminal", 1, (Passive(5e-8), carrier)))
    cells = (CellCompartment("neuron", 1, 0.8, 0.05, reactions=(forms,)), CellCompartment("astrocyte", 1, 0.3, 0.02))
    return Barrier(("levodopa", "dopamine"), layers, walls, cells=cells)


def _thin():
    """Return layers of a single cell each, so that two membranes bring flows to one plane, and open blood in front."""
    layers = (Layer("a", 1e-6, 1e-10), Layer("b", 1e-6, 3e-11, 2.0, 0.1), Layer("c", 2e-6, 1e-10))
    walls = (Membrane("ab", 1, (Passive(1e-6),)), Membrane("bc", 2, (Passive(2e-6, 0.7, 0.9),)))
    return BlockSystem(assemble_block(Barrier(("drug",), layers, walls), (1, 1, 2), *_SIDES, ratio=1.0), tolerance=1e-11)


_SYSTEMS = {
    "patches, pump, bypass, lumen, cells": lambda: _block(_patchy(3, 4), turnover_per_s=0.8),
    "species that compete and follow": lambda: _block(_followers(), 20),
    "one cell between two membranes": _thin,
    "a single cell along y": lambda: _block(_patchy(1, 4), y=uniform_axis(1e-6, 1)),
}


@pytest.mark.parametrize("name", _SYSTEMS)
def test_a_step_is_that_of_the_right_hand_side_and_keeps_mass(name):
    system, rng = _SYSTEMS[name](), np.random.default_rng(5)
    forward, signs = system.forward(), np.array([sign for _, sign in system.ledger_names])
    dt, u = 0.3 * system.stability_limit_s(), rng.random(system.shape)
    for k in range(12):  # from here to there at first, then on from where the last steps led
        blood = np.full((1, system.shape[1]), 1.0 if k < 9 else 0.2)
        rate, flows = system.start(u, blood)
        auc = np.ones(system.shape)
        new, mine = forward.step(dt, u, blood, auc)
        want = u + dt * rate / system.capacity
        np.testing.assert_allclose(new, want, rtol=0, atol=1e-12 * want.max())
        np.testing.assert_allclose(auc, 1.0 + dt * u, rtol=1e-15)
        np.testing.assert_allclose(mine, flows, rtol=1e-9, atol=1e-9 * np.abs(flows).max())
        gained = (system.capacity * (new - u)).sum(-1)
        held = (system.capacity * np.abs(new)).sum(-1) + dt * np.abs(flows).sum(-1)
        assert np.all(np.abs(gained - dt * (mine @ signs)) <= 1e-15 * held)
        u = new.copy()


def test_a_run_keeps_mass_and_says_so():
    system = _block(_patchy(3, 4), (4, 4, 4, 6), turnover_per_s=0.8, ratio=1.0)
    t_end = 3000 * system.stability_limit_s()
    for method, step in (("explicit", None), ("adi", 20 * system.stability_limit_s())):
        run = integrate(system, SmoothBlood(t_end / 5), t_end, method=method, step_s=step)
        assert 0 < run.worst_defect <= 1e-13
        assert len(run.t_s) <= 1002
        signs = np.array([sign for _, sign in system.ledger_names])
        assert (system.capacity * run.final).sum() == pytest.approx(float(run.ledger[-1][0, 0] @ signs), rel=1e-13)


def test_states_that_are_kept_are_not_written_over():
    system = _block(_patchy(3, 4), turnover_per_s=0.8)
    h, seen = 0.5 * system.stability_limit_s(), []
    run = integrate(
        system, ConstantBlood(), 6 * h, method="explicit", step_s=h, observe=lambda t, u, slope: seen.append((u, slope))
    )
    for k, ((u, slope), kept, kept_slope) in enumerate(zip(seen, run.u, run.slope, strict=True)):
        np.testing.assert_array_equal(u, kept)
        np.testing.assert_allclose(slope, kept_slope, rtol=0, atol=1e-12 * np.abs(slope).max())
        if k + 1 < len(seen):
            np.testing.assert_allclose(u + h * slope, seen[k + 1][0], rtol=0, atol=1e-15 * seen[k + 1][0].max())
    assert run.auc == pytest.approx(h * sum(run.u[:-1]), rel=1e-12)


def test_membranes_without_a_balance_stop_the_run(monkeypatch):
    system = _block(_patchy(3, 4), turnover_per_s=0.8)
    monkeypatch.setattr(type(system.laws), "solve_traces", lambda self, cells, blood, flux: (flux, None, False))
    with pytest.raises(ConvergenceError, match="no balance of the fluxes"):
        system.forward().step(1e-9, np.zeros(system.shape), np.ones((1, 1)), np.zeros(system.shape))
