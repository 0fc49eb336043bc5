"""``krogh compare-solvers``: both solvers on a real drug, a picture, and a failure that is called one."""

import json

import numpy as np
import pytest

from krogh.cli.main import _run
from krogh.plots.solvers import draw_solvers
from krogh.runs.compare import compare_solvers
from krogh.runs.config import build_config
from krogh.runs.simulate import plan


@pytest.fixture(scope="module")
def comparison():
    config = build_config({}, (), {"compounds": ["caffeine"], "duration": "10 min", "cells": 60})
    return compare_solvers(plan(config)[0], tol=1e-3)


def test_networks_agree_with_finite_volumes_in_every_medium_and_at_the_membranes(comparison):
    assert comparison.converged
    assert {"endothelium", "interstitium", "neuron", "membranes"} <= set(comparison.media)
    # the mesh of 60 cells is what is left
    assert np.nanmax(comparison.error) < 2e-4
    assert comparison.mass_defect < 1e-5


def test_the_picture_shows_both_and_says_when_there_is_no_answer(comparison):
    figure = draw_solvers(comparison)
    left, right = figure.axes[:2]
    assert "[" in left.get_ylabel()
    assert "[s]" in right.get_xlabel()
    drawn = len(left.lines)
    failed = type(comparison)(**{f: getattr(comparison, f) for f in comparison.__dataclass_fields__} | {"certificate": 0.5})
    lost = draw_solvers(failed)
    assert "FAILED" in lost.texts[0].get_text()
    assert len(lost.axes[0].lines) == drawn // 2


def test_the_command_prints_and_saves(tmp_path, capsys):
    code = _run(["compare-solvers", "caffeine", "--duration", "5 min", "--cells", "40", "--out", str(tmp_path / "o"), "--quiet"])
    printed = capsys.readouterr().out
    assert code == 0
    assert "converged" in printed
    assert "not for diagnosis or dosing" in printed
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"solvers_caffeine.png", "run.json", "command.txt"}


def test_json_is_one_object(capsys):
    code = _run(["compare-solvers", "caffeine", "--duration", "1 min", "--cells", "40", "--json"])
    row = json.loads(capsys.readouterr().out)["comparisons"][0]
    assert code == 0
    assert row["converged"] is True
    assert row["relative_error"]["membranes"]["caffeine"] < 1e-3


def test_a_bad_tolerance_is_one_line(capsys):
    code = _run(["compare-solvers", "caffeine", "--tol", "2", "--quiet"])
    assert code == 3
    assert capsys.readouterr().err.strip().startswith("error: tol")
