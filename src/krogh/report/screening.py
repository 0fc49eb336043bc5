"""Report a screen: the best molecules with intervals, what was assumed, what lies outside of the domain, what was rejected."""

from __future__ import annotations

import math

from krogh.io.run_folder import RunFolder, StoredTable
from krogh.report.generic import stored_table
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used

__all__ = ["describe"]

_MOST_RANKED = 100
_MOST_READ = 200_000
_LIMITS = (
    "Passive crossing only: pumps and carriers are not predicted from structure, so a substrate of P-gp or BCRP reaches less "
    "than is shown. The 90 % interval of P with a calculated logP spans about three decades. Where Kp,uu has an "
    "interval, it comes from that of P alone."
)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _rows(stored: StoredTable | None) -> list[dict[str, str]]:
    found = [dict(zip(stored.columns, row, strict=False)) for row in stored.rows] if stored else []
    return sorted(found, key=lambda r: _number(r.get("rank")) if r.get("rank") else math.inf)


def _kp(r: dict[str, str]) -> str:
    value, low, high = (_number(r.get(f"kp_uu{end}")) for end in ("", "_low_90", "_high_90"))
    return f"{value:.2g}" + (f" (90 %: {low:.2g} to {high:.2g})" if math.isfinite(low) and math.isfinite(high) else "")


def _cells(r: dict[str, str]) -> list[str]:
    p, low, high = (_number(r.get(f"permeability_{end}_m_s")) for end in ("intrinsic", "low_90", "high_90"))
    flag = "" if r.get("inside_domain") == "True" else r.get("outside_because") or "outside"
    return [
        r.get("rank", ""), r.get("name", ""), f"{p:.2g}", f"{low:.1g} to {high:.1g}", _kp(r),
        f"{_number(r.get('time_to_half_of_peak_min')):.2g}", r.get("regime", ""), f"{_number(r.get('probability_bbb_plus')):.2f}",
        flag, r.get("assumed", ""),
    ]  # fmt: skip


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of a screen."""
    ranked, rejects = _rows(run.table("screen.csv", most=_MOST_READ)), run.table("rejects.csv", most=_MOST_RANKED)
    lost = len(rejects.rows) + rejects.left_out if rejects else 0
    source = next((str(e.get("name")) for e in run.inputs()), "a table")
    config = run.config
    question = (
        f"Which molecules of {source} reach the brain, and how fast? Plasma: {config.get('dose', 'unknown')}"
        + (f" with the kinetics of {config['plasma_of']}" if config.get("plasma_of") else "")
        + f", {config.get('species', 'unknown species')}."
    )
    outside = sum(r.get("inside_domain") != "True" for r in ranked)
    assumed = sum(bool(r.get("assumed")) for r in ranked)
    answer = [f"{len(ranked) + lost} rows: {len(ranked)} screened, {lost} rejected."]
    answer += ["Rank {0}: {1}, P {2} m/s (90 %: {3}), Kp,uu {4}, {6}.".format(*_cells(r)) for r in ranked[:3]]
    columns = ("rank", "name", "P [m/s]", "90 %", "Kp,uu, passive", "half of peak [min]", "regime", "chance BBB+",
               "outside of domain", "assumed")  # fmt: skip
    note = f"The first {_MOST_RANKED} of {len(ranked)}; all are in screen.csv." if len(ranked) > _MOST_RANKED else ""
    sections = [Section("Ranking", tables=[Table(columns, [_cells(r) for r in ranked[:_MOST_RANKED]], note=note)])]
    if pictures := run.pictures():
        sections.append(Section("Pictures", pictures=pictures))
    sections.append(
        Section("How well it is known", [
            _LIMITS, f"{outside} of {len(ranked)} molecules lie outside of the domain of the prediction, where nothing says that "
            f"the interval holds. For {assumed} something was assumed: no charge where no pKa was given, or fu,brain.",
        ])
    )  # fmt: skip
    if rejects and rejects.rows:
        sections.append(Section("Rejected", tables=[stored_table(rejects)]))
    return Report(f"Screen of {source}", question, answer, sections)
