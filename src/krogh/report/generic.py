"""Report a run of any command from what lies in its folder: pictures, tables, settings."""

from __future__ import annotations

import json

from krogh.io.run_folder import RunFolder, StoredTable
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used

__all__ = ["describe", "stored_table"]

_MOST_FACTS = 40
#: Entries of ``run.json`` that the report shows elsewhere.
_SHOWN_ELSEWHERE = {
    "krogh", "notice", "command", "config", "inputs", "started", "finished", "versions", "machine", "peak_memory_mb", "notes",
}  # fmt: skip


def stored_table(stored: StoredTable) -> Table:
    """Return a table of a file as a table of the report."""
    left = f"The first {len(stored.rows)} rows of {len(stored.rows) + stored.left_out}." if stored.left_out else ""
    return Table(stored.columns, stored.rows, title=stored.name, note=left)


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of a run of no special kind."""
    numbers = [
        [key, json.dumps(value, ensure_ascii=False)[:400]]
        for key, value in run.record.items()
        if key not in _SHOWN_ELSEWHERE and value is not None
    ][:_MOST_FACTS]
    pictures = run.pictures()
    tables = [stored_table(t) for t in run.tables()]
    sections = []
    if numbers:
        sections.append(Section("Numbers", tables=[Table(("what", "value"), numbers)]))
    if pictures:
        sections.append(Section("Pictures", pictures=pictures))
    if tables:
        sections.append(Section("Tables", tables=tables))
    answer = [f"{len(tables)} tables and {len(pictures)} pictures; they follow."]
    return Report(f"krogh {run.kind}", f"What did this run of 'krogh {run.kind}' give?", answer, sections)
