"""Screen a table of molecules: ``krogh screen molecules.csv --out DIR``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from krogh.cli import chunked, options
from krogh.cli.tables import print_columns

_ROWS = 128
_COLUMNS = {
    "rank": 0,
    "row": 0,
    "name": 40,
    "P [m/s]": 0,
    "90 %": 0,
    "Kp,uu": 0,
    "90 %  ": 0,
    "half of peak [min]": 0,
    "regime": 0,
}


def register(app: typer.Typer) -> None:
    """Add ``screen`` to `app`."""
    app.command("screen")(screen)


def screen(
    molecules: Annotated[
        Path, typer.Argument(help="CSV or Parquet: smiles or name; optional logp, pka_acid, pka_base, fu_brain.")
    ],
    out: options.Out = Path("screen"),
    dose: Annotated[str, typer.Option(help="Free concentration in plasma, or a dose with --plasma-of.")] = "1 uM constant",
    plasma_of: Annotated[str, typer.Option(help="Library compound that lends its plasma kinetics to every molecule.")] = "",
    duration: Annotated[str, typer.Option(help="Length of the simulation.")] = "4 h",
    species: Annotated[str, typer.Option(help="human, rat or mouse.")] = "human",
    fu_brain: Annotated[float, typer.Option(help="Unbound fraction in brain where a row gives none.", min=1e-4, max=1.0)] = 1.0,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the tables as Parquet as well.")] = False,
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
    """Rank molecules by how much free drug reaches the brain: predicted permeability with interval, then a simulation of each."""
    from krogh.io.molecule_table import read_molecules
    from krogh.io.provenance import file_sha256
    from krogh.runs.screen import ScreenChunk, ScreenSettings, screen_chunk
    from krogh.units import parse_quantity

    started, clock = datetime.now(UTC), time.perf_counter()
    how = chunked.how_to_run(workers, dask, shard, max_fail, resume=resume, overwrite=overwrite, silent=quiet or json_)
    settings = ScreenSettings(species, dose, parse_quantity(duration, "time", where="--duration"), plasma_of, fu_brain)
    settings.check()
    entries = read_molecules(molecules)
    chunks = [ScreenChunk(tuple(entries[k : k + _ROWS]), settings) for k in range(0, len(entries), _ROWS)]
    if dry_run:
        typer.echo(f"{molecules.name}: {len(entries)} rows in {len(chunks)} chunks")
        return
    plan = _plan(settings, len(entries), file_sha256(molecules))
    driver = f"{dose}, {species}, {duration}" + (f", kinetics of {plasma_of}" if plasma_of else "")
    with chunked.chunks_done(chunks, screen_chunk, out, plan, how) as store:
        if store is None:
            return
        from krogh.io.folder import output_errors
        from krogh.io.provenance import write_run_record
        from krogh.report.screen import write_screen

        ranked, rejected = write_screen(out, store.load, len(chunks), driver, parquet=parquet)
        with output_errors(out.name):
            write_run_record(
                out, command=options.started_with.get(), config=plan["settings"], inputs=[molecules], started=started
            )
    _report(ranked, rejected, len(entries), out, time.perf_counter() - clock, as_json=json_, quiet=quiet)


def _plan(settings: Any, rows: int, digest: str) -> dict[str, Any]:
    """Return everything that decides the results."""
    from dataclasses import asdict

    from krogh import __version__

    return {
        "krogh": __version__,
        "input_sha256": digest,
        "rows": rows,
        "format": 2,
        "chunk_rows": _ROWS,
        "settings": asdict(settings),
    }


def _interval(r: dict[str, Any]) -> str:
    return f"{r['kp_uu_low_90']:.2g} to {r['kp_uu_high_90']:.2g}" if r["kp_uu_low_90"] is not None else "-"


def _report(
    ranked: list[dict[str, Any]], rejected: int, rows: int, out: Path, seconds: float, *, as_json: bool, quiet: bool
) -> None:
    files = "screen.csv, rejects.csv, screen.html" + (", screen.png" if ranked else "")
    if as_json:
        record = {"out": str(out), "rows": rows, "screened": len(ranked), "rejected": rejected, "best": ranked[:20]}
        typer.echo(json.dumps(record, indent=2))
        return
    if not quiet:
        print_columns(_COLUMNS, [
            [str(r["rank"]), str(r["row"]), r["name"], f"{r['permeability_intrinsic_m_s']:.2g}",
             f"{r['permeability_low_90_m_s']:.1g} to {r['permeability_high_90_m_s']:.1g}", f"{r['kp_uu']:.2g}", _interval(r),
             f"{r['time_to_half_of_peak_min']:.2g}", r["regime"]] for r in ranked[:10]
        ])  # fmt: skip
        typer.echo("")
    typer.echo(f"{rows} rows: {len(ranked)} screened, {rejected} rejected. {out}/: {files}")
    if not quiet:
        typer.echo(
            f"{seconds:.1f} s. Passive crossing only; pumps are not predicted. Research software: not for diagnosis or dosing."
        )
