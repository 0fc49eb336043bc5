"""``krogh validate``: a folder that opens, numbers of the page and of the record agree, one line for what is wrong."""

import json
import re

import numpy as np
import pytest
from tests.validation._data import data, tables

from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.io.published import data_folder
from krogh.report.validation import write_validation
from krogh.validation import rat
from krogh.validation.human import human_study
from krogh.validation.pet import pbr28_study, verapamil_study
from krogh.validation.run import STUDIES, run_study
from krogh.validation.structure import permeability_rows
from krogh.validation.study import Goal, Row, Study


def test_a_study_writes_page_record_and_picture(tmp_path, capsys):
    out = tmp_path / "v"
    assert _run(["validate", "--data", str(data()), "--only", "paracellular", "--only", "leiden", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "not for diagnosis" in text
    assert {f.name for f in out.iterdir()} == {
        "validation.html", "validation.json", "paracellular.png", "leiden.png", "run.json", "command.txt"
    }  # fmt: skip
    record = json.loads((out / "validation.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in record["studies"]] == ["paracellular", "leiden"]
    assert not any(r["scored"] for r in record["studies"][0]["rows"][:3])  # a pore was fitted to these
    page = (out / "validation.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # nothing from outside
    assert f"{record['studies'][1]['rows'][0]['predicted']:.3g}" in page


def test_paracellular_holds_its_goal_and_leaves_the_marker_out():
    study = rat.paracellular_study(tables()("panel"))
    assert study.goals[0].met
    assert study.kind == "calibration"
    assert [r.scored for r in study.rows] == [False] * 3 + [True] * 3


def test_levodopa_and_dopamine_rows_say_what_was_fitted():
    study = rat.levodopa_study(tables()("endpoints"))
    assert study.goals[1].value < 0.01
    assert study.rows[0].predicted == pytest.approx(study.rows[0].observed * study.goals[0].value)
    assert all(r.fitted for r in study.rows)


def test_a_human_drug_is_predicted_without_its_own_row():
    read = tables()
    rows = [r for r in read("human") if r["drug"] == "Mannitol"]
    training = permeability_rows(read("in_situ"))
    study = human_study(rows, read("human_benchmark"), training, cells=24)
    by = {g.what: g for g in study.goals}
    ours, flow = by["GMFE Mannitol, krogh from structure"], by["GMFE Mannitol, perfusion-limited"]
    assert ours.value < 0.5 * flow.value  # mannitol tells a barrier from none
    assert all(np.isfinite(c.observed).all() for c in study.curves)
    assert {"total brain", "lumbar CSF"} >= {c.matrix for c in study.curves}


def test_one_scan_of_pbr28():
    read = tables()
    scan = read("pet_tissue")[0]["scan"]
    one = [[r for r in read(name) if r["scan"] == scan] for name in ("pet_blood", "pet_tissue", "pet_reference")]
    study = pbr28_study(*one, regions=("whole_brain",))
    assert study.rows[0].fold == pytest.approx(1.0, abs=0.1)
    assert not study.rows[0].scored
    assert "weighted squares of the reference" in study.rows[0].note


def test_our_fit_of_a_far_scan_is_nearer_to_the_data_than_the_reference():
    """Where K1 differs by more than a tenth, the difference is the reference's: its squares are many times ours."""
    read = tables()
    one = [[r for r in read(name) if r["scan"] == "kzcp_2"] for name in ("pet_blood", "pet_tissue", "pet_reference")]
    study = pbr28_study(*one, regions=("whole_brain",))
    assert abs(study.rows[0].fold - 1) > 0.1
    assert float(re.search(r"reference fit ([\d.]+) times", study.rows[0].note)[1]) > 10
    assert "k3 on a bound" in study.rows[0].note


def test_cyclosporin_leaves_a_part_of_pgp_at_work():
    study = verapamil_study(tables()("endpoints"))
    before, inhibited, blocked, share = study.rows
    assert not before.scored  # Vmax was fitted to it
    assert inhibited.within_sd
    assert blocked.within_sd
    assert share.predicted == pytest.approx(100 * (1 - 1 / blocked.predicted))
    assert share.predicted == pytest.approx(share.observed, abs=5)
    assert before.predicted < inhibited.predicted < before.predicted * blocked.predicted
    assert "59 % at work" in inhibited.note


def test_text_from_data_is_never_markup(tmp_path):
    bad = "<script>alert(1)</script>"
    study = Study("x", bad, bad, bad, (Row(bad, bad, "1", 1.0, float("nan"), note=bad),), (Goal(bad, 1.0, bad, None, bad),))
    write_validation(tmp_path, [study], {bad: bad})
    assert "<script>alert" not in (tmp_path / "validation.html").read_text(encoding="utf-8")


def test_dry_run_lists_the_studies(capsys):
    assert _run(["validate", "--dry-run"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(STUDIES)


def test_what_is_wrong_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KROGH_DATA", raising=False)
    for arguments in (["--only", "nope"], [], ["--data", str(tmp_path)]):
        assert _run(["validate", "--out", str(tmp_path / "v"), *arguments]) == 3
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "v").exists()


def test_a_missing_table_leaves_its_study_out_and_says_so(tmp_path, capsys):
    (tmp_path / "observed_summary_endpoints.csv").write_text("drug,condition\n", encoding="utf-8")
    assert data_folder(tmp_path) == tmp_path
    assert _run(["validate", "--data", str(tmp_path), "--only", "leiden", "--out", str(tmp_path / "v")]) == 3
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(InputError, match="morphine"):
        run_study("morphine", lambda name: [{"drug": "morphine"}])
