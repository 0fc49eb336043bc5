"""Carry ranges of the inputs into the result: ``krogh sensitivity morphine --out DIR``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import chunked, options
from krogh.cli.tables import print_columns

if TYPE_CHECKING:
    from krogh.runs.uncertainty.run import Ensemble
    from krogh.runs.uncertainty.summary import Summary

_CELLS = 40
_STRONGEST = 3


def register(app: typer.Typer) -> None:
    """Add ``sensitivity`` to `app`."""
    app.command("sensitivity")(sensitivity)


def sensitivity(
    compound: Annotated[str, typer.Argument(help="Name of a compound; see 'krogh compounds list'.")],
    out: options.Out = Path("sensitivity"),
    free: Annotated[
        list[str] | None,
        typer.Option(help="KEY, KEY='LOW..HIGH UNIT', KEY=x3, or all, physiology, compound (repeatable).  [default: all]"),
    ] = None,
    method: Annotated[str, typer.Option(help="lhs (rank correlations), sobol or morris (extra 'sensitivity').")] = "lhs",
    samples: Annotated[int, typer.Option("--samples", "-n", help="N: lhs takes N runs, sobol N(k+2), morris N(k+1).")] = 256,
    species: Annotated[str | None, typer.Option(help="human, rat or mouse.  [default: human]")] = None,
    dose: Annotated[str | None, typer.Option(help="As in 'krogh simulate'.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. '24 h'.  [default: 24 h]")] = None,
    permeability_method: Annotated[str | None, typer.Option(help="Which measured permeability, e.g. 'PAMPA'.")] = None,
    compound_file: Annotated[list[Path] | None, typer.Option(help="TOML file of an own compound (repeatable).")] = None,
    cells: Annotated[int | None, typer.Option(help=f"Cells across the layers.  [default: {_CELLS}]")] = None,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = 0,
    workers: chunked.Workers = 1,
    dask: chunked.Dask = "",
    shard: chunked.Shard = "1/1",
    max_fail: chunked.MaxFail = None,
    resume: chunked.Resume = False,
    json_: options.Json = False,
    quiet: options.Quiet = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """Say how far a prediction can be trusted: bands from the ranges of its inputs, and which input matters most."""
    from krogh import __version__
    from krogh.cli.simulate import read_base, read_own
    from krogh.runs.config import build_config
    from krogh.runs.simulate import plan
    from krogh.runs.uncertainty.ensemble import ensemble_chunk
    from krogh.runs.uncertainty.run import plan_ensemble

    started, clock = datetime.now(UTC), time.perf_counter()
    how = chunked.how_to_run(workers, dask, shard, max_fail, resume=resume, overwrite=overwrite, silent=quiet or json_)
    given = {"compounds": [compound], "species": species, "dose": dose, "duration": duration,
             "permeability_method": permeability_method, "cells": cells}  # fmt: skip
    settings = build_config({"cells": _CELLS, **read_base(config)}, set_ or (), given)
    case = plan(settings, own=read_own(compound_file or []))[0]
    ensemble = plan_ensemble(case, settings, free or (), method=method, samples=samples, seed=seed)
    if dry_run:
        _show_plan(ensemble)
        return
    record = {"krogh": __version__, **ensemble.plan(settings)}
    with chunked.chunks_done(ensemble.chunks, ensemble_chunk, out, record, how) as store:
        if store is None:
            return
        from krogh.io.folder import output_errors
        from krogh.io.provenance import write_run_record
        from krogh.report.uncertainty import write_sensitivity

        summary = ensemble.summarise(store.load)
        driver = f"{case.doses[0].describe() if case.doses[0] else ''}, {settings.species}, {settings.duration}"
        files = write_sensitivity(out, ensemble, summary, driver)
        with output_errors(out.name):
            write_run_record(out, command=options.started_with.get(), config=record, started=started,
                             inputs=[p for p in (config, *(compound_file or [])) if p])  # fmt: skip
    _report(ensemble, summary, out, files, time.perf_counter() - clock, as_json=json_, quiet=quiet)


def _show_plan(ensemble: Ensemble) -> None:
    from krogh.units import format_quantity

    typer.echo(f"would run {len(ensemble.rows)} simulations in {len(ensemble.chunks)} chunks")
    print_columns({"input": 0, "low": 0, "value": 0, "high": 0, "spread": 0}, [
        [f.key, *(format_quantity(v, f.dimension) for v in (f.low, f.value, f.high)), f.shape] for f in ensemble.factors
    ])  # fmt: skip
    _say_held(ensemble)


def _say_held(ensemble: Ensemble) -> None:
    if ensemble.idle:
        typer.echo("no part in this run: " + ", ".join(ensemble.idle))
    if ensemble.held:
        typer.echo("held, no range known: " + ", ".join(ensemble.held))


def _rows(ensemble: Ensemble, summary: Summary) -> list[dict[str, Any]]:
    from krogh.report.uncertainty import strongest_inputs

    return [
        {"result": name, "at_the_values": float(summary.nominal[j]),
         "p05": float(summary.percentiles[0, j]), "median": float(summary.percentiles[2, j]),
         "p95": float(summary.percentiles[4, j]),
         "strongest": [{"input": k, "at_low": a, "at_high": b}
                       for k, a, b in strongest_inputs(ensemble, summary, j, _STRONGEST)]}
        for j, name in enumerate(ensemble.outputs)
    ]  # fmt: skip


def _interval(row: dict[str, Any]) -> str:
    return f"{row['p05']:.3g} to {row['p95']:.3g}" if row["p05"] == row["p05"] else "-"


def _report(
    ensemble: Ensemble, summary: Summary, out: Path, files: list[str], seconds: float, *, as_json: bool, quiet: bool
) -> None:
    rows = _rows(ensemble, summary)
    if as_json:
        record = {"out": str(out), "files": files, "results": rows, "done": summary.done, "failed": summary.failed,
                  "idle": ensemble.idle, "held": ensemble.held, "notice": "not for diagnosis or dosing"}  # fmt: skip
        typer.echo(json.dumps(_plain(record), indent=2, allow_nan=False))
        return
    if not quiet:
        columns = {"result": 0, "at the values": 0, "5 to 95 %": 0, "median": 0, "moved most by": 0}
        print_columns(columns, [
            [r["result"], f"{r['at_the_values']:.3g}", _interval(r), f"{r['median']:.3g}" if r["median"] == r["median"] else "-",
             ", ".join(s["input"] for s in r["strongest"])] for r in rows
        ])  # fmt: skip
        _say_held(ensemble)
        typer.echo("")
    if summary.failed:
        typer.echo(f"{summary.failed} of {summary.done + summary.failed} simulations failed; they are in no percentile")
    typer.echo(f"{out}/: " + ", ".join(files))
    if not quiet:
        typer.echo(f"{seconds:.1f} s. Research software: not for diagnosis or dosing.")


def _plain(value: Any) -> Any:
    """Return `value` with NaN as null, which JSON has not."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value
