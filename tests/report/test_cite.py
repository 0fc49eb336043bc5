"""``krogh cite`` names the software, the methods of the run and the sources of its values, as BibTeX that parses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from krogh.cli.main import _run
from krogh.report.citations import Entry, _identity, to_bibtex


def _cite(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert _run(["cite", *words]) == 0
    return capsys.readouterr().out


def _entries(text: str) -> dict[str, dict[str, str]]:
    """Return key -> fields of a BibTeX text; braces must balance."""
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    found = {}
    for key, body in re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}", text, flags=re.DOTALL | re.MULTILINE):
        assert key not in found
        found[key] = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, flags=re.MULTILINE))
    return found


def test_software_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(_entries(_cite(capsys))) == ["krogh"]


def test_simulation(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = _entries(_cite(capsys, str(simulated)))
    assert {"krogh", "kennedy2003", "renkin1959"} <= set(entries)
    dois = [e["doi"].lower() for e in entries.values() if "doi" in e]
    assert len(dois) == len(set(dois))
    assert "10.1186/s12987-024-00584-y" in dois  # caffeine's permeability
    assert "10.1007/978-3-7091-6194-4_3" in dois  # the barrier's area
    assert "10.1007/s40262-017-0544-2" in dois  # morphine's plasma model
    assert "10.1007/s10928-005-0039-x" not in dois  # levodopa was not in the run


def test_fit(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = _entries(_cite(capsys, str(fitted)))
    assert set(entries) == {"krogh", "lasic2011"}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Smith 2024 doi:10.1186/s12987-024-00584-y, rat", "10.1186/s12987-024-00584-y"),
        ("x (doi:10.1016/0001-8686(85)80018-X)", "10.1016/0001-8686(85)80018-x"),
        ("Kennedy 2003 doi:10.1016/S0168-9274(02)00138-1.", "10.1016/s0168-9274(02)00138-1"),
        ("Bortolotti 1990, rat", "bortolotti 1990"),
        ("saliva/plasma 0.74 (PMID 7333346)", "pmid7333346"),
        ("assumed: as in man", None),
        ("RDKit, from the SMILES", None),
        ("", None),
    ],
)
def test_publications_are_told_apart(source: str, name: str | None) -> None:
    identity = _identity(source)
    assert (identity[0] if identity else None) == name


def test_text_from_files_cannot_break_out_of_its_field() -> None:
    text = to_bibtex([Entry("k", {"note": "a } @misc{x, b = {y} % $ # _ & \\ ~ ^\n\x00"}, "misc")])
    assert list(_entries(text)) == ["k"]
    assert "\x00" not in text
