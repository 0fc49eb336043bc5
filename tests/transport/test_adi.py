"""Alternating directions: second order in time, exact balance, and refused where they would grow."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, Layer
from krogh.errors import InputError
from krogh.transport.block.axis import Axis, uniform_axis
from krogh.transport.block.model import assemble_block
from krogh.transport.block.system import BlockSystem
from krogh.transport.block.uneven_system import UnevenSystem
from krogh.transport.integrate import integrate

from ._cases import ConstantBlood, SmoothBlood, operator_of, saturable, slopes, three_layers
from .test_block import _Doses, _patchy
from .test_uneven import _forming, _maps


def _block(barrier, cells, y, z, **settings):
    return BlockSystem(assemble_block(barrier, cells, y, z, **settings), tolerance=1e-12)


def test_a_mode_decays_at_its_exact_rate_to_second_order():
    y, z = Axis(np.array([1.0, 2.0, 1.5, 1.0]) * 1e-6), uniform_axis(5e-6, 5)
    system = _block(Barrier(("drug",), (Layer("tissue", 4e-6, 2e-11, 0.6, 0.05),)), (12,), y, z, ratio=1.0)
    model = system.model
    links = np.diag(model.mass[0] * 0 + model.loss[0] + model.inflow[0])
    for i, link in enumerate(model.link[0]):
        links[i : i + 2, i : i + 2] += link * np.array([[1, -1], [-1, 1]])
    rate, across = np.linalg.eigh(links / model.mass[0][:, None])  # equal cells: symmetric
    (by_y, modes_y), (by_z, modes_z) = y.modes, z.modes
    mode = across[:, 1][:, None, None] * modes_y[:, 2][:, None] * modes_z[:, 1]
    decay = rate[1] + (by_y[2] + by_z[1]) * 2e-11 / 0.6
    t_end = 0.1 / decay
    u0 = (mode / np.abs(mode).max()).reshape(system.shape)
    errors = [
        np.abs(
            integrate(system, ConstantBlood(height=0.0), t_end, u0=u0, method="adi", step_s=t_end / n).final - u0 * np.exp(-0.1)
        ).max()
        for n in (32, 64, 128)
    ]
    assert abs(slopes(errors)[-1] - 2.0) <= 0.05, errors


@pytest.mark.parametrize("case", ["saturable", "forming"])
def test_order_two_with_membranes_enzymes_and_products(case):
    barrier, settings = {"saturable": (_patchy(6, 4, factor=3.0), {"turnover_per_s": 0.8}), "forming": (_forming(), {})}[case]
    cells = (4,) * (len(barrier.layers) - 1) + (6,)
    system = _block(barrier, cells, uniform_axis(48e-6, 6), uniform_axis(32e-6, 4), ratio=1.0, **settings)
    blood, t_end = SmoothBlood(0.1, 4, shape=system.shape[:2]), 0.2
    want = integrate(system, blood, t_end, method="esdirk43", step_s=t_end / 64).auc
    errors = [np.abs(integrate(system, blood, t_end, method="adi", step_s=t_end / n).auc - want).max() for n in (80, 160, 320)]
    assert abs(slopes(errors)[-1] - 2.0) <= 0.1, errors


def test_mass_is_kept_over_doses():
    system = _block(_patchy(6, 4), 20, uniform_axis(6e-6, 6), uniform_axis(4e-6, 4), turnover_per_s=0.8)
    step = 900 * system.stability_limit_s()

    class Doses(_Doses):
        def events(self, t_end_s):
            return np.array([0.3, 0.8]) * t_end_s

    run = integrate(system, Doses(), 200.5 * step, method="adi", step_s=step)
    signs = np.array([sign for _, sign in system.ledger_names])
    last = run.ledger[-1][0, 0]
    assert abs(float((system.capacity * run.final).sum()) - last @ signs) <= 1e-13 * (last * (signs > 0)).sum()
    assert run.stats.steps in (201, 202, 203)


def test_where_it_would_grow_it_is_refused():
    model = assemble_block(_patchy(4, 4), 20, uniform_axis(4e-6, 4), uniform_axis(4e-6, 4), turnover_per_s=0.8)
    uneven = UnevenSystem(model, _maps(model, np.random.default_rng(0)))
    with pytest.raises(InputError, match="uneven tissue"):
        integrate(uneven, SmoothBlood(), 1.0, method="adi", step_s=1e-3)
    with pytest.raises(InputError, match="another geometry"):
        integrate(operator_of(saturable(), 20), SmoothBlood(), 1.0, method="adi", step_s=1e-3)
    layered = _block(three_layers(), 20, uniform_axis(4e-6, 4), uniform_axis(4e-6, 4))
    with pytest.raises(InputError, match="a thousand times"):
        integrate(layered, SmoothBlood(), 1e6, method="adi", step_s=1e5)
    for step in (None, 0.0, np.nan):
        with pytest.raises(InputError, match="fixed step"):
            integrate(layered, SmoothBlood(), 1.0, method="adi", step_s=step)
