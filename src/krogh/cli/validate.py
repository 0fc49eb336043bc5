"""Hold the model against every data set at hand and write a report: ``krogh validate``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from krogh.cli import options
from krogh.cli.infer_report import shown_number
from krogh.cli.tables import print_columns

if TYPE_CHECKING:
    from krogh.validation.study import Goal, Study

_COLUMNS = {"study": 0, "what": 0, "value": 0, "goal": 0, "": 0, "beside it": 110}


def register(app: typer.Typer) -> None:
    """Add ``validate`` to `app`."""
    app.command("validate")(validate)


def validate(
    out: options.Out = Path("validation"),
    data: Annotated[Path | None, typer.Option(help="Folder with the published data.  [default: KROGH_DATA]")] = None,
    only: Annotated[list[str] | None, typer.Option(help="One study (repeatable); --dry-run lists them.")] = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """Hold the model against published data: fold errors with intervals, what was fitted to what, beside dumb models."""
    from krogh.errors import InputError
    from krogh.io.folder import check_output, output_folder
    from krogh.io.provenance import write_run_record
    from krogh.io.published import data_folder, table_reader
    from krogh.validation.run import STUDIES, run_study

    started, clock = datetime.now(UTC), time.perf_counter()
    names = list(dict.fromkeys(only or STUDIES))
    unknown = [n for n in names if n not in STUDIES]
    if unknown:
        raise InputError("--only", got=f"'{unknown[0]}'", expected="one of " + ", ".join(STUDIES))
    if dry_run:
        for name in names:
            typer.echo(f"{name}: {STUDIES[name].title}")
        return
    check_output(out, overwrite=overwrite)
    read = table_reader(data_folder(data))
    studies, left_out = [], {}
    with options.progress(names, quiet=quiet or json_) as show:
        for name in names:
            try:
                studies.append(run_study(name, read))
            except InputError as error:
                if only:
                    raise
                left_out[name] = str(error)
            show(name, 1.0)
    if not studies:
        raise InputError("published data", got="no table that a study needs", hint=next(iter(left_out.values())))
    from krogh.report.validation import write_validation

    with output_folder(out, overwrite=overwrite) as folder:
        files = write_validation(folder, studies, left_out)
        write_run_record(folder, command=options.started_with.get(), config={"studies": names}, started=started)
    _report(studies, left_out, out, [f.name for f in files], time.perf_counter() - clock, as_json=json_, quiet=quiet)


def _report(
    studies: list[Study], left_out: dict[str, str], out: Path, files: list[str], seconds: float, *, as_json: bool, quiet: bool
) -> None:
    if as_json:
        from krogh.validation.run import as_record

        record = {"out": str(out), "files": files, "studies": [as_record(s) for s in studies], "left_out": left_out}
        typer.echo(json.dumps(_plain(record), indent=2))
        return
    if not quiet:
        word = {None: "", True: "met", False: "missed"}
        rows = [[s.name, g.what, _shown(g), g.goal, word[g.met], g.beside] for s in studies for g in s.goals]
        print_columns(_COLUMNS, rows)
        for name, reason in left_out.items():
            typer.echo(f"left out: {name}: {reason}")
        typer.echo("")
    typer.echo(f"{out}/: " + ", ".join(files))
    if not quiet:
        typer.echo(f"{seconds:.1f} s. Research software: not for diagnosis or dosing.")


def _shown(goal: Goal) -> str:
    """Return a number with its interval; what is not known is a dash, an end that is missing is said."""
    value = "-" if isnan(goal.value) else f"{goal.value:.3g}"
    low, high = (None if isnan(x) else x for x in (goal.low, goal.high))
    if low is None and high is None:
        return value
    return f"{value} ({shown_number(low, 'below')} to {shown_number(high, 'above')})"


def _plain(value: object) -> object:
    """Return `value` with NaN as null, which JSON has not."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value
