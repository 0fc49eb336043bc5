"""The joint loss of data and equations: its minimum is one, it moves with the weight, and it is told from the fit."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bench.pinn_cases import decaying, slab
from tests.inference._cases import TIMES, TRUTH, by_volumes, layer_target, networks, observations

from krogh.cli.main import _run
from krogh.errors import ConvergenceError, InputError
from krogh.inference.fit import fit
from krogh.inference.joint import Joint, joint_fit
from krogh.inference.joint_loss import JointLoss
from krogh.inference.networks import Networks, Rerun
from krogh.inference.target import Target, flat_prior
from krogh.transport.problem import Problem


@pytest.fixture(scope="module")
def study():
    nets = networks(2, tol=1e-3)
    value = by_volumes(TRUTH[None])[0] * (1 + 0.05 * np.random.default_rng(0).standard_normal(TIMES.size))
    target = replace(layer_target(value, 2, cv=0.05), predict=nets.predict, slopes=nets.slopes)
    return nets, target, fit(target, np.log(TRUTH[:2]), scan=0)


def test_a_light_weight_gives_the_fit_that_solves_the_equations(study):
    nets, target, found = study
    joint = joint_fit(nets, target, np.log(TRUTH[:2]), weight=1e-4)
    assert np.all(np.abs(joint.x - found.x) < 0.01 * found.sd)
    assert joint.residual < 1e-4


def test_the_textbook_weight_bends_the_equations_and_moves_the_estimate(study):
    nets, target, found = study
    joint = joint_fit(nets, target, found.x, weight=1.0)
    assert np.abs((joint.x - found.x) / found.sd).max() > 0.2
    assert joint.residual > 1e-3  # the equations are not solved any more


def test_steps_end_where_no_direction_leads_down(study):
    nets, target, found = study
    loss = JointLoss(nets, target, 1e-3)
    x = found.x + 0.1
    state = loss.begin(x)
    first = loss.value(x, state)
    for _ in range(12):
        move, shift = loss.step(x, state, 0.0)
        x, state = x + move, [[w + d for w, d in zip(a, b, strict=True)] for a, b in zip(state, shift, strict=True)]
    assert np.abs(move).max() < 1e-6
    assert loss.value(x, state) < first
    low, rng = loss.value(x, state), np.random.default_rng(1)
    for _ in range(20):  # no direction leads down
        size = 1e-3 * rng.standard_normal()
        beside = [[w + size * d for w, d in zip(a, b, strict=True)] for a, b in zip(state, loss.begin(x), strict=True)]
        assert loss.value(x + 1e-3 * rng.standard_normal(2), beside) > low - 1e-9


def command(folder):
    data = folder / "d.csv"
    data.write_text("matrix,time [min],value [nM],cv [%]\nECF,20,500,10\nECF,60,450,10\nECF,120,290,10\n")
    dose = ["--species", "rat", "--dose", "4 mg/kg iv", "--cells", "16"]
    return ["infer", str(data), "--compound", "morphine", *dose, "--quiet", "--no-pictures", "--no-posterior", "--json"]


def test_a_parameter_of_a_layer_is_fitted_with_the_others():
    t = np.linspace(5.0, 60.0, 12)

    def problem(theta):
        layers = slab([1.0, 20.0], [20.0, 500.0], [0.05, 0.02 * theta[1]], [2.0 * theta[0], 10.0], vmax=0.0)
        return Problem(layers, decaying(), 60.0, cells=32)

    def read(solution, theta):
        return solution.medium("layer 1", solution.sample(t))[..., 0]

    nets = Networks([(Rerun(problem, read, tol=1e-3), np.arange(t.size))], t.size)
    clean = nets.predict(np.ones((1, 2)))[0]
    data = observations(t, clean * (1 + 0.05 * np.random.default_rng(3).standard_normal(t.size)), cv=0.05)
    target = Target(("P", "loss"), nets.predict, data, np.full(2, -3.0), np.full(2, 3.0), *flat_prior(2), slopes=nets.slopes)
    found = fit(target, np.zeros(2), scan=0)
    joint = joint_fit(nets, target, found.x, weight=1e-4)
    assert np.all(np.abs(joint.x - found.x) < 0.2 * found.sd)


def test_parameters_inside_a_layer_are_refused_before_any_work(tmp_path, capsys):
    common = command(tmp_path)
    assert _run([*common, "--free", "fu_brain", "--joint", "1", "--out", str(tmp_path / "no")]) == InputError.exit_code
    assert "what a layer stores" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert _run([*common, "--free", "P", "--joint", "-1", "--out", str(tmp_path / "no")]) != 0
    assert "weight" in capsys.readouterr().err


def test_the_command_labels_the_joint_estimate_and_keeps_it_out_of_the_table(tmp_path, capsys, monkeypatch):
    # the minimisation itself is tested above; on all layers it takes half a minute
    seen = {}

    def moved(networks, target, start, *, weight):
        seen["weight"] = weight
        return Joint(weight, start + 0.1, 1e-3, 3)

    monkeypatch.setattr("krogh.runs.infer_networks.joint_fit", moved)
    assert _run([*command(tmp_path), "--free", "P", "--joint", "2", "--out", str(tmp_path / "yes")]) == 0
    record = json.loads(capsys.readouterr().out)
    (row,), (p,) = record["joint"], record["parameters"]
    assert seen["weight"] == row["weight_of_data"] == 2
    assert row["estimate"] == p["estimate"]
    assert row["joint_estimate_biased"] == pytest.approx(p["estimate"] * np.exp(0.1))
    assert row["shift_sd"] == pytest.approx(0.1 / p["relative_sd"])
    assert any("biased" in n for n in record["notes"])
    assert (tmp_path / "yes" / "joint.csv").exists()


def test_a_joint_fit_that_fails_costs_nothing_else_and_is_said_even_when_quiet(tmp_path, capsys, monkeypatch):
    def fails(*_, **__):
        raise ConvergenceError("joint loss", got="no minimum after 80 steps", hint="raise the weight of the data")

    monkeypatch.setattr("krogh.runs.infer_networks.joint_fit", fails)
    assert _run([*command(tmp_path), "--free", "P", "--joint", "1", "--out", str(tmp_path / "o")]) == 0
    assert "warning: no joint fit: joint loss: got no minimum after 80 steps" in capsys.readouterr().err
    assert (tmp_path / "o" / "parameters.csv").exists()
    assert not (tmp_path / "o" / "joint.csv").exists()
