"""Read a finished screen for the page: its ranked table, scatter plots of any two of its numbers, one molecule."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krogh.app.views.figures import layout
from krogh.errors import InputError
from krogh.io.run_folder import read_run
from krogh.report.page import Table

__all__ = ["AXES", "Axis", "molecule_table", "pack_table", "read_screen", "scatter_figure"]

_MOST_MOLECULES = 200_000
_MOST_BARS = 200
_MOST_DRAWN_AS_SVG = 3000
_LOOKS = {"permeability-limited": ("#D55E00", "circle"), "mixed": ("#009E73", "square"), "flow-limited": ("#0072B2", "diamond")}


@dataclass(frozen=True)
class Axis:
    """Hold how one column is called and drawn."""

    title: str
    unit: str = ""
    log: bool = False

    @property
    def label(self) -> str:
        """Return the title with its unit."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


#: Numbers of a molecule that may be an axis, by their column.
AXES = {
    "permeability_intrinsic_m_s": Axis("P, predicted", "m/s", log=True),
    "permeability_at_ph_7_4_m_s": Axis("P at pH 7.4", "m/s", log=True),
    "kp_uu": Axis("Kp,uu, passive"),
    "auc_interstitium_uM_min": Axis("AUC of interstitium", "µM min", log=True),
    "time_to_half_of_peak_min": Axis("time to half of the peak", "min", log=True),
    "probability_bbb_plus": Axis("chance of BBB+"),
    "log_bb": Axis("logBB"),
    "logp": Axis("logP"),
    "tpsa_A2": Axis("TPSA", "Å²"),
    "molar_mass_g_mol": Axis("molar mass", "g/mol"),
    "hbd": Axis("H-bond donors"),
    "hba": Axis("H-bond acceptors"),
    "rotatable_bonds": Axis("rotatable bonds"),
}
_TEXT = {"name", "molecule", "smiles", "inside_domain", "outside_because", "regime", "logp_basis", "assumed", "notes"}
_SHOWN = {
    "rank": "rank", "name": "name", "permeability_intrinsic_m_s": "P [m/s]", "permeability_low_90_m_s": "90 % from",
    "permeability_high_90_m_s": "to", "kp_uu": "Kp,uu, passive", "time_to_half_of_peak_min": "half of peak [min]",
    "regime": "regime", "probability_bbb_plus": "chance BBB+", "tpsa_A2": "TPSA [Å²]", "logp": "logP",
    "molar_mass_g_mol": "M [g/mol]", "outside_because": "outside of domain",
}  # fmt: skip


def _value(column: str, cell: str) -> Any:
    if column in _TEXT:
        return cell
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_screen(result: Path) -> list[dict[str, Any]]:
    """Return the molecules of a finished screen, best first: text as text, numbers as numbers or None.

    Raises
    ------
    InputError
        If the folder holds no screen.
    """
    stored = read_run(result).table("screen.csv", most=_MOST_MOLECULES)
    if stored is None or not {"row", "rank", "name"} <= set(stored.columns):
        raise InputError("screen.csv", got="no table of molecules", expected="the result of a screen")
    records = [{c: _value(c, v) for c, v in zip(stored.columns, row, strict=False)} for row in stored.rows]
    return sorted((r for r in records if r["rank"] and r["row"]), key=lambda r: r["rank"])


def pack_table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return columns and rows for the table of the page; the first cell of a row is its number in the user's file."""
    columns = [{"title": title, "number": key not in _TEXT} for key, title in _SHOWN.items()]
    return {"columns": columns, "rows": [[int(r["row"]), *(r.get(key) for key in _SHOWN)] for r in records]}


def scatter_figure(records: Sequence[Mapping[str, Any]], x: str, y: str, *, dark: bool = False) -> tuple[dict[str, Any], int]:
    """Return two columns against each other, one point a molecule, and how many molecules lack either number.

    Open symbols lie outside of the domain of the prediction. What a file says is escaped: the figure takes labels for markup.
    """
    shown = [r for r in records if _drawable(r, x) and _drawable(r, y)]
    kind = "scatter" if len(shown) <= _MOST_DRAWN_AS_SVG else "scattergl"
    data = []
    for regime, (colour, symbol) in _LOOKS.items():
        for inside in (True, False):
            some = [r for r in shown if r["regime"] == regime and (r["inside_domain"] == "True") == inside]
            if some:
                mark = {"color": colour, "size": 9, "symbol": symbol + ("" if inside else "-open"), "line": {"width": 1}}
                trace = {
                    "type": kind, "mode": "markers", "marker": mark,
                    "name": regime + ("" if inside else ", outside of the domain"),
                    "x": [r[x] for r in some], "y": [r[y] for r in some], "customdata": [int(r["row"]) for r in some],
                    "text": [f"{html.escape(r['name'][:80])}, rank {int(r['rank'])}" for r in some],
                    "hovertemplate": "%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
                }  # fmt: skip
                if len(shown) <= _MOST_BARS:
                    trace |= {f"error_{n}": bars for n, key in (("x", x), ("y", y)) if (bars := _bars(some, key, colour))}
                data.append(trace)
    shape = layout(dark, height=430, hovermode="closest", dragmode="pan", xaxis=_axis(x), yaxis=_axis(y))
    figure = {"data": data, "layout": shape, "config": {"displaylogo": False, "responsive": True, "displayModeBar": False}}
    return figure, len(records) - len(shown)


def _drawable(record: Mapping[str, Any], key: str) -> bool:
    value = record.get(key)
    return value is not None and (value > 0 or not AXES[key].log)


def _axis(key: str) -> dict[str, Any]:
    axis = AXES[key]
    more = {"type": "log", "exponentformat": "power", "dtick": 1} if axis.log else {}
    return {"title": {"text": axis.label}, **more}


def _bars(records: Sequence[Mapping[str, Any]], key: str, colour: str) -> dict[str, Any] | None:
    """Return the 90 % interval of a predicted number, where it has one."""
    low, high = _ends(key)
    if low not in records[0]:
        return None
    up = [(r[key] if r[high] is None else r[high]) - r[key] for r in records]
    down = [r[key] - (r[key] if r[low] is None else r[low]) for r in records]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": colour, "thickness": 0.8, "width": 0}


def _ends(key: str) -> tuple[str, str]:
    """Return the columns of the 90 % interval of a number; most have none."""
    stem = "permeability_{}_90_m_s" if key == "permeability_intrinsic_m_s" else key + "_{}_90"
    return stem.format("low"), stem.format("high")


def molecule_table(record: Mapping[str, Any]) -> Table:
    """Return what is predicted and what is known of one molecule."""
    rows = []
    for key, axis in AXES.items():
        value, (low, high) = record.get(key), (record.get(end) for end in _ends(key))
        words = f" ({record['logp_basis']})" if key == "logp" and record.get("logp_basis") else ""
        span = "" if low is None or high is None else f"{low:.2g} to {high:.2g}"
        rows.append([axis.title, "–" if value is None else f"{value:.3g}{words}", span, axis.unit])
    rows.append(["limited by", record["regime"], "", ""])
    note = "Passive crossing: pumps and carriers are not predicted. Intervals of Kp,uu, AUC and times come from that of P alone."
    return Table(("what", "value", "90 %", "unit"), rows, note=note)
