"""Species that do not act on each other, and problems of a batch, run as if alone."""

import numpy as np
import pytest

from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.physiology import get_physiology
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.barrier.state import BarrierState
from krogh.blood.dose import parse_dose
from krogh.blood.pk import dose_terms, stack
from krogh.compounds import get_compound
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

from ._cases import SmoothBlood, operator_of


def _column(*values):
    return np.array(values)[None, :, None]


def _barrier(names, p, pump, rate, product=None):
    """Return a barrier whose numbers are lists, one entry a species."""
    enzyme = MichaelisMenten(_column(*rate), 0.3, product or (None,) * len(names))
    layers = (
        Layer("cell", 0.4e-6, 3e-11, 1.5, reactions=(enzyme,)),
        Layer("tissue", 10e-6, np.array([p]) * 1e-3 + 1e-12, 0.3, 1e-3),
    )
    walls = (
        Membrane("luminal", 0, (Passive(_column(*p)), Efflux(_column(*pump), 0.2))),
        Membrane("abluminal", 1, (Passive(_column(*p)),)),
    )
    return Barrier(names, layers, walls, cells=(CellCompartment("neuron", 1, 0.5, 0.1),))


def test_two_species_without_coupling_equal_two_runs():
    p, pump, rate = (1e-7, 4e-7), (2e-8, 5e-8), (0.1, 0.02)
    settings = {"method": "esdirk43", "step_s": 0.5}
    together = integrate(operator_of(_barrier(("a", "b"), p, pump, rate), 20), SmoothBlood(shape=(1, 2)), 20.0, **settings)
    for i in range(2):
        alone = integrate(
            operator_of(_barrier(("a",), p[i : i + 1], pump[i : i + 1], rate[i : i + 1]), 20), SmoothBlood(), 20.0, **settings
        )
        np.testing.assert_allclose(together.final[:, i], alone.final[:, 0], rtol=1e-10)
        np.testing.assert_allclose(together.auc[:, i], alone.auc[:, 0], rtol=1e-10)


def test_what_one_species_loses_another_gains():
    barrier = _barrier(("drug", "metabolite"), (1e-7, 0.0), (0.0, 0.0), (0.5, 0.0), product=(1, None))

    class OneOnly(SmoothBlood):
        def free(self, t_s, *, left=False):
            return super().free(t_s, left=left) * np.array([[1.0, 0.0]])

    operator = operator_of(barrier, 20)
    run = integrate(operator, OneOnly(shape=(1, 2)), 20.0)
    names = [n for n, _ in operator.ledger_names]
    last = run.ledger[-1][0]
    used, formed = last[0, names.index("used:metabolism@cell")], last[1, names.index("formed:metabolism@cell")]
    assert used > 0
    assert formed == pytest.approx(used, rel=1e-14)
    # it cannot leave the cell, so all of it is there
    assert (operator.graph.capacity[0, 1] * run.final[0, 1]).sum() == pytest.approx(formed, rel=1e-10)


def test_a_competitor_slows_the_uptake():
    def uptake(levels):
        lat = Carrier(_column(1e-7, 1e-7), _column(0.05, 0.02), name="LAT1")
        layers = (Layer("cell", 0.4e-6, 3e-10), Layer("tissue", 10e-6, 1e-10, 0.3, 1e-3))
        barrier = Barrier(("drug", "rival"), layers, (Membrane("luminal", 0, (lat,)), Membrane("abluminal", 1, (lat,))))

        class Levels(SmoothBlood):
            def free(self, t_s, *, left=False):
                return np.array([levels])

        operator = operator_of(barrier, 16)
        return float((operator.graph.capacity * integrate(operator, Levels(), 5.0).final)[0, 0].sum())

    assert uptake((0.01, 0.2)) < 0.5 * uptake((0.01, 0.0))


@pytest.mark.parametrize("method", ["esdirk43", "backward-euler"])
def test_a_batch_equals_its_members_one_by_one(method):
    physiology, state = get_physiology("human"), BarrierState()
    names = ["caffeine", "morphine", "mannitol", "acetaminophen"]
    members = [prepare(get_compound(n), physiology, state) for n in names]
    terms = [dose_terms(m.compound, parse_dose("10 mg iv every 1 h x 2"), "human") for m in members]

    def run(chosen):
        barrier = assemble([[members[i]] for i in chosen])
        operator = Operator(path_graph(barrier, layered_mesh(barrier.layers, 40)))
        return integrate(operator, stack([[terms[i]] for i in chosen]), 7200.0, method=method, step_s=120.0)

    batch = run(range(4))
    for i in range(4):
        alone = run([i])
        # Newton ends at 1e-10 with a fixed step, and a batch ends with its slowest member: round-off may decide on one more
        np.testing.assert_allclose(batch.final[i], alone.final[0], rtol=1e-10, atol=1e-10 * np.abs(alone.final).max())
        np.testing.assert_allclose(batch.auc[i], alone.auc[0], rtol=1e-10)
