"""Well-stirred compartments: beside a matrix exponential and finite volumes, exact slopes, coverage, and what they refuse."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tests.inference._cases import observations
from tests.inference.test_cli_infer import T as TABLE_T

from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.inference.calibrate import calibrate
from krogh.inference.fit import fit
from krogh.inference.parameters import find_parameter
from krogh.inference.predictors import predictor
from krogh.runs.config import build_config
from krogh.runs.infer import build_experiment, build_target
from krogh.transport.compartments import lump
from krogh.transport.response import inputs_of, solve_compartments

T = np.array([0, 1, 5, 10, 20, 30, 60, 90, 120, 240, 420.0]) * 60
CASES = {
    "pumped": ("morphine", "rat", "4 mg/kg infusion over 10 min", ("P", "Vmax", "fu_brain", "clearance")),
    "oral": ("caffeine", "human", "100 mg oral", ("P", "ka", "fu_brain", "volume")),
    "carried": ("levodopa", "human", "100 mg oral", ("Vmax", "fu_brain")),
    "outside cells": ("mannitol", "rat", "1 uM constant", ("P", "porosity")),
}
CURVE = (np.array([0.0, 60, 300, 900, 3600, 14400]), np.array([2.0, 9, 7, 4, 1, 0.2]) * 1e-3)


def experiment(compound, species, dose, *, plasma=None, solver="compartments"):
    config = {"compounds": [compound], "species": species, "dose": dose, "cells": 48, "rtol": 1e-6}
    return replace(build_experiment("study", build_config(config), plasma=plasma), solver=solver)


def model(e, free, matrix="interstitium"):
    p = [find_parameter(n, e.subject) for n in free]
    data = observations(T, np.ones(T.size), cv=0.05, matrix=matrix)
    return predictor({"study": e}, p, data), np.array([[x.nominal for x in p]])


@pytest.mark.parametrize("plasma", [None, CURVE], ids=["dose", "curve"])
def test_the_closed_form_solves_the_equations(plasma):
    e = experiment(*CASES["pumped"][:3], plasma=plasma)
    problem = e.problem([e.subject], float(T[-1]))
    c = lump(problem)
    fu = np.asarray(problem.fu_plasma)[:, 0]
    inputs = inputs_of(problem.blood, fu) if plasma is None else inputs_of(problem.blood.curve, fu)
    x, blood = solve_compartments(c, inputs, T)
    np.testing.assert_allclose(blood[0], [problem.blood.free(t)[0, 0] for t in T], rtol=1e-12, atol=1e-20)
    assert {"interstitium", "neuron", "astrocyte", "endothelium"} <= set(c.media)
    assert x.shape[2] == 4

    def rate(t, y):
        return c.rates[0] @ y + c.entry[0] * problem.blood.free(t)[0, 0]

    ends = [0.0, *problem.blood.events(T[-1]), T[-1]]
    state = np.zeros(4)
    for a, b in itertools.pairwise(ends):
        state = solve_ivp(rate, (a, b - 1e-9), state, method="LSODA", rtol=1e-10, atol=1e-16).y[:, -1]
    np.testing.assert_allclose(x[0, -1], state, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("matrix", ["interstitium", "brain total"])
def test_curves_lie_beside_those_of_finite_volumes(case, matrix):
    e = experiment(*CASES[case][:3])
    lumped, theta = model(e, (), matrix)
    volumes, _ = model(replace(e, solver="fv"), (), matrix)
    m = volumes(theta)
    near = 1.5e-2 if case == "outside cells" else 3e-3  # drainage behind the wall draws a gradient that one cell a layer has not
    assert np.max(np.abs(lumped(theta) - m)) < near * m.max()
    assert not volumes.exact


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("matrix", ["interstitium", "brain total", "plasma", "endothelium"])
def test_sensitivities_are_exact(case, matrix):
    compound, species, dose, free = CASES[case]
    for plasma in (None, CURVE) if case == "carried" else (None,):
        lumped, theta = model(experiment(compound, species, dose, plasma=plasma), free, matrix)
        theta = theta * 1.1
        m, by = lumped.slopes(theta)
        np.testing.assert_allclose(m, lumped(theta), rtol=1e-13)
        h = 1e-4
        for k, move in enumerate(np.exp(h * np.eye(len(free)))):
            differences = (lumped(theta * move) - lumped(theta / move)) / (2 * h)
            np.testing.assert_allclose(by[..., k], differences, atol=2e-7 * m.max())


def test_several_rows_are_each_their_own():
    lumped, theta = model(experiment(*CASES["pumped"][:3]), ("P", "Vmax"))
    rows = theta * np.array([[1.0, 1.0], [2.0, 0.5]])
    np.testing.assert_allclose(lumped(rows)[1:], lumped(rows[1:]), rtol=1e-13)
    np.testing.assert_allclose(lumped.slopes(rows)[1][1:], lumped.slopes(rows[1:])[1], rtol=1e-9, atol=1e-15)


def test_intervals_hold_the_truth_as_often_as_they_say():
    e = experiment(*CASES["pumped"][:3])
    t = np.array([5, 10, 20, 30, 45, 60, 90, 120, 180, 240.0]) * 60
    data = observations(t, np.ones(t.size), cv=0.08, matrix="interstitium")
    _, target, start = build_target({"study": e}, data, ["P", "Vmax"])
    found = calibrate(target, start, 200, seed=1)
    assert found.converged.all()
    low, high = found.expected()
    assert np.all((low <= found.coverage()) & (found.coverage() <= high))
    assert np.all(np.abs(found.bias) < 3.3 / np.sqrt(200))


def test_compartments_and_volumes_find_the_same():
    found = {}
    for solver in ("fv", "compartments"):
        e = experiment(*CASES["pumped"][:3], solver=solver)
        data = observations(T[1:], np.ones(T.size - 1), cv=0.05, matrix="interstitium")
        _, target, start = build_target({"study": replace(e, cells=24, rtol=1e-4)}, data, ["P", "Vmax"])
        if solver == "fv":
            value = data.draw(target.predict(np.exp(start[None]))[0], np.random.default_rng(2))
        found[solver] = fit(replace(target, data=data.with_values(value)), start, scan=0)
    assert np.max(np.abs(found["fv"].x - found["compartments"].x) / found["fv"].sd) < 0.1
    np.testing.assert_allclose(found["fv"].sd, found["compartments"].sd, rtol=0.02)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    e = experiment(*CASES["pumped"][:3])
    p = [find_parameter(n, e.subject) for n in ("P", "Vmax")]
    data = observations(TABLE_T, np.ones(TABLE_T.size), cv=0.05, matrix="interstitium")
    m = predictor({"study": e}, p, data)(np.array([[60e-9, 1.5 * p[1].nominal]]))[0]
    path = tmp_path_factory.mktemp("data") / "rat.csv"
    seen = data.draw(m, np.random.default_rng(4)) * 1e6
    path.write_text("matrix,time [min],value [nM],cv [%]\n" + "".join(
        f"ECF,{t / 60:g},{y:.5g},5\n" for t, y in zip(TABLE_T, seen, strict=True)))  # fmt: skip
    return path


COMMON = ["--compound", "morphine", "--species", "rat", "--dose", "4 mg/kg infusion over 10 min", "--solver", "compartments",
          "--quiet"]  # fmt: skip


def test_the_command_infers_by_compartments(table, tmp_path, capsys):
    assert _run(["infer", str(table), *COMMON, "--free", "P,Vmax", "--out", str(tmp_path / "o"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    p, vmax = record["parameters"]
    assert p["low"] < 60 < p["high"]
    assert vmax["low"] < 1.5 * vmax["library"] < vmax["high"]
    assert record["posterior"]
    assert record["next_times"][0]["time_s"] > 0
    assert not any("straight line" in n for n in record["notes"])
    assert {"fit.png", "corner.png", "profiles.png"} <= {f.name for f in (tmp_path / "o").iterdir()}


def test_vmax_and_km_are_refused_with_their_ratio(table, tmp_path, capsys):
    args = ["infer", str(table), *COMMON, "--free", "Vmax,Km", "--no-pictures", "--out", str(tmp_path / "o")]
    assert _run(args) == 4
    assert capsys.readouterr().err.startswith("error: Vmax, Km: got data that hold only Vmax/Km = ")


def test_saturation_is_said_and_the_joint_loss_refused(table, tmp_path, capsys):
    args = ["infer", str(table), *COMMON, "--free", "P", "--no-pictures", "--no-posterior", "--out", str(tmp_path / "o")]
    assert _run([*args, "--json", "--set", "morphine.P-gp.km=0.5 uM", "--set", "morphine.P-gp.vmax=0.07 pmol/cm2/min"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("P-gp saturates by up to" in n and n.endswith("use --solver fv") for n in notes)
    assert _run([*args, "--overwrite", "--joint", "1"]) == 3
    assert "solver compartments" in capsys.readouterr().err


def test_what_compartments_cannot_do_is_refused():
    e = experiment(*CASES["pumped"][:3])
    with pytest.raises(InputError, match=r"line 2, matrix.*with compartments"):
        predictor({"study": e}, [], observations(T[1:], np.ones(10), cv=0.1, matrix="interstitium auc"))
    both = build_config({"compounds": ["morphine"], "species": "rat", "dose": "4 mg/kg iv", "cells": 16})
    problem = build_experiment("x", both).problem([e.subject], 60.0)
    with pytest.raises(InputError, match="one compound in the slab"):
        lump(replace(problem, barrier=replace(problem.barrier, species=("a", "b"))))
    with pytest.raises(InputError, match="setting 'solver'"):
        build_config({"compounds": ["morphine"], "solver": "compartments"})
