"""Report how the unknown values move the results of a simulation: percentiles, the strongest inputs, and their sources."""

from __future__ import annotations

from krogh.io.run_folder import RunFolder, StoredTable, finite
from krogh.report.generic import stored_table
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used

__all__ = ["describe"]

_MOST = 5000
_TABLES = {
    "tornado.csv": "Each input alone, from its low to its high end",
    "indices.csv": "Indices",
    "factors.csv": "Inputs and sources",
}


def _float(text: str) -> float | None:
    try:
        return finite(float(text))
    except ValueError:
        return None


def _rows(stored: StoredTable | None) -> list[dict[str, str]]:
    return [dict(zip(stored.columns, row, strict=False)) for row in stored.rows] if stored else []


def _strongest(rows: list[dict[str, str]], result: str) -> str:
    """Return the three inputs that move a result most, over their whole range."""
    moves = []
    for r in rows:
        low, high = (_float(r.get(f"result_at_{end}", "")) for end in ("low", "high"))
        if r.get("result") == result and low is not None and high is not None and low != high:
            moves.append((abs(high - low), r.get("input", "")))
    return ", ".join(name for _, name in sorted(moves, reverse=True)[:3]) or "none of them"


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of ``krogh sensitivity``."""
    tornado = _rows(run.table("tornado.csv", most=_MOST))
    answer = []
    for r in _rows(run.table("summary.csv")):
        result = r.get("result", "")
        low, mid, high = (_float(r.get(p, "")) for p in ("p05", "p50", "p95"))
        if low is None or mid is None or high is None:
            answer.append(f"{result}: {r.get('at_the_values', '')} at the values; no percentiles.")
        else:
            answer.append(
                f"{result}: {mid:.3g}, 5 to 95 %: {low:.3g} to {high:.3g}; moved most by {_strongest(tornado, result)}."
            )
    settings = run.config.get("settings")
    config = settings if isinstance(settings, dict) else {}
    names = ", ".join(map(str, config.get("compounds") or ["a compound"]))
    tables: list[Table] = []
    for name, title in _TABLES.items():
        if stored := run.table(name, most=300):
            one = stored_table(stored)
            tables.append(Table(one.columns, one.rows, title=title, note=one.note, folded=True))
    summary = run.table("summary.csv")
    sections = [
        Section("Results", tables=[stored_table(summary)] if summary else []),
        Section("Pictures", pictures=run.pictures()),
        Section("Behind it", tables=tables),
    ]
    question = f"How far do the values that nobody knows exactly move the exposure of the brain to {names}, and which of them?"
    return Report(f"Sensitivity: {names}", question, answer or ["No results."], sections)
