"""Run ``krogh compare-solvers``: the physics-informed networks beside finite volumes, on the same problem."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from krogh.cli import options
from krogh.cli.training import Told

if TYPE_CHECKING:
    from krogh.runs.compare import Comparison
    from krogh.runs.simulate import Case


def register(app: typer.Typer) -> None:
    """Add ``compare-solvers`` to `app`."""
    app.command("compare-solvers")(compare)


def compare(
    compounds: Annotated[list[str] | None, typer.Argument(help="Names of compounds; see 'krogh compounds list'.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the pictures; default: print only.")] = None,
    species: Annotated[str | None, typer.Option(help="human, rat or mouse.  [default: human]")] = None,
    dose: Annotated[str | None, typer.Option(help="For all, e.g. '100 mg oral'.  [default: a typical one]")] = None,
    geometry: Annotated[str | None, typer.Option(help="slab, cylinder or block.  [default: slab]")] = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. '1 h'.  [default: 1 h]")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="How the networks are trained: lsq, trained, classic (repeatable).  [default: lsq]"),
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="What the certificate of the networks must reach.  [default: slab 5e-4, cylinder 1e-3, block 3e-4]"),
    ] = None,
    cells: Annotated[
        int | None, typer.Option(help="Cells of the finite volumes, where both are compared.  [default: 120]")
    ] = None,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = 0,
    json_: options.Json = False,
    quiet: options.Quiet = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Solve by physics-informed networks and by finite volumes, and print how far apart they are."""
    from krogh.cli.simulate import read_base
    from krogh.io.folder import check_output
    from krogh.io.map_file import read_maps
    from krogh.pinn.support import check_supported
    from krogh.runs.config import build_config
    from krogh.runs.simulate import plan

    usual = {"species": "human", "duration": "1 h", "cells": 120}
    given = {
        "compounds": compounds or None, "species": species, "dose": dose, "duration": duration, "cells": cells,
        "geometry": geometry,
    }  # fmt: skip
    settings = build_config(usual | read_base(config), set_ or (), given)
    cases = plan(settings, maps=read_maps(settings.block, config.parent if config else None))
    methods = method or ["lsq"]
    for case in cases:
        for name in methods:
            check_supported(case.problem, name)
    if out is not None:
        check_output(out, overwrite=overwrite)
    with options.progress([c.labels[0] for c in cases], quiet=quiet or json_) as note:
        found = [_compare(c, m, tol, seed, Told(note, c.labels[0], quiet=quiet or json_)) for c in cases for m in methods]
    files = _save(out, found, overwrite=overwrite) if out is not None else []
    if json_:
        rows = [_row(c) for c in found]
        typer.echo(json.dumps({"comparisons": rows, "files": files, "notice": "not for diagnosis or dosing"}, indent=2))
        return
    for comparison in found:
        _print(comparison)
    if files:
        typer.echo(f"{out}/: {', '.join(files)}")
    typer.echo("Research software: not for diagnosis or dosing.")


def _compare(case: Case, method: str, tol: float | None, seed: int, told: Told) -> Comparison:
    from krogh.runs.compare import compare_solvers

    return compare_solvers(case, method=method, tol=tol, seed=seed, progress=told.progress, tell=told.stage)


def _row(c: Comparison) -> dict[str, object]:
    return {
        "compounds": list(c.labels), "method": c.method, "converged": c.converged, "certificate": c.certificate, "tol": c.tol,
        "relative_error": {m: dict(zip(c.labels, e.tolist(), strict=True)) for m, e in zip(c.media, c.error, strict=True)},
        "relative_error_log_time": {
            m: dict(zip(c.labels, e.tolist(), strict=True)) for m, e in zip(c.media, c.log_error, strict=True)
        },
        "mass_defect": c.mass_defect, "cpu_s": dict(zip(("finite volumes", "networks"), c.cpu_s, strict=True)),
        "unknowns": c.unknowns,
    }  # fmt: skip


def _print(c: Comparison) -> None:
    from krogh.cli.tables import print_columns

    verdict = "converged" if c.converged else "FAILED: no answer at this tolerance"
    reached = f"certificate {c.certificate:.1e}" if math.isfinite(c.certificate) else "Newton's method did not come to rest"
    typer.echo(f"{', '.join(c.labels)}: networks ({c.method}) {verdict} ({reached}, asked for {c.tol:.0e})")
    rows = [
        [label, medium, f"{c.error[i, s]:.1e}", f"{c.log_error[i, s]:.1e}"]
        for s, label in enumerate(c.labels)
        for i, medium in enumerate(c.media)
    ]
    print_columns({"compound": 0, "where": 0, "relative error": 0, "in log time": 60}, rows)
    typer.echo(
        f"mass defect of the networks {c.mass_defect:.0e}; processor time {c.cpu_s[1]:.2f} s by networks ({c.unknowns} weights), "
        f"{c.cpu_s[0]:.2f} s by finite volumes\n"
    )


def _save(out: Path, found: list[Comparison], *, overwrite: bool) -> list[str]:
    from datetime import UTC, datetime

    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_run_record
    from krogh.plots.save import file_stem
    from krogh.plots.solvers import draw_solvers

    files = []
    with output_folder(out, overwrite=overwrite) as folder:
        for comparison in found:
            of_method = "" if comparison.method == "lsq" else f"_{comparison.method}"
            for s, label in enumerate(comparison.labels):
                name = f"solvers_{file_stem(label)}{of_method}.png"
                draw_solvers(comparison, s).savefig(folder / name)
                files.append(name)
        config = {"comparisons": [_row(c) for c in found]}
        write_run_record(folder, command=options.started_with.get(), config=config, started=datetime.now(UTC))
    return [*files, "run.json"]
