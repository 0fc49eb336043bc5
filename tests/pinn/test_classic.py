"""The baseline: it trains, says what it lacks, and is never taken for an answer."""

import numpy as np
import pytest
from bench.pinn_cases import case, decaying

from krogh import pinn
from krogh.cli.main import _run
from krogh.errors import ConvergenceError, InputError
from krogh.pinn.methods import METHODS, classic
from krogh.pinn.methods.task import Task
from krogh.pinn.physics import slab_of
from krogh.runs.config import build_config
from krogh.runs.simulate import plan


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(classic, "_ADAM", 20)
    monkeypatch.setattr(classic, "_LBFGS", 10)


def test_training_lowers_the_loss_and_the_certificate_still_refuses_it(few_steps):
    problem = case("A")
    task = Task(slab_of(problem.barrier), lambda t, left: np.exp(-t / 60)[None], [0.0, 60.0], 1e-3)
    sketch = classic._Sketch(task)
    before = float(sketch.loss().detach())
    sketch.train()
    assert float(sketch.loss().detach()) < 0.5 * before
    with pytest.raises(ConvergenceError, match="certificate"):
        pinn.solve(problem, method="classic", tol=1e-2)
    found = pinn.solve(problem, method="classic", strict=False)
    assert not found.converged
    assert found.certificate > 0.1
    assert found.unknowns > sketch.weights


def test_cells_enzymes_products_and_doses_have_their_place_in_it(few_steps):
    settings = {"compounds": ["levodopa"], "duration": "5 min", "dose": "1 mg/kg iv", "cells": 40}
    problem = plan(build_config({}, (), settings))[0].problem
    found = pinn.solve(problem, method="classic", strict=False)
    assert found.sample(np.array([1.0, 300.0])).shape[2] == 2
    assert np.isfinite(found.certificate)
    twice = pinn.solve(type(problem)(problem.barrier, decaying(starts=(0.0, 30.0), species=2), 60.0, cells=40),
                       method="classic", strict=False)  # fmt: skip
    assert len(twice.windows) == 2


def test_the_command_labels_the_baseline_failed_with_its_number(few_steps, capsys):
    code = _run(["compare-solvers", "caffeine", "--duration", "1 min", "--cells", "40", "--method", "classic", "--quiet"])
    assert code == 0
    assert "networks (classic) FAILED: no answer at this tolerance (certificate" in capsys.readouterr().out


def test_an_unknown_method_is_one_line_that_names_the_known():
    with pytest.raises(InputError, match=", ".join(METHODS)):
        pinn.solve(case("A"), method="magic")
