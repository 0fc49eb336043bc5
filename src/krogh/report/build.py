"""Turn a run folder into a report: the parts that every run has here, those of one kind in a file of their own."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from krogh.io.run_folder import RunFolder, read_run
from krogh.io.toml_text import to_toml
from krogh.report.citations import cite, to_bibtex
from krogh.report.page import Code, Report, Section, Table, render
from krogh.report.values import Used, used_values

__all__ = ["build_report", "config_toml", "report_of"]

#: Command -> module of this package with a function ``describe(run, values) -> Report``; any other run gets ``generic``.
KINDS = {
    "simulate": "simulation", "screen": "screening", "sensitivity": "sensitivity", "compare-solvers": "solvers",
    "validate": "validated", "fexi fit": "fexi_fit", "fexi benchmark": "fexi_benchmark",
}  # fmt: skip
_MOST_SETTING = 400


def build_report(folder: Path) -> str:
    """Return the report of the run in `folder` as one HTML page.

    Raises
    ------
    InputError
        If the folder holds no finished run, or its results cannot be read.
    """
    return render(report_of(read_run(folder)))


def report_of(run: RunFolder) -> Report:
    """Return the report of a run: what its kind says, then limits, how to repeat it, and citations."""
    values = used_values(run)
    own = importlib.import_module(f"krogh.report.{KINDS.get(run.kind, 'generic')}").describe(run, values)
    closing = [_limits(run, values), _repeat(run), _citations(run, values)]
    return Report(own.title, own.question, own.answer, [*own.sections, *closing], facts=_facts(run))


def config_toml(run: RunFolder) -> str:
    """Return the settings of a simulation as a file for ``--config``; what was left at its default is left out."""
    from krogh.runs.config import SimulateConfig

    fields = SimulateConfig.model_fields
    plain = {name: _plain(field.get_default(call_default_factory=True)) for name, field in fields.items()}
    return to_toml({k: v for k, v in run.config.items() if k in fields and (k == "compounds" or _plain(v) != plain[k])})


def _plain(value: Any) -> Any:
    """Return a default as the record of a run holds it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    machine, versions = run.mapping("machine"), run.mapping("versions")
    facts = [("run finished", str(run.record.get("finished", "unknown"))), ("krogh", str(run.record.get("krogh", "unknown")))]
    if versions:
        facts.append(("with", ", ".join(f"{k} {v}" for k, v in versions.items() if v)))
    if machine:
        facts.append(("on", " ".join(str(v) for v in machine.values())))
    return facts


def _limits(run: RunFolder, values: list[Used]) -> Section:
    sentences = list(run.notes)
    if values:
        weak = [v for v in values if v.value.status in ("A", "R")]
        sentences.append(
            f"{len(weak)} of the {len(values)} values behind this run are assumed (A) or recalled (R, the source not re-opened); "
            "ranges are not propagated to the results. A transporter whose kinetics nobody has measured is left out, so "
            "Kp,uu of a pumped drug comes out too high. The model was not tuned to any published Kp,uu; where it misses them, "
            "the page 'Credibility' of the documentation says by how much."
        )
    if run.kind.startswith("fexi"):
        sentences.append(
            "The exchange rate is apparent: tortuous geometry, magnetisation transfer and differences of T1 and T2 look like "
            "exchange. P and PS are proportional to the blood fraction and capillary radius that were stated: FEXI does not "
            "measure them. Intervals cover noise only. See 'What FEXI cannot tell' in the documentation."
        )
    sentences.append("This is research software and no medical device: not for diagnosis or dosing.")
    return Section("Limits", sentences)


def _repeat(run: RunFolder) -> Section:
    code = [Code("Command", shlex.join(run.command))] if run.command else []
    if "compounds" in run.config:
        code.append(Code("The same as a file for --config", config_toml(run)))
    rows = [[str(entry.get("name", "")), str(entry.get("sha256", ""))] for entry in run.inputs()]
    inputs = Table(("file", "SHA-256"), rows, title="Input files", note="Named without their folders.")
    settings = Table(("setting", "value"), [[k, _short(v)] for k, v in _flat(run.config)], title="Every setting", folded=True)
    return Section("How to repeat it", tables=[*([inputs] if rows else []), settings], code=code)


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, dict) and value else [(name, value)]
    return rows


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SETTING else text[:_MOST_SETTING] + " ..."


def _citations(run: RunFolder, values: list[Used]) -> Section:
    entries, without = cite(run, values)
    text = "Cite the software and the sources of the values that you use. 'krogh cite' prints the same."
    return Section("Citations", [text], code=[Code("BibTeX", to_bibtex(entries, without))])
