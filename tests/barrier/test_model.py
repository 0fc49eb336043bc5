"""Barriers that cannot be solved are refused in one line; what a state does to a barrier."""

import math

import numpy as np
import pytest

from krogh.barrier.assemble import LAYERS, assemble
from krogh.barrier.crossing import crossing
from krogh.barrier.member import prepare
from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.physiology import SPECIES, get_physiology, with_physiology
from krogh.barrier.routes import Passive
from krogh.barrier.state import BarrierState
from krogh.compounds import get_compound
from krogh.errors import InputError

GOOD = {"name": "tissue", "thickness_m": 1e-5, "diffusivity_m2_s": 1e-10}
BAD = [math.nan, math.inf, -1.0, 0.0]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", ["thickness_m", "diffusivity_m2_s", "capacity"])
def test_a_layer_of_nothing_is_refused(field, bad):
    with pytest.raises(InputError, match="layer 'tissue'"):
        Barrier(("drug",), (Layer(**{**GOOD, field: bad}),))


@pytest.mark.parametrize("bad", BAD[:3])
def test_bad_losses_and_exchange_are_refused(bad):
    with pytest.raises(InputError, match="loss"):
        Barrier(("drug",), (Layer(**GOOD, loss_per_s=bad),))
    with pytest.raises(InputError, match="exchange"):
        Barrier(("drug",), (Layer(**GOOD),), cells=(CellCompartment("neuron", 0, 1.0, bad),))


@pytest.mark.parametrize("bad", BAD)
def test_bad_cells_are_refused(bad):
    for values in ((bad, 1.0, 1.0), (1.0, 1.0, bad)):
        with pytest.raises(InputError, match="neuron"):
            Barrier(("drug",), (Layer(**GOOD),), cells=(CellCompartment("neuron", 0, *values),))


def test_bad_structure_is_refused():
    layer, wall = Layer(**GOOD), (Passive(1e-6),)
    with pytest.raises(InputError, match="no layers"):
        Barrier(("drug",), ())
    with pytest.raises(InputError, match="face"):
        Barrier(("drug",), (layer,), (Membrane("wall", 1, wall),))
    with pytest.raises(InputError, match="no routes"):
        Barrier(("drug",), (layer,), (Membrane("wall", 0, ()),))
    with pytest.raises(InputError, match="two on one face"):
        Barrier(("drug",), (layer,), (Membrane("a", 0, wall), Membrane("b", 0, wall)))


def test_a_number_serves_every_species_and_problem():
    barrier = Barrier(("a", "b"), (Layer(**GOOD),), batch=3)
    assert barrier.expand(2.0).shape == (3, 2)
    np.testing.assert_array_equal(barrier.expand([1.0, 2.0])[2], [1.0, 2.0])


@pytest.mark.parametrize(
    "bad",
    [
        {"leak_factor": -1.0},
        {"leak_factor": math.nan},
        {"pericyte_coverage": 1.5},
        {"efflux_activity": {"P-gp": -0.1}},
        {"amino_acids": math.inf},
    ],
)
def test_bad_states_are_refused(bad):
    with pytest.raises(InputError):
        BarrierState(**bad)


def test_pericytes_hold_the_leak_down_and_the_flow_up():
    lost = BarrierState(pericyte_coverage=0.0)
    assert lost.total_leak > 5 * BarrierState().total_leak
    assert lost.flow_factor < BarrierState().flow_factor == 1


def test_a_pump_goes_by_its_name_or_with_all():
    state = BarrierState(efflux_activity={"all": 0.2, "P-gp": 0.0})
    assert (state.activity("P-gp"), state.activity("BCRP"), BarrierState().activity("BCRP")) == (0.0, 0.2, 1.0)


@pytest.mark.parametrize("species", SPECIES)
def test_physiology_is_sourced_and_within_its_ranges(species):
    physiology = get_physiology(species)
    for name in physiology.__dataclass_fields__:
        value = getattr(physiology, name)
        if name == "species":
            continue
        assert value.source, name
        assert value.low is None or value.low <= value.value, name
        assert value.high is None or value.value <= value.high, name
    assert 5e-5 < physiology.tissue_per_area_m < 2e-4


def test_physiology_can_be_changed_and_typos_are_named():
    physiology = with_physiology(get_physiology("rat"), {"capillary_radius": "2.2 um"})
    assert physiology.capillary_radius_m.value == pytest.approx(2.2e-6)
    with pytest.raises(InputError, match="capillary_radius"):
        with_physiology(physiology, {"capilary_radius": "2.2 um"})
    with pytest.raises(InputError):
        with_physiology(physiology, {"capillary_radius": "2.2 s"})
    with pytest.raises(InputError, match="human"):
        get_physiology("cat")


def test_groups_of_several_sizes_are_refused():
    physiology, state = get_physiology("human"), BarrierState()
    a, b = (prepare(get_compound(n), physiology, state) for n in ("caffeine", "mannitol"))
    with pytest.raises(InputError, match="groups"):
        assemble([[a, b], [a]])
    with pytest.raises(InputError, match="groups"):
        assemble([[a, b], [a, b]])
    barrier = assemble([[a], [b]])
    assert (barrier.batch, tuple(x.name for x in barrier.layers)) == (2, LAYERS)


def test_a_method_that_was_not_used_is_refused_with_those_that_were():
    with pytest.raises(InputError, match="in situ perfusion"):
        prepare(get_compound("mannitol"), get_physiology("human"), BarrierState(), method="guess")


def test_a_blocked_pump_leaves_the_other_routes():
    physiology = get_physiology("human")
    for state, there in ((BarrierState(), True), (BarrierState(efflux_activity={"all": 0.0}), False)):
        barrier = assemble([[prepare(get_compound("morphine"), physiology, state)]])
        pumps = [r for m in barrier.membranes for r in m.routes if hasattr(r, "activity")]
        assert pumps
        one = np.ones((1, 1, 1))
        assert any(p.flux(one, one).outward.item() > 0 for p in pumps) is there


def test_a_compound_that_is_measured_below_its_leak_has_closed_membranes():
    physiology = get_physiology("rat")
    raffinose = crossing(get_compound("raffinose"), physiology, get_compound("raffinose").permeabilities[0])
    assert raffinose.membrane_m_s == 0
    assert "leak" in raffinose.notes[0]
