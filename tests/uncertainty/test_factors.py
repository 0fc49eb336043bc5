"""Factors: what a compound and a barrier hold, ranges in words, spreads that keep their ends and medians."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krogh.barrier.physiology import SPECIES, get_physiology
from krogh.barrier.physiology import leaves as physiology_leaves
from krogh.compounds import get_compound, names
from krogh.compounds.ranges import leaves, with_numbers
from krogh.errors import InputError, KroghError
from krogh.runs.config import build_config
from krogh.runs.simulate import plan
from krogh.runs.uncertainty.factors import SHAPES, Factor, choose_factors
from krogh.runs.uncertainty.run import plan_ensemble


def _case(name="morphine", **settings):
    config = build_config({}, (), {"compounds": [name], "duration": "1 h", "cells": 24, **settings})
    return plan(config)[0], config


def test_every_leaf_of_the_library_leads_to_its_number():
    for owner, found in [
        *((get_compound(n), list(leaves(get_compound(n), s))) for n in names() for s in SPECIES),
        *((get_physiology(s), list(physiology_leaves(get_physiology(s)))) for s in SPECIES),
    ]:
        assert len({leaf.path for leaf in found}) == len(found)
        for leaf in found:
            changed = with_numbers(owner, {leaf.path: 0.5})
            node = changed
            for step in leaf.path:
                node = node[step] if isinstance(node, (dict, tuple)) else getattr(node, step)
            assert node.value == 0.5
            assert node.source == leaf.value.source
            assert leaf.kind.low <= leaf.value.value <= leaf.kind.high
        if found:
            back = with_numbers(changed, {found[-1].path: found[-1].value.value})
            assert dataclasses.replace(back) != changed or found[-1].value.value == 0.5


def test_a_number_changes_what_it_says_and_nothing_else():
    case, _ = _case()
    c = case.members[0].compound
    changed = with_numbers(c, {("permeabilities", 0, "p_m_s"): 1e-6})
    assert changed.permeabilities[0].method == c.permeabilities[0].method
    assert changed.permeabilities[0].basis == c.permeabilities[0].basis
    assert changed.permeabilities[1:] == c.permeabilities[1:]
    assert dataclasses.replace(changed, permeabilities=c.permeabilities) == c


@given(
    st.sampled_from(SHAPES),
    st.lists(st.floats(1e-12, 1e6), min_size=3, max_size=3, unique=True),
    st.sampled_from(["permeability", "pka_base.1"]),
)
def test_spreads_rise_between_their_ends(shape, numbers, key):
    low, mid, high = sorted(numbers)
    if not high / low > 1 + 1e-6 or not (1 + 1e-9) * low < mid < high / (1 + 1e-9):
        return
    f = Factor(key, 0, (key.split(".")[0],), mid, low, high, shape, "permeability", "")
    values = f.quantile(np.linspace(0, 1, 21))
    assert np.all(np.diff(values) >= -1e-9 * np.abs(values[1:]))
    if shape in ("normal", "lognormal"):
        np.testing.assert_allclose(f.quantile([0.025, 0.975]), [low, high], rtol=1e-9, atol=1e-9 * high)
    else:
        np.testing.assert_allclose(values[[0, -1]], [low, high], rtol=1e-9)
    if shape == "split":
        np.testing.assert_allclose(f.quantile([0.5]), [mid], rtol=1e-9)


def test_a_range_that_starts_at_nothing_or_at_the_value_is_spread_evenly():
    f = Factor("physiology.interstitial_bulk_flow", -1, ("x",), 1.0, 0.0, 3.0, "split", "fraction", "")
    np.testing.assert_allclose(f.quantile([0, 0.25, 0.5, 0.75, 1]), [0, 0.5, 1, 2, 3])
    f = Factor("physiology.endothelium_thickness", -1, ("x",), 1.0, 1.0, 4.0, "split", "length", "")
    np.testing.assert_allclose(f.quantile([0, 0.5, 1]), [1, 2, 4])


def test_what_is_free():
    case, config = _case()
    factors, held = choose_factors(case)
    keys = {f.key for f in factors}
    assert {"fu_plasma", "physiology.barrier_area"} <= keys
    assert {"permeability", "P-gp.vmax"} <= set(held)
    (f,), _ = choose_factors(case, ["permeability=1..10 nm/s"])
    assert (f.low, f.high, f.shape) == (pytest.approx(1e-9), pytest.approx(1e-8), "split")
    (f,), _ = choose_factors(case, ["P-gp.km=500 uM..2 mM lognormal"])
    assert (f.low, f.high, f.shape) == (pytest.approx(0.5), pytest.approx(2.0), "lognormal")
    (f,), _ = choose_factors(case, ["fu_plasma=x3"])
    assert (f.low, f.high) == (pytest.approx(0.7 / 3), 1.0)  # no fraction above 1
    (f,), _ = choose_factors(case, ["efflux.P-gp=0..1 uniform"])
    assert (f.low, f.high, f.value) == (0.0, 1.0, 1.0)
    both, _ = choose_factors(case, ["compound", "leak_factor=1..10"])
    assert [x.key for x in both] == ["fu_plasma", "pk.ka", "pk.bioavailability", "leak_factor"]
    ensemble = plan_ensemble(case, config, samples=8)
    assert "physiology.blood_flow" in ensemble.idle  # the slab has no flow
    assert "pk.ka" in ensemble.idle  # intravenous
    assert not set(ensemble.idle) & {f.key for f in ensemble.factors}
    formed, _ = choose_factors(_case("levodopa")[0])
    assert "dopamine.permeability" in {f.key for f in formed}


@pytest.mark.parametrize(
    ("free", "words"),
    [
        ("permeabilty", "permeability"),
        ("permeability", "without a range"),
        ("permeability=1..10", "unit"),
        ("permeability=10..1 nm/s", "below"),
        ("permeability=1 nm/s", "LOW..HIGH"),
        ("permeability=..", "LOW..HIGH"),
        ("permeability=x0.5", "above 1"),
        ("permeability=xnan", "above 1"),
        ("permeability=xyz", "x3"),
        ("fu_plasma=0.5..1.5", "0 to 1"),
        ("physiology.ph_cell=x2", "logarithm"),
        ("physiology.interstitial_bulk_flow=0..1 uL/min/g lognormal", "above 0"),
        ("", "all"),
        ("=1..2", "all"),
        ("physiology.blood_flow", "no part"),
    ],
)
def test_bad_ranges_are_one_line(free, words):
    case, config = _case()
    with pytest.raises(KroghError) as error:
        plan_ensemble(case, config, [free], samples=8)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_only_a_slab_with_a_dose():
    config = build_config({}, (), {"compounds": ["caffeine"], "geometry": "cylinder", "cells": 24})
    with pytest.raises(InputError, match="slab"):
        plan_ensemble(plan(config)[0], config)
    config = build_config({}, (), {"compounds": ["caffeine"], "cells": 24})
    with pytest.raises(InputError, match="measured plasma"):
        plan_ensemble(plan(config, plasma=(np.array([0.0, 60.0]), np.array([1.0, 1.0])))[0], config)
