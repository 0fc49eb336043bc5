"""``krogh sensitivity`` and ``krogh simulate --uncertainty``: files, resume, parts, failures, one-line errors."""

import csv
import json

import pytest

from krogh.cli.main import _run

_SHORT = ["caffeine", "--dose", "100 mg oral", "--duration", "1 h", "--cells", "24", "--free", "compound", "-n", "8"]


def _rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_pictures_and_page(tmp_path, capsys):
    out = tmp_path / "s"
    arguments = ["sensitivity", "levodopa", "--free", "AADC.neuron.rate", "--free", "fu_plasma", "-n", "8"]
    assert _run([*arguments, "--duration", "1 h", "--cells", "24", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted([*found["files"], "chunks", "run.json", "command.txt"]) == sorted(f.name for f in out.iterdir())
    names = [r["result"] for r in found["results"]]
    assert names[0] == "kp_uu"
    assert "dopamine (from levodopa): auc_neuron_uM_min" in names
    assert "LAT1.vmax" not in found["held"]  # it has a range; it was not asked for
    assert "diffusivity" in found["held"]
    dopamine = found["results"][names.index("dopamine (from levodopa): auc_neuron_uM_min")]
    assert dopamine["p05"] < dopamine["median"] < dopamine["p95"]
    assert dopamine["strongest"][0]["input"] == "AADC.neuron.rate"
    assert {r["input"] for r in _rows(out / "indices.csv")} == {"AADC.neuron.rate", "fu_plasma"}
    bands = _rows(out / "bands.csv")
    assert {r["compound"] for r in bands} == {"levodopa", "dopamine (from levodopa)"}
    assert all(float(r["p05_mol_m3"]) <= float(r["p50_mol_m3"]) <= float(r["p95_mol_m3"]) for r in bands)
    page = (out / "sensitivity.html").read_text(encoding="utf-8")
    assert "Held at their values" in page
    assert "not for diagnosis" in page


def test_parts_workers_and_resume_give_the_same_bytes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("krogh.runs.uncertainty.run.ROWS", 3)
    assert _run(["sensitivity", *_SHORT, "--out", str(tmp_path / "a"), "-q"]) == 0
    assert _run(["sensitivity", *_SHORT, "--out", str(tmp_path / "b"), "-q", "--shard", "2/2"]) == 0
    assert "left to other parts" in capsys.readouterr().out
    assert _run(["sensitivity", *_SHORT, "--out", str(tmp_path / "b"), "-q", "--shard", "1/2"]) == 0
    assert _run(["sensitivity", *_SHORT, "--out", str(tmp_path / "a"), "-q"]) == 5
    assert "--resume" in capsys.readouterr().err
    (tmp_path / "a" / "chunks" / "chunk-000001.json").unlink()
    assert _run(["sensitivity", *_SHORT, "--out", str(tmp_path / "a"), "-q", "--resume"]) == 0
    files = [
        f
        for f in sorted((tmp_path / "a").rglob("*"))
        if f.is_file() and f.name not in ("run.json", "command.txt") and f.name[0] != "."
    ]
    assert len(files) > 8
    for f in files:
        assert f.read_bytes() == (tmp_path / "b" / f.relative_to(tmp_path / "a")).read_bytes(), f.name


def test_a_sample_that_cannot_be_simulated_is_counted_and_costs_no_other(tmp_path, capsys):
    out = tmp_path / "s"
    arguments = ["sensitivity", "caffeine", "--dose", "100 mg iv over 10 min", "--duration", "1 h", "--cells", "24", "-n", "8"]
    assert _run([*arguments, "--free", "pk.cl=0..1 L/h uniform", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["failed"] == 0
    assert found["results"][0]["strongest"][0]["at_low"] is None  # no elimination: an infusion has no such curve
    record = json.loads((out / "chunks" / "chunk-000000.json").read_text(encoding="utf-8"))
    assert "no elimination" in record[1]["reason"]


def test_dry_run_lists_what_varies_and_what_does_not(capsys):
    assert _run(["sensitivity", "morphine", "--free", "all", "--free", "permeability=x3", "--method", "lhs", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "113 nm/s" in out
    assert "no part in this run" in out
    assert "held, no range known" in out


def test_simulate_with_ranges(tmp_path, capsys):
    arguments = ["simulate", "caffeine", "--duration", "1 h", "--cells", "24", "--uncertainty", "6", "--no-pictures"]
    assert _run([*arguments, "--out", str(tmp_path / "a"), "--json"]) == 0
    (held,) = json.loads(capsys.readouterr().out)["ranges"]
    assert held["compound"] == "caffeine"
    low, mid, high = held["results"]["cmax_interstitium_uM"]
    assert low < mid < high
    assert (tmp_path / "a" / "bands.csv").is_file()
    assert _run([*arguments, "--out", str(tmp_path / "b"), "--geometry", "cylinder"]) == 3
    assert "slab" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope"], 3, "nope"),
        (["caffeine", "--free", "fu_plasm"], 3, "fu_plasma"),
        (["caffeine", "--method", "guess"], 3, "lhs"),
        (["caffeine", "--samples", "2"], 3, "--samples"),
        (["caffeine", "--method", "sobol", "--samples", "100"], 3, "power of two"),
        (["caffeine", "--shard", "3/2"], 3, "--shard"),
        (["caffeine", "--set", "geometry=cylinder"], 3, "slab"),
    ],
)
def test_bad_settings_are_one_line(arguments, code, words, tmp_path, capsys):
    assert _run(["sensitivity", *arguments, "--out", str(tmp_path / "s")]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()
