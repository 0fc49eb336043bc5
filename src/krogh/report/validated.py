"""Report a validation: every goal with its verdict, then each study with its rows and its picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from krogh.errors import InputError
from krogh.io.run_folder import RunFolder, StoredPicture, finite
from krogh.io.text_file import read_text_file
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used

__all__ = ["describe"]

_WORDS = {True: "met", False: "MISSED"}


def _record(run: RunFolder) -> dict[str, Any]:
    try:
        found = json.loads(read_text_file(run.path / "validation.json", what="the record of a validation"))
    except (InputError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = table.get(key)
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def _shown(value: Any) -> str:
    number = finite(value)
    return "–" if number is None else f"{number:.3g}"


def _goal(study: Mapping[str, Any], g: Mapping[str, Any]) -> list[str]:
    span = "" if finite(g.get("low")) is None else f"{_shown(g.get('low'))} to {_shown(g.get('high'))}"
    return [str(study.get("name", "")), str(g.get("what", "")), _shown(g.get("value")), span, str(g.get("goal", "")),
            _WORDS.get(g.get("met"), "–"), str(g.get("beside", ""))]  # type: ignore[arg-type]  # fmt: skip


def _study(study: Mapping[str, Any], pictures: list[StoredPicture]) -> Section:
    rows = [
        [str(r.get("what", "")), str(r.get("matrix", "")), _shown(r.get("predicted")), _shown(r.get("observed")),
         str(r.get("unit", "")), str(r.get("fitted", "")), "yes" if r.get("scored") else "no", str(r.get("note", ""))]
        for r in _list(study, "rows")
    ]  # fmt: skip
    columns = ("what", "matrix", "model", "published", "unit", "fitted to", "scored", "note")
    sentences = [str(study.get("text", "")), f"Measurements: {study.get('source', 'unknown')}"]
    own = [p for p in pictures if p.name == f"{study.get('name')}.png"]
    return Section(str(study.get("title", "")), sentences, [Table(columns, rows, folded=len(rows) > 20)] if rows else [], own)


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of ``krogh validate``."""
    record, pictures = _record(run), run.pictures()
    studies = _list(record, "studies")
    goals = [_goal(s, g) for s in studies for g in _list(s, "goals")]
    met, missed = (sum(row[5] == word for row in goals) for word in ("met", "MISSED"))
    columns = ("study", "what", "value", "95 % interval or range", "goal", "verdict", "beside it")
    answer = [f"{len(studies)} studies; of {met + missed} goals {met} are met and {missed} missed."]
    answer += [f"Missed: {row[0]}, {row[1]}: {row[2]}, goal {row[4]}." for row in goals if row[5] == "MISSED"]
    left = record.get("left_out")
    if isinstance(left, dict) and left:
        answer.append("Left out: " + "; ".join(f"{k} ({v})" for k, v in left.items()) + ".")
    sections = [Section("Goals", tables=[Table(columns, goals)]), *(_study(s, pictures) for s in studies)]
    return Report("krogh held against published data", "How far is the model from published measurements?", answer, sections)
