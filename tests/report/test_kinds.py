"""Each kind of run has a report that says what its numbers say; a folder that lies or lacks files still gives a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.report.hostile import SCRIPTS

from krogh.cli.main import _run
from krogh.io.run_folder import read_run
from krogh.report.build import KINDS, build_report, report_of

MOLECULES = "name,smiles\ncoffee,caffeine\nsugar,mannitol\n<b>alcohol</b>,CCO\nbroken,C1CC(\n"
COMPARISON = {
    "compounds": ["caffeine"], "converged": True, "certificate": 2e-4, "tol": 1e-3, "mass_defect": 1e-12, "unknowns": 900,
    "relative_error": {"interstitium": {"caffeine": 1.02e-5}}, "relative_error_log_time": {"interstitium": {"caffeine": 2.5e-5}},
    "cpu_s": {"finite volumes": 0.4, "networks": 1.5},
}  # fmt: skip
STUDY = {
    "name": "rat", "title": "Rats", "source": "A 2020", "text": "Rows.",
    "rows": [{"what": "x", "predicted": 1.0, "observed": 2.0, "unit": "1", "scored": True}],
    "goals": [{"what": "GMFE", "value": 1.5, "low": 1.2, "high": 2.0, "goal": "<= 2", "met": True, "beside": "constant 3"},
              {"what": "bias", "value": 0.9, "low": None, "high": None, "goal": "<= 0.5", "met": False, "beside": ""}],
}  # fmt: skip


def folder(tmp_path: Path, command: list[str], config: dict[str, Any], **files: str) -> Path:
    """Return a run folder of some kind."""
    record = {"command": ["krogh", *command], "config": config, "inputs": []}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return tmp_path


def answer(place: Path) -> str:
    return " ".join(report_of(read_run(place)).answer)


def test_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rdkit", reason="the extra 'chem' is not installed")
    monkeypatch.chdir(tmp_path)
    Path("molecules.csv").write_text(MOLECULES, encoding="utf-8")
    assert _run(["screen", "molecules.csv", "--duration", "30 min", "--out", "out", "--quiet"]) == 0
    said = answer(tmp_path / "out")
    assert re.match(
        r"4 rows: 3 screened, 1 rejected. Rank 1: <b>alcohol</b>, P [\d.e-]+ m/s \(90 %: [\d.e-]+ to [\d.e-]+\)", said
    )
    page = build_report(tmp_path / "out")
    assert "<b>alcohol" not in page
    assert "C1CC(" in page
    assert "data:image/png" in page


def test_solvers_say_which_failed(tmp_path: Path) -> None:
    failed = {**COMPARISON, "compounds": ["morphine"], "converged": False}
    place = folder(tmp_path, ["compare-solvers", "caffeine"], {"comparisons": [COMPARISON, failed]})
    said = answer(place)
    assert "caffeine: the networks converged, certificate 2.0e-04, asked for 1.0e-03." in said
    assert "morphine: the networks FAILED" in said
    assert "1.0e-05" in build_report(place)


def test_validation_names_what_it_missed(tmp_path: Path) -> None:
    record = json.dumps({"studies": [STUDY], "left_out": {"pet": "no table"}})
    place = folder(tmp_path, ["validate"], {}, validation__json=record)
    said = answer(place)
    assert "of 2 goals 1 are met and 1 missed. Missed: rat, bias: 0.9, goal <= 0.5. Left out: pet (no table)." in said
    assert "1.2 to 2" in build_report(place)


def test_sensitivity_names_the_strongest(tmp_path: Path) -> None:
    summary = "result,at_the_values,p05,p25,p50,p75,p95\nkp_uu,0.98,0.9,0.95,0.97,0.98,0.99\nauc,1,,,,,\n"
    tornado = "result,input,low_si,high_si,result_at_low,at_the_values,result_at_high\n" + (
        "kp_uu,fu_brain,0.6,1,0.97,0.98,0.99\nkp_uu,area,8,20,0.9,0.98,0.99\nkp_uu,none,1,2,0.98,0.98,0.98\n"
    )
    place = folder(tmp_path, ["sensitivity", "x"], {"settings": {"compounds": ["x"]}}, summary__csv=summary, tornado__csv=tornado)
    assert "kp_uu: 0.97, 5 to 95 %: 0.9 to 0.99; moved most by area, fu_brain. auc: 1 at the values" in answer(place)


def test_benchmark(tmp_path: Path) -> None:
    head = "estimator\tparameter\tunit\tmse\tbias\tslope\tcrlb_sd_median\n"
    place = folder(tmp_path, ["fexi", "benchmark"], {"snr": 50}, scores__tsv=head + "nlls\taxr\t1/s\t4.0\t-0.5\t0.8\t3.1\n")
    said = answer(place)
    assert "nlls: RMSE of AXR 2 1/s, bias -0.5 1/s; the estimate rises by 0.80" in said
    assert "3.1 1/s (Cramér-Rao" in said


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "simulate"])  # which is nothing without its results
@pytest.mark.parametrize(
    "config", [{}, {"comparisons": "x", "settings": 3, "compounds": 7}, {"comparisons": [{}], "settings": {}}]
)
def test_folders_that_lack_or_lie_still_give_a_page(tmp_path: Path, kind: str, config: dict[str, Any]) -> None:
    place = folder(
        tmp_path, [*kind.split(), SCRIPTS[0]], config, screen__csv="a,b\n1,2\n", validation__json="[]", scores__tsv="x\n"
    )
    page = build_report(place)
    assert "not for diagnosis" in page
    assert SCRIPTS[0] not in page
