"""Run ``krogh infer``: parameters with intervals from measured concentrations, and what the data cannot tell."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options

if TYPE_CHECKING:
    from krogh.runs.infer import Inference

_COLUMNS = {"parameter": 0, "estimate": 0, "95 % interval": 0, "unit": 0, "library": 70, "": 0}


def register(app: typer.Typer) -> None:
    """Add ``infer`` to `app`."""
    app.command("infer")(infer)


def infer(
    data: Annotated[
        list[Path], typer.Argument(help="CSV files: matrix, time [h], value [uM], sd [uM] or cv [%], lloq, dataset.")
    ],
    compound: Annotated[str, typer.Option(help="Whose parameters; see 'krogh compounds list'.")],
    free: Annotated[
        str, typer.Option(help="Unknowns, e.g. P,Vmax: P PS Vmax Km D fu_brain fu_plasma clearance volume ka leak porosity.")
    ],
    out: options.Out = Path("inference"),
    species: Annotated[str | None, typer.Option(help="human, rat or mouse.  [default: human]")] = None,
    dose: Annotated[str | None, typer.Option(help="E.g. '4 mg/kg infusion over 10 min'.  [default: a typical one]")] = None,
    plasma: Annotated[Path | None, typer.Option(help="CSV of a measured plasma curve, in place of a dose.")] = None,
    prior: Annotated[list[str] | None, typer.Option(help="NAME='MEDIAN, FOLD', e.g. Km='1 mM, 3' (repeatable).")] = None,
    bounds: Annotated[list[str] | None, typer.Option(help="NAME='LOW to HIGH', e.g. P='1 nm/s to 1 um/s' (repeatable).")] = None,
    cv: Annotated[str | None, typer.Option(help="Relative SD of values without their own error, e.g. '10 %'.")] = None,
    unheld: Annotated[
        str, typer.Option(help="What the data do not hold: refuse it, or fix it at the library's value.")
    ] = "refuse",
    level: Annotated[float, typer.Option(help="Of the intervals.", min=0.5, max=0.999)] = 0.95,
    solver: Annotated[str | None, typer.Option(help="fv (volumes), pinn (networks) or compartments.  [default: fv]")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells across the layers.  [default: 40]")] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance of a step.  [default: 1e-4]")] = None,
    tol: Annotated[float | None, typer.Option(help="Certificate of the networks (pinn).  [default: 1e-3]")] = None,
    joint: Annotated[
        float | None, typer.Option(help="Also the usual joint loss of data and equations, biased: this weight, e.g. 1.")
    ] = None,
    compound_file: Annotated[list[Path] | None, typer.Option(help="TOML file of an own compound (repeatable).")] = None,
    posterior: Annotated[bool, typer.Option("--posterior/--no-posterior", help="Sample the posterior (extra infer).")] = True,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw the pictures.")] = True,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = 0,
    json_: options.Json = False,
    quiet: options.Quiet = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """Infer permeability, transport kinetics or binding from measured concentrations, with intervals and what cannot be told.

    Several data sets share the parameters: the column 'dataset' names them, and tables [dataset.NAME] of --config give each its
    own dose or state. A parameter that the data do not hold is refused, with the combination that they do hold. For signals of
    FEXI MRI: krogh fexi infer.
    """
    from krogh.cli.infer_settings import read_settings
    from krogh.errors import UsageError
    from krogh.io.folder import check_output
    from krogh.runs.infer import infer as run

    started, clock = datetime.now(UTC), time.perf_counter()
    if unheld not in ("refuse", "fix"):
        raise UsageError("--unheld", got=repr(unheld), expected="refuse or fix")
    given = {"compounds": [compound], "species": species, "dose": dose, "solver": solver, "cells": cells, "rtol": rtol,
             "tol": tol, "seed": seed or None}  # fmt: skip
    settings = read_settings(data, given, set_ or [], config, plasma, compound_file or [], cv)
    if joint is not None and not 0 < joint <= 1e6:
        raise UsageError("--joint", got=f"{joint:g}", expected="a weight above 0, at most 1e6", hint="1 is the textbook loss")
    priors, limits = settings.priors(prior or [], free), settings.bounds(bounds or [], free)
    names = [n for n in free.split(",") if n.strip()]
    if dry_run:
        settings.check(names, priors, limits)
        typer.echo(f"would fit {', '.join(names)} to {len(settings.data.t_s)} values of {', '.join(settings.experiments)}")
        return
    check_output(out, overwrite=overwrite)
    with options.progress([compound], quiet=quiet or json_) as show:
        result = run(
            settings.experiments, settings.data, names, priors=priors, bounds=limits,
            unheld="fix" if unheld == "fix" else "report", level=level, posterior=posterior, joint=joint, seed=seed,
            progress=lambda share: show(compound, share),
        )  # fmt: skip
    record = {
        "command": options.started_with.get(),
        "inputs": settings.inputs,
        "started": started,
        "config": settings.record(free),
    }
    files = _save(out, result, record, overwrite=overwrite, pictures=pictures)
    _report(result, out, files, time.perf_counter() - clock, as_json=json_, quiet=quiet)
    if joint is not None and result.joint is None:  # asked for and not there: said even where all else is quiet
        sys.stderr.write(f"warning: {next(n for n in result.notes if n.startswith('no joint fit'))}\n")
    if result.unheld:
        from krogh.cli.infer_report import refuse

        refuse(result)


def _save(out: Path, result: Inference, record: dict[str, Any], *, overwrite: bool, pictures: bool) -> list[str]:
    from krogh.io.folder import output_folder
    from krogh.io.inference_files import write_inference
    from krogh.io.provenance import write_run_record

    with output_folder(out, overwrite=overwrite) as folder:
        paths = write_inference(result, folder)
        if pictures:
            from krogh.plots.corner import draw_corner
            from krogh.plots.inference import draw_fit, draw_profiles

            for name, draw in (("fit", draw_fit), ("profiles", draw_profiles), ("corner", draw_corner)):
                figure = draw(result)
                path = folder / f"{name}.png"
                figure.savefig(path, metadata={"Title": name, "Description": str(figure.get_label())})
                paths.append(path)
        write_run_record(folder, **record, extra={"device": "cpu", "dtype": "float64", "notes": list(result.notes)})
    return [p.name for p in paths] + ["run.json"]


def _report(result: Inference, out: Path, files: list[str], seconds: float, *, as_json: bool, quiet: bool) -> None:
    from krogh.cli.infer_report import interval_text, plain, shown_number
    from krogh.cli.tables import print_columns
    from krogh.io.inference_files import inference_record
    from krogh.runs.infer_tables import combination_rows, combination_text, estimate_rows

    if as_json:
        typer.echo(json.dumps(plain({"out": str(out), "files": files, **inference_record(result)}), indent=2, allow_nan=False))
        return
    if not quiet:
        rows = [
            [r["parameter"], shown_number(r["estimate"]), interval_text(r), r["unit"],
             shown_number(r["library"]), r["verdict"]]
            for r in estimate_rows(result)
        ]  # fmt: skip
        print_columns({k.replace("95", f"{100 * result.level:g}"): v for k, v in _COLUMNS.items()}, rows)
        for row in combination_rows(result):
            typer.echo(f"the data hold {combination_text(row)}")
        count = int(result.data.censored.sum())
        below = f", {count} of them below their limit" if count else ""
        misfit = f"chi2 {result.fit.chi2:.1f} for {result.fit.dof} degrees of freedom (p {result.fit.p_value:.2g})"
        typer.echo(f"{len(result.data.t_s)} values{below}; {misfit if result.fit.dof > 0 else 'too few for a test of the model'}")
        if result.posterior is not None:
            p = result.posterior
            typer.echo(
                f"posterior: {len(p.x)} samples worth {p.effective:.0f} independent ones, R-hat {p.r_hat:.3f}; surrogate within "
                f"{p.surrogate_error:.1g} in log posterior"
            )
        for s in result.next_times[:1]:
            typer.echo(f"most would be learned from {s.matrix} of {s.dataset} at {s.t_s / 60:.3g} min (next_times.csv)")
        for note in result.notes:
            typer.echo(f"note: {note}")
        typer.echo("")
    typer.echo(f"{out}/: " + ", ".join(files))
    if not quiet:
        typer.echo(f"{seconds:.1f} s. Profile-likelihood intervals. Research software: not for diagnosis or dosing.")
