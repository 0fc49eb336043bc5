"""Parameters by name change what they say they do, for many rows at once; data sets share them."""

import numpy as np
import pytest
from tests.inference._cases import observations

from krogh.errors import InputError
from krogh.inference.networks import networks_of
from krogh.inference.parameters import NAMES, find_parameter
from krogh.inference.predictors import predictor
from krogh.runs.config import build_config
from krogh.runs.infer import build_experiment, build_target

T = np.array([600.0, 1800.0, 3600.0])


def experiment(name="rat", **settings):
    base = {"compounds": ["morphine"], "species": "rat", "dose": "4 mg/kg iv", "cells": 24}
    return build_experiment(name, build_config({}, (), {**base, **settings}))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ka"])
def test_a_row_of_a_batch_is_the_simulation_with_that_value(name):
    e = experiment()
    p = find_parameter(name, e.subject)
    matrix = (
        "plasma" if name in ("clearance", "volume") else "brain total" if name in ("fu_brain", "porosity") else "interstitium"
    )
    data = observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix=matrix)
    both = predictor({"study": e}, [p], data)(np.array([[p.nominal], [0.8 * p.nominal]]))
    alone = predictor({"study": e}, [p], data)(np.array([[0.8 * p.nominal]]))
    np.testing.assert_allclose(both[1:], alone, rtol=2e-4)  # the steps of two problems are not those of one
    if name not in ("D", "Km"):  # a membrane, not water, limits morphine; Km is far above
        # Vu,brain is given: porosity only moves fluid between cells and interstitium
        assert np.abs(both[1] / both[0] - 1).max() > (1e-4 if name == "porosity" else 1e-3)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ka"])
def test_the_library_value_of_a_parameter_changes_nothing(name):
    e = experiment()
    p, untouched = (find_parameter(n, e.subject) for n in (name, "leak"))
    data = observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix="brain total")
    found = predictor({"study": e}, [p], data)(np.array([[p.nominal]]))
    np.testing.assert_allclose(found, predictor({"study": e}, [untouched], data)(np.array([[1.0]])), rtol=1e-9)


def test_the_nominal_values_are_those_of_the_simulation():
    import krogh

    e = experiment()
    for matrix, variable in (("interstitium", "interstitium"), ("brain total", "brain_total"), ("plasma", "plasma_total")):
        data = observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix=matrix)
        p = find_parameter("leak", e.subject)
        found = predictor({"study": e}, [p], data)(np.array([[1.0]]))[0]
        run = krogh.simulate("morphine", species="rat", dose="4 mg/kg iv", duration="1 h", cells=24, rtol=1e-6).dataset
        np.testing.assert_allclose(found, np.interp(T, run.time, run[variable][0]), rtol=2e-3)


def test_the_area_is_that_of_the_stepper():
    from krogh.validation.model import run_one

    e = experiment()
    data = observations([3600.0], [1.0], cv=0.1, matrix="interstitium auc")
    found = predictor({"study": e}, [find_parameter("leak", e.subject)], data)(np.array([[1.0]]))[0, 0]
    run = run_one("morphine", species="rat", dose="4 mg/kg iv", duration="1 h", cells=24)
    assert found == pytest.approx(run.metrics[0].auc_interstitium, rel=1e-3)


def test_the_area_by_networks_is_that_by_volumes():
    data = observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix="interstitium auc")
    p = find_parameter("P", experiment().subject)
    at = np.array([[p.nominal]])
    volumes = predictor({"study": experiment()}, [p], data)(at)
    np.testing.assert_allclose(networks_of({"study": experiment(solver="pinn")}, [p], data).predict(at), volumes, rtol=1e-4)


def test_data_sets_have_their_own_state_and_share_the_parameters():
    e = {"a": experiment("a"), "b": experiment("b", efflux={"P-gp": 0.0})}
    one = observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix="interstitium")
    data = type(one)(("a",) * 2 + ("b",), one.matrix, *(getattr(one, f) for f in ("t_s", "value", "sd", "cv", "lloq", "line")))
    _, target, x = build_target(e, data, ["P", "Vmax"])
    look = target.look(x[None])
    assert np.all(look.slopes[0, :, 0] != 0)
    assert look.slopes[0, 2, 1] == pytest.approx(0.0, abs=1e-9 * abs(look.slopes[0, 0, 1]))  # no pump works in b


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (["Q"], "did you mean|available"),
        (["P", "PS"], "P and PS"),
        (["P", "P"], "P together"),
        ([], "nothing"),
        (["MRP.Vmax"], "P-gp"),
    ],
)
def test_unknowns_that_make_no_sense_are_refused(free, said):
    with pytest.raises(InputError, match=said):
        build_target({"study": experiment()}, observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix="interstitium"), free)


def test_an_unknown_matrix_or_data_set_names_its_line():
    e = experiment()
    for data, said in (
        (observations(T, [1, 1, 1], cv=0.1, matrix="liver"), "line 2, matrix"),
        (observations(T, [1, 1, 1], cv=0.1, matrix="plasma"), "line 2, dataset"),
    ):
        with pytest.raises(InputError, match=said):
            predictor({"study" if "matrix" in said else "other": e}, [], data)
