"""Show the embedded compounds, and every value of one with its source: ``krogh compounds list`` and ``show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli.options import Json
from krogh.cli.tables import print_columns

if TYPE_CHECKING:
    from krogh.compounds import Compound

_STATUS_LINE = "status: V read in the source, R recalled, C computed, A assumed, U user"
_PH = 7.4
#: Columns that a terminal narrower than this shows no longer; a pipe always gets all.
_LIST_COLUMNS = {
    "name": 0,
    "role": 160,
    "g/mol": 110,
    "logP": 110,
    "charge 7.4": 120,
    "permeability": 0,
    "transporters": 130,
    "plasma PK": 70,
    "missing for human": 90,
}
_SHOW_COLUMNS = {"key": 0, "value": 0, "unit": 0, "status": 0, "range": 110, "detail": 150, "source": 70}


def _summary(compound: Compound) -> dict[str, Any]:
    from krogh.compounds import mean_charge, missing_for_simulation

    first = compound.permeabilities[0] if compound.permeabilities else None
    return {
        "name": compound.name,
        "role": compound.role,
        "molar_mass_g_mol": None if compound.molar_mass_kg_mol is None else round(compound.molar_mass_kg_mol.value * 1e3, 2),
        "logp": None if compound.logp is None else compound.logp.value,
        "charge_at_7_4": round(mean_charge(compound, _PH), 2) + 0.0 if compound.pka_acid or compound.pka_base else None,
        "permeability_m_s": None if first is None else first.p_m_s.value,
        "permeability_basis": None if first is None else first.basis,
        "permeability_method": None if first is None else first.method,
        "transporters": [t.name for t in compound.transporters],
        "pk": list(compound.pk),
        "missing_human": missing_for_simulation(compound, "human"),
        "missing_rat": missing_for_simulation(compound, "rat"),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _list(as_json: bool) -> None:
    from krogh.compounds import get_compound, names

    summaries = [_summary(get_compound(name)) for name in names()]
    if as_json:
        typer.echo(json.dumps({"compounds": summaries}, indent=2, ensure_ascii=False))
        return
    from krogh.units import format_quantity

    rows = []
    for s in summaries:
        p = s["permeability_m_s"]
        shown = (
            "-" if p is None else f"{format_quantity(p, 'permeability')} {s['permeability_basis']}, {s['permeability_method']}"
        )
        missing = " ".join(m.removesuffix(".human") for m in s["missing_human"]) or "nothing"
        cells = [s["name"], s["role"], _number(s["molar_mass_g_mol"]), _number(s["logp"]), _number(s["charge_at_7_4"]), shown]
        rows.append([*cells, " ".join(t.replace(" ", "-") for t in s["transporters"]) or "-", " ".join(s["pk"]) or "-", missing])
    print_columns(_LIST_COLUMNS, rows)
    typer.echo(f"{len(rows)} compounds; a dash is a blank. All values with sources: krogh compounds show NAME")


def _load(name: str | None, compound_file: Path | None) -> Compound:
    from krogh.compounds import get_compound
    from krogh.errors import InputError, UsageError
    from krogh.io.compound_file import read_compound_file

    if compound_file is None:
        if name is None:
            raise UsageError("compounds show", got="no name", hint="give NAME, or --compound-file FILE")
        return get_compound(name)
    compound = read_compound_file(compound_file)
    if name is not None and name.lower() not in (compound.name.lower(), *(a.lower() for a in compound.aliases)):
        raise InputError("NAME", got=f"'{name[:60]}'", expected=f"'{compound.name}', the name in {compound_file.name}")
    return compound


def _show(compound: Compound, as_json: bool) -> None:
    from krogh.compounds import missing_for_simulation
    from krogh.compounds.describe import describe

    rows = describe(compound)
    summary = _summary(compound)
    if as_json:
        values = []
        for row in rows:
            v = row.value
            entry: dict[str, Any] = {"key": row.key, "detail": row.detail, "value": None}
            if v is not None:
                entry |= {"value": row.shown(v.value), "low": row.shown(v.low), "high": row.shown(v.high), "unit": row.unit}
                entry |= {"value_si": v.value, "unit_si": row.unit_si, "status": v.status, "source": v.source}
            values.append(entry)
        record = {
            **summary,
            "aliases": list(compound.aliases),
            "smiles": compound.smiles,
            "notes": compound.notes,
            "values": values,
        }
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{compound.name}: {compound.role}" if compound.role else compound.name)
    for label, text in (
        ("aliases", ", ".join(compound.aliases)),
        ("SMILES", compound.smiles),
        ("notes", " ".join(compound.notes.split())),
    ):
        if text:
            typer.echo(f"{label}: {text}")
    typer.echo("")
    cells = []
    for row in rows:
        v = row.value
        if v is None:
            cells.append([row.key, "blank", "", "", "", row.detail, ""])
            continue
        span = "" if v.low is None and v.high is None else f"{_number(row.shown(v.low))} .. {_number(row.shown(v.high))}"
        cells.append([row.key, _number(row.shown(v.value)), row.unit, v.status, span, row.detail, v.source])
    print_columns(_SHOW_COLUMNS, cells)
    typer.echo("")
    for species in ("human", "rat"):
        missing = missing_for_simulation(compound, species)
        typer.echo(f"missing for a simulation in {species}: " + (", ".join(missing) or "nothing"))
    typer.echo(_STATUS_LINE)


def register(app: typer.Typer) -> None:
    """Add ``krogh compounds`` to `app`."""
    group = typer.Typer(help="List the embedded compounds, or show every value of one with its source.", no_args_is_help=True)

    @group.command("list")
    def list_(as_json: Json = False) -> None:
        """List the embedded compounds and what each lacks for a simulation."""
        _list(as_json)

    @group.command("show")
    def show(
        name: Annotated[str | None, typer.Argument(help="Name or alias, upper or lower case.")] = None,
        compound_file: Annotated[Path | None, typer.Option("--compound-file", help="A TOML file with your own compound.")] = None,
        as_json: Json = False,
    ) -> None:
        """Show every value of a compound with unit, status, range and source; blanks are named."""
        _show(_load(name, compound_file), as_json)

    app.add_typer(group, name="compounds")
