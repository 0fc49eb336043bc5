"""Every compound of the library either runs cleanly or says in one line what it lacks."""

from __future__ import annotations

import math

import pytest

import krogh
from krogh.compounds import get_compound, missing_for_simulation, names
from krogh.errors import InputError


@pytest.mark.parametrize("name", names())
def test_compound_runs_or_says_what_is_missing(name):
    missing = {m.split(".")[0] for m in missing_for_simulation(get_compound(name), "human")}
    # brain binding and dose are supplied here; a permeability cannot be
    settings = {"dose": "1 uM constant", "duration": "1 h", "cells": 24, "compound": {name: {"fu_brain": "1"}}}
    if "permeability" in missing:
        with pytest.raises(InputError, match="permeability"):
            krogh.simulate(name, **settings)
        return
    metrics = krogh.simulate(name, **settings).groups[0].metrics[0]
    assert metrics.mass_defect_run <= 1e-10
    assert metrics.mass_defect_step <= 1e-12
    assert metrics.most_negative >= -1e-14
    assert 0 < metrics.kp_uu_steady < 10
    assert math.isfinite(metrics.half_time_s)
    assert metrics.half_time_s > 0
    assert 0 <= metrics.extraction_crone_renkin <= 1


@pytest.mark.parametrize("geometry", ["slab", "cylinder"])
def test_slab_and_cylinder_agree_over_hours(geometry):
    result = krogh.simulate("morphine", geometry=geometry, cells=40, cells_along=8, duration="6 h")
    reference = krogh.simulate("morphine", cells=40, duration="6 h")
    ours, theirs = (r.groups[0].metrics[0].auc_interstitium for r in (result, reference))
    assert ours == pytest.approx(theirs, rel=0.02)


def test_real_drugs_behave():
    levodopa, dopamine, caffeine, morphine = (
        krogh.simulate(n, cells=64).groups[0].metrics for n in ("levodopa", "dopamine", "caffeine", "morphine")
    )
    assert dopamine[0].kp_uu < 0.01
    assert levodopa[0].tmax_interstitium_s > levodopa[0].tmax_plasma_s + 60
    assert levodopa[1].cmax_neuron > 100 * dopamine[0].cmax_neuron  # dopamine reaches neurons as levodopa
    assert caffeine[0].kp_uu == pytest.approx(1, abs=0.02)
    assert caffeine[0].regime == "flow-limited"
    blocked = krogh.simulate("morphine", cells=64, efflux={"P-gp": 0}).groups[0].metrics[0]
    assert morphine[0].kp_uu < 0.8 * blocked.kp_uu
    mannitol = krogh.simulate("mannitol", cells=64).groups[0].metrics[0]
    assert mannitol.half_time_s > 3600
    assert max(mannitol.routes, key=lambda r: r.share_in).route == "paracellular"


def test_what_is_formed_in_neurons_alone_can_start_from_nothing():
    """Far from the blood a product grows with a power of time: no step has a relative error of it that is small."""
    settings = {"duration": "1 h", "cells": 40}
    whole = krogh.simulate("levodopa", **settings).groups[0]
    alone = krogh.simulate("levodopa", compound={"levodopa": {"AADC.endothelium.rate": "0 1/min"}}, **settings).groups[0]
    assert alone.metrics[1].auc_neuron == pytest.approx(whole.metrics[1].auc_neuron, rel=0.02)
    assert 0 < alone.metrics[1].auc_interstitium < whole.metrics[1].auc_interstitium
    assert alone.metrics[0].kp_uu == pytest.approx(whole.metrics[0].kp_uu, rel=0.01)
    assert alone.metrics[0].mass_defect_step < 1e-12
