"""A report opens from disk, loads nothing, says what the run said, and shows hostile text as text."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tests.report.hostile import SCRIPTS

from krogh.cli.main import _run
from krogh.io.run_folder import read_run
from krogh.io.store import open_results
from krogh.io.toml_text import to_toml
from krogh.report.build import build_report, config_toml, report_of

ALLOWED_SCHEMES = re.compile(r"^(data:image/png;base64,|#part-\d+$)")


class _Page(html.parser.HTMLParser):
    """Collect the tags, their addresses and handlers, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data", "poster")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def check_safe(text: str) -> _Page:
    """Assert that the page has no script, no handler and no address outside of itself."""
    page = _Page(text)
    assert not {"script", "iframe", "object", "embed", "link", "form", "svg", "math", "base"} & set(page.tags)
    assert not page.handlers
    assert all(ALLOWED_SCHEMES.match(a) for a in page.addresses), [a[:80] for a in page.addresses]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    return page


def test_simulation_report_says_what_the_run_says(simulated: Path) -> None:
    page = check_safe(build_report(simulated))
    data = open_results(simulated)
    for name in ("caffeine", "morphine"):
        assert name in page.text
        assert f"Kp,uu {float(data.kp_uu.sel(compound=name)):.2g}" in page.text
    assert page.text.count("not for diagnosis or dosing") >= 2
    assert page.tags.count("img") == 4  # time course, two sections, routes: drawn although the run had --no-pictures
    assert "10.1007/978-3-7091-6194-4_3" in page.text  # the source of the barrier's area
    assert f"{np.abs(data.mass_defect_run.values).max():.1e}" in page.text
    assert "P-gp" in page.text


def test_fit_report_shows_each_region_with_its_interval(fitted: Path) -> None:
    page = check_safe(build_report(fitted))
    rows = [line.split("\t") for line in (fitted / "regions.tsv").read_text(encoding="utf-8").splitlines()]
    head, first = rows[0], rows[1]
    value, low, high = (float(first[head.index(k)]) for k in ("adc", "adc_low", "adc_high"))
    assert f"{value:.3g} ({low:.3g} to {high:.3g})" in page.text
    for row in rows[1:]:
        assert row[head.index("region")] in page.text
    assert page.tags.count("img") == 3
    assert "Calibration" in page.text


def test_a_rate_without_an_interval_is_not_printed(tmp_path: Path, fitted: Path) -> None:
    folder = tmp_path / "open"
    shutil.copytree(fitted, folder)
    head = "label\tregion\tvoxels\taxr\taxr_low\taxr_high\tp\tflag\n"
    (folder / "regions.tsv").write_text(head + "1\tCSF\t8\t17.77\tn/a\tn/a\t25.25\t2\n", encoding="utf-8")
    text = build_report(folder)
    assert "not determined" in text
    assert "17.77" not in text
    assert "17.8" not in text


def test_any_other_run_gets_its_tables_and_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["fexi", "simulate", "--voxels", "20", "--seed", "3", "--out", str(tmp_path / "v")]) == 0
    capsys.readouterr()
    assert _run(["report", str(tmp_path / "v"), "--json"]) == 0
    written = Path(json.loads(capsys.readouterr().out)["report"])
    page = check_safe(written.read_text(encoding="utf-8"))
    assert "voxels.tsv" in page.text
    assert "krogh fexi simulate" in page.text


@pytest.mark.parametrize("text", SCRIPTS)
def test_hostile_text_is_shown_as_text(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    record = {
        "krogh": text, "command": ["krogh", text, text], "config": {text: text, "deep": {text: [text]}}, "finished": text,
        "inputs": [{"name": text, "sha256": text}], "notes": [text], "versions": {text: text}, "machine": {"a": text},
        "more": text,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "table.csv").write_text("a,b\n" + '"' + text.replace('"', '""') + '",1\n', encoding="utf-8")
    page = check_safe(build_report(folder))
    assert text in page.text


@pytest.mark.parametrize("text", SCRIPTS)
def test_hostile_region_names_and_settings_are_text(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    config = {"model": text, "estimator": text, "protocol": {"b_s_m2": [text]}, "v_b": text, "radius_m": text}
    record = {"command": ["krogh", "fexi", "fit"], "config": config, "counts": {text: 3}, "inputs": [{"name": text}], "snr": text}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "regions.tsv").write_text(f"region\tvoxels\taxr\tflag\n{text}\t{text}\t{text}\t{text}\n", encoding="utf-8")
    assert text in check_safe(build_report(folder)).text


def test_hostile_compound_names_are_text(simulated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(simulated, folder)
    data = open_results(folder)
    data = data.assign_coords(compound=[SCRIPTS[0], SCRIPTS[4]])
    shutil.rmtree(folder / "results.zarr")
    from krogh.io.store import write_results

    write_results(data, folder)
    page = check_safe(build_report(folder))
    assert SCRIPTS[0] in page.text
    assert SCRIPTS[4] in page.text


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "no valid JSON"), ("[1]", "a list"), ("{", "no valid JSON"), ("[" * 100_000, "no valid JSON"), ('"x"', "a str")],
)
def test_broken_records_are_refused_in_one_line(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    assert _run(["report", str(tmp_path)]) == 3
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert str(tmp_path) not in error


@pytest.mark.parametrize("record", [{}, {"command": 3, "config": [], "inputs": {}, "notes": 1, "versions": 2, "machine": None}])
def test_records_of_the_wrong_shape_still_give_a_page(record: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    (tmp_path / "text.png").write_bytes(b"<svg onload=alert(1)>")
    page = check_safe(build_report(tmp_path))
    assert page.tags.count("img") == 1


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("secret,1\n", encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "table.csv").symlink_to(tmp_path / "secret.csv")
    assert "secret" not in build_report(folder)


def test_no_folder_and_existing_targets(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["report", str(tmp_path / "none")]) == 3
    assert _run(["report", str(tmp_path)]) == 3
    taken = tmp_path / "page.html"
    taken.write_text("mine", encoding="utf-8")
    assert _run(["report", str(simulated), "--out", str(taken)]) == 5
    assert taken.read_text(encoding="utf-8") == "mine"
    assert _run(["report", str(simulated), "--out", str(taken), "--overwrite"]) == 0
    assert "caffeine" in taken.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    capsys.readouterr()


def test_the_settings_file_of_the_report_repeats_the_run(simulated: Path, tmp_path: Path) -> None:
    text = config_toml(read_run(simulated))
    assert set(tomllib.loads(text)) == {"compounds", "duration", "cells", "leak_factor"}
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    out = tmp_path / "again"
    assert _run(["simulate", "--config", str(tmp_path / "run.toml"), "--no-pictures", "--quiet", "--out", str(out)]) == 0
    first, second = open_results(simulated), open_results(out)
    for name in ("kp_uu", "auc_interstitium"):
        np.testing.assert_array_equal(first[name], second[name])


def test_toml_text_reads_back() -> None:
    table = {
        "a": 1, "b": 2.5e-7, "c": True, "d": "x\"\\\n\t\x7f\x01ü", "e": [1.0, "y"], "f": {"g h": 1, "k": {"dose": "1 mg iv"}},
        "n": float("inf"), "empty key": {"": 3}, "list": {"of": [{"x": 1, "y": ["a"]}, {}]},
    }  # fmt: skip
    assert tomllib.loads(to_toml({**table, "none": None})) == table
    assert tomllib.loads(to_toml({"a": [{"b": None, "c": 1}]})) == {"a": [{"c": 1}]}


def test_every_value_of_the_table_has_source_and_status(simulated: Path) -> None:
    report = report_of(read_run(simulated))
    inputs = next(s for s in report.sections if s.title == "Inputs")
    rows = next(t for t in inputs.tables if "sources" in t.title).rows
    assert len(rows) > 40
    for row in rows:
        assert row[4] in "VRCAU"
        assert row[5]
    permeabilities = [r for r in rows if r[1] == "permeability" and r[0] == "caffeine"]
    assert len(permeabilities) == 1  # of the three that the library holds, the one that was used
