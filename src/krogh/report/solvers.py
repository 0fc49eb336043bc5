"""Report a comparison of networks with finite volumes: verdict, certificate, error in each medium, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from krogh.io.run_folder import RunFolder, finite
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used

__all__ = ["describe"]


def _of(run: RunFolder) -> list[Mapping[str, Any]]:
    found = run.config.get("comparisons")
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def _table(one: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = one.get(key)
    return found if isinstance(found, dict) else {}


def _names(one: Mapping[str, Any]) -> str:
    names = one.get("compounds")
    return ", ".join(map(str, names)) if isinstance(names, list) else "?"


def _shown(value: Any) -> str:
    number = finite(value)
    return "–" if number is None else f"{number:.1e}"


def _sentence(one: Mapping[str, Any]) -> str:
    certificate, asked = _shown(one.get("certificate")), _shown(one.get("tol"))
    if one.get("converged") is True:
        return f"{_names(one)}: the networks converged, certificate {certificate}, asked for {asked}."
    return f"{_names(one)}: the networks FAILED, certificate {certificate}, asked for {asked}; their numbers are no answer."


def _errors(one: Mapping[str, Any]) -> Table:
    plain, log = _table(one, "relative_error"), _table(one, "relative_error_log_time")
    rows = [
        [str(compound), str(medium), _shown(value), _shown(_table(log, medium).get(compound))]
        for medium, of in plain.items()
        if isinstance(of, dict)
        for compound, value in of.items()
    ]
    note = "L2 of the difference over L2 of the finite-volume solution, over the run in time and in the logarithm of time."
    return Table(("compound", "where", "relative error", "in log time"), rows, title=_names(one), note=note)


def _cost(one: Mapping[str, Any]) -> list[str]:
    cpu = _table(one, "cpu_s")
    return [_names(one), *(f"{finite(cpu.get(k)) or 0:.2f}" for k in ("networks", "finite volumes")),
            str(one.get("unknowns", "")), _shown(one.get("mass_defect"))]  # fmt: skip


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of ``krogh compare-solvers``."""
    found = _of(run)
    cost = Table(
        ("compounds", "networks [s of processor]", "finite volumes [s]", "weights", "mass defect"), [_cost(c) for c in found]
    )
    sections = [
        Section("Error in each medium", tables=[_errors(c) for c in found]),
        Section("Pictures", pictures=run.pictures()),
        Section("Cost and mass", tables=[cost]),
    ]
    question = f"Do physics-informed networks solve {'; '.join(map(_names, found)) or 'the slab'} as the finite volumes do?"
    return Report(
        "Networks beside finite volumes", question, [_sentence(c) for c in found] or ["Nothing was compared."], sections
    )
