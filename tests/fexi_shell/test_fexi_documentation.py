"""The commands of the how-to pages run in order and print what the pages show; the reference names every key, column and flag."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from krogh.fexi.interface import Flag
from krogh.io.fexi_protocol import COLUMNS, KEYS, read_protocol

from ._files import run_here

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "fexi-files.md").read_text(encoding="utf-8")
PAGES = ["fexi-fit", "fexi-cohort", "fexi-simulate", "fexi-precision", "fexi-learned", "fexi-calibrate", "fexi-networks"]


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_commands_run_and_print_what_the_page_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "console"):
        printed = ""
        for line in block.splitlines():
            if line.startswith("$ "):
                words = shlex.split(line[2:])
                assert words[:2] == ["krogh", "fexi"]
                run_here(*words[2:])
                printed = " ".join(capsys.readouterr().out.split())
            else:
                assert " ".join(line.split()) in printed, line


@pytest.mark.parametrize("page", PAGES)
def test_python_of_the_pages_runs(page: str) -> None:
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {})


def test_table_of_the_page_is_the_preset(tmp_path: Path) -> None:
    (table, *_) = blocks("fexi-fit", "text")
    (tmp_path / "P.tsv").write_text(table)
    assert read_protocol(tmp_path / "P.tsv").content_hash() == read_protocol("human-bbb").content_hash()


def test_reference_names_every_column_key_and_flag() -> None:
    for name in (*COLUMNS, *KEYS, "RequireB0"):
        assert f"`{name}`" in REFERENCE, name
    for flag in Flag:
        assert f"| {int(flag)} | {flag.name} |" in REFERENCE
