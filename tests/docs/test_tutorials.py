"""Every tutorial runs from top to bottom, with the assertions that it makes of its own numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
_CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_tutorial_runs(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    cells = _CELL.findall(page.read_text(encoding="utf-8"))
    assert len(cells) >= 4
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, page.name, "exec"), names)
    assert capsys.readouterr().out
    assert "assert " in "".join(cells)
    assert "not for diagnosis" in " ".join(page.read_text(encoding="utf-8").split())
