"""``krogh screen``: every row comes back, in order, screened or with the reason; the page opens from disk."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from krogh.barrier.member import prepare
from krogh.barrier.physiology import get_physiology
from krogh.barrier.state import BarrierState
from krogh.cli.main import _run
from krogh.compounds.predict.permeability import predict_intrinsic
from krogh.compounds.ranges import with_numbers
from krogh.report.screen import COLUMNS, rank_records
from krogh.runs import screen
from krogh.runs.batch import simulate_batch
from krogh.runs.screen import Entry, ScreenChunk, ScreenSettings, screen_chunk

TABLE = """name,smiles,logp,fu_brain,pka_base
coffee,CN1C=NC2=C1C(=O)N(C(=O)N2C)C,,,
broken,C1CC(,,,
amine,CCN(CC)CC,1.45,0.5,10.75
,mannitol,,,
bad number,CCO,much,,
comma,CCO,1,1,,,
empty,,,,
=1+1,<script>alert(1)</script>,,,
ethanol,CCO,-0.31,2,
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def _rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_row_comes_back(table, tmp_path, capsys):
    out = tmp_path / "s"
    assert _run(["screen", str(table), "--out", str(out), "--duration", "1 h", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["screened"], found["rejected"]) == (9, 3, 6)
    done, rejected = _rows(out / "screen.csv"), _rows(out / "rejects.csv")
    assert [r["name"] for r in done] == ["coffee", "amine", "mannitol"]
    assert list(done[0]) == list(COLUMNS)
    assert [int(r["row"]) for r in rejected] == [2, 5, 6, 7, 8, 9]
    assert sorted(int(r["rank"]) for r in done) == [1, 2, 3]
    assert rejected[4]["name"] == "'=1+1"  # no formula for a spreadsheet
    for word, r in zip(("valid SMILES", "logp", "cells", "nothing", "valid SMILES", "fu_brain"), rejected, strict=True):
        assert word in r["reason"]
    for r in done:
        low, mid, high = (float(r[f"permeability_{k}_m_s"]) for k in ("low_90", "intrinsic", "high_90"))
        assert low < mid < high
    coffee, amine, sugar = done
    assert "no charge" in coffee["assumed"]
    assert amine["assumed"] == ""
    assert float(amine["permeability_at_ph_7_4_m_s"]) < 0.01 * float(amine["permeability_intrinsic_m_s"])  # charged at pH 7.4
    assert float(sugar["time_to_half_of_peak_min"]) > 10 * float(coffee["time_to_half_of_peak_min"])
    page = (out / "screen.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "not for diagnosis" in page


def test_resume_gives_the_same_bytes(table, tmp_path, capsys):
    a, b = tmp_path / "a", tmp_path / "b"
    for out in (a, b):
        assert _run(["screen", str(table), "--out", str(out), "--duration", "1 h", "-q"]) == 0
    (b / "screen.csv").unlink()
    (b / "chunks" / "chunk-000000.json").unlink()
    assert _run(["screen", str(table), "--out", str(b), "--duration", "1 h", "-q"]) == 5
    assert "--resume" in capsys.readouterr().err
    assert _run(["screen", str(table), "--out", str(b), "--duration", "1 h", "-q", "--resume"]) == 0
    for name in ("screen.csv", "rejects.csv", "screen.html", "screen.png"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def test_parts_make_the_whole(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("krogh.cli.screen._ROWS", 4)
    for i in (2, 1, 3):
        assert _run(["screen", str(table), "--out", str(tmp_path / "p"), "--duration", "1 h", "--shard", f"{i}/3", "-q"]) == 0
    assert "left to other parts" in capsys.readouterr().out
    assert len(_rows(tmp_path / "p" / "screen.csv")) == 3
    assert len(_rows(tmp_path / "p" / "rejects.csv")) == 6


def test_max_fail_stops(table, tmp_path, capsys):
    assert _run(["screen", str(table), "--out", str(tmp_path / "s"), "--max-fail", "3", "-q"]) == 6
    assert capsys.readouterr().err.count("\n") == 1


def test_intervals_span_the_results_over_that_of_the_permeability():
    """Small molecules near the leak between the cells do not rise all the way; the span holds what a fine grid of P gives."""
    settings = ScreenSettings("human", "100 mg oral", 8 * 3600.0, plasma_of="caffeine")
    physiology, state, terms = get_physiology("human"), BarrierState(), settings.check()
    entries = (Entry(1, "", "mannitol"), Entry(2, "", "CCN(CC)CC", pka_base="10.75"), Entry(3, "", "CCCCO"))
    content, _ = screen_chunk(ScreenChunk(entries, settings))
    for entry, record in zip(entries, json.loads(content), strict=True):
        ready = screen._read(entry, settings)
        held = predict_intrinsic([ready.molecule.descriptors], [ready.molecule.logp])[0].permeability
        whole = screen._compound(ready, held, settings)
        grid = [
            with_numbers(whole, {("permeabilities", 0, "p_m_s"): p}) for p in np.geomspace(held.p_m_s.low, held.p_m_s.high, 33)
        ]
        found = screen._simulate([prepare(c, physiology, state, method=held.method) for c in grid], terms, settings)
        for key in screen.INTERVALS:
            values = np.array([r[key] for r in found])
            low, high = record[f"{key}_low_90"], record[f"{key}_high_90"]
            assert low <= record[key] <= high
            # five points for thirty-three: the span is right to the spacing of the points
            assert low <= 1.02 * np.quantile(values, 0.1), (entry.molecule, key)
            assert high >= 0.98 * np.quantile(values, 0.9), (entry.molecule, key)
            assert values.min() * 0.98 <= low
            assert high <= values.max() * 1.02


def test_parquet_in_and_out_are_the_csv(table, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra parquet)")
    import pyarrow as pa

    rows = [r for r in _rows(table) if None not in r and r["logp"] != "much"]  # what a typed table can hold
    text, source = tmp_path / "m2.csv", tmp_path / "m.parquet"
    with text.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    kinds = {"logp": float, "fu_brain": float}
    pq.write_table(pa.table({k: [kinds.get(k, str)(r[k]) if r[k] else None for r in rows] for k in rows[0]}), source)
    for name, path in (("a", text), ("b", source)):
        assert _run(["screen", str(path), "--out", str(tmp_path / name), "--duration", "1 h", "-q", "--parquet"]) == 0
    for file in ("screen.csv", "screen.parquet", "screen.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert len(_rows(tmp_path / "a" / "rejects.csv")) == len(_rows(tmp_path / "b" / "rejects.csv"))
    back, done = pq.read_table(tmp_path / "a" / "screen.parquet"), _rows(tmp_path / "a" / "screen.csv")
    assert back.column_names == list(COLUMNS)
    assert b"not for diagnosis" in back.schema.metadata[b"notice"]
    for cell, r in zip(back["kp_uu_low_90"].to_pylist(), done, strict=True):
        assert float(f"{cell:.6g}") == float(r["kp_uu_low_90"])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"smiles\nCCO\n", b"PAR1" + bytes(200) + b"PAR1"])
def test_bad_parquet_is_one_line(content, tmp_path, capsys):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra parquet)")
    (tmp_path / "m.parquet").write_bytes(content)
    assert _run(["screen", str(tmp_path / "m.parquet"), "--out", str(tmp_path / "s")]) == 3
    err = capsys.readouterr().err
    assert "Parquet" in err
    assert err.count("\n") == 1
    assert str(tmp_path) not in err


def test_without_pyarrow_the_error_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    assert _run(["screen", str(tmp_path / "m.parquet"), "--out", str(tmp_path / "s")]) == 2
    assert "krogh[parquet]" in capsys.readouterr().err


def test_a_lent_plasma_curve_has_a_peak():
    settings = ScreenSettings("human", "100 mg oral", 6 * 3600.0, plasma_of="caffeine")
    content, failed = screen_chunk(ScreenChunk((Entry(1, "a", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"),), settings))
    (record,) = json.loads(content)
    assert failed == 0
    assert 5 < record["tmax_min"] < 180


def test_one_molecule_that_cannot_be_solved_does_not_take_the_rest_along(monkeypatch):
    from krogh.errors import ConvergenceError

    def stubborn(members, *args, **settings):
        if any(m.compound.name == "bad" for m in members):
            raise ConvergenceError("step", got="none")
        return simulate_batch(members, *args, **settings)

    monkeypatch.setattr("krogh.runs.screen.simulate_batch", stubborn)
    entries = tuple(Entry(i, name, "CCO") for i, name in enumerate(("a", "bad", "c"), 1))
    content, failed = screen_chunk(ScreenChunk(entries, ScreenSettings("human", "1 uM constant", 3600.0)))
    assert failed == 1
    assert ["reason" in r for r in json.loads(content)] == [False, True, False]


def test_ranks_break_ties_by_permeability_and_row():
    rows = [
        {"row": i, "kp_uu": k, "permeability_intrinsic_m_s": p}
        for i, k, p in ((1, 0.5, 1), (2, 0.9996, 1), (3, 1.0, 2), (4, 1.0, 2))
    ]
    assert [r["row"] for r in rank_records(rows)] == [3, 4, 2, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("name\n", "no rows"),
        ("a,b\n1,2\n", "smiles"),
        ('smiles\n"open\n', "1 rows"),
        ("\x00", "without molecules"),
    ],
)
def test_bad_tables_are_one_line(text, words, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    code = _run(["screen", str(path), "--out", str(tmp_path / "s"), "--dry-run"])
    out, err = capsys.readouterr()
    assert words in out + err
    assert code in (0, 3)
    assert err.count("\n") <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--dose", "10 mg oral"], 3, "--plasma-of"),
        (["--species", "yeti"], 3, "yeti"),
        (["--duration", "soon"], 3, "duration"),
        (["--duration", "-1 h"], 3, "duration"),
        (["--shard", "3/2"], 3, "--shard"),
        (["--plasma-of", "nope", "--dose", "1 mg iv"], 3, "nope"),
    ],
)
def test_bad_settings_are_one_line(arguments, code, words, table, tmp_path, capsys):
    assert _run(["screen", str(table), "--out", str(tmp_path / "s"), *arguments]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()
