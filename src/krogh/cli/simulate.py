"""Run ``krogh simulate``: compounds across the barrier, a table on the screen, results and pictures in a folder."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import bands, options, training

if TYPE_CHECKING:
    from krogh.compounds import Compound
    from krogh.runs.config import SimulateConfig
    from krogh.runs.simulate import Case, GroupResult
    from krogh.transport.block.device.place import Place


def register(app: typer.Typer) -> None:
    """Add ``simulate`` to `app`."""
    app.command("simulate")(simulate)


def simulate(
    compounds: Annotated[list[str] | None, typer.Argument(help="Names of compounds; see 'krogh compounds list'.")] = None,
    out: options.Out = Path("out"),
    species: Annotated[str | None, typer.Option(help="human, rat or mouse.  [default: human]")] = None,
    dose: Annotated[
        list[str] | None, typer.Option(help="'100 mg oral every 8 h x 3', or NAME='10 mg iv' for one of several (repeatable).")
    ] = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. '24 h'.  [default: 24 h]")] = None,
    plasma: Annotated[
        Path | None, typer.Option(help="CSV of a measured plasma curve: 'time [h],concentration [uM]' (total).")
    ] = None,
    geometry: Annotated[
        str | None, typer.Option(help="slab, cylinder (Krogh, with flowing blood), block (3-D) or network.  [default: slab]")
    ] = None,
    together: Annotated[bool | None, typer.Option("--together", help="One problem: compounds compete for carriers.")] = None,
    leak: Annotated[float | None, typer.Option(help="Open tight junctions over healthy.  [default: 1]")] = None,
    pericytes: Annotated[float | None, typer.Option(help="Pericyte coverage, 0 to 1.  [default: 1]")] = None,
    efflux: Annotated[list[str] | None, typer.Option(help="PUMP=SHARE that works, e.g. P-gp=0 or all=0.2 (repeatable).")] = None,
    amino_acids: Annotated[float | None, typer.Option(help="Plasma amino acids over fasting (a protein meal: 2).")] = None,
    permeability_method: Annotated[str | None, typer.Option(help="Which measured permeability, e.g. 'PAMPA'.")] = None,
    compound_file: Annotated[list[Path] | None, typer.Option(help="TOML file of an own compound (repeatable).")] = None,
    solver: Annotated[str | None, typer.Option(help="fv (finite volumes) or pinn (not: network).  [default: fv]")] = None,
    pinn_method: Annotated[
        str | None, typer.Option(help="How the networks are trained: lsq, trained or classic.  [default: lsq]")
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="Certificate that the networks must reach.  [default: slab 5e-4, cylinder 1e-3, block 3e-4]"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="esdirk43, tr-bdf2, crank-nicolson, backward-euler, adi (block), explicit.  [default: esdirk43]"),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Fixed step, e.g. '10 s'; needed by crank-nicolson, backward-euler and adi.")
    ] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance of a step.  [default: 1e-4]")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells across the layers.  [default: 120]")] = None,
    cells_along: Annotated[int | None, typer.Option(help="Cells along the capillary (cylinder).  [default: 24]")] = None,
    uncertainty: Annotated[
        int, typer.Option(help="Bands from so many draws of all inputs with a range (slab); see 'krogh sensitivity'.", min=0)
    ] = 0,
    netcdf: Annotated[bool, typer.Option("--netcdf", help="Write results.nc as well.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw the pictures.")] = True,
    config: options.Config = None,
    set_: options.Set = None,
    seed: options.Seed = 0,
    device: Annotated[
        str,
        typer.Option(help="auto, cpu; a block, or a slab by networks: cuda, cuda:1 ..., torch-cpu (that code on the processor)."),
    ] = "auto",
    precision: Annotated[str, typer.Option(help="float64, or on a torch device float32 with a float64 residual.")] = "float64",
    threads: options.Threads = 1,
    json_: options.Json = False,
    quiet: options.Quiet = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training (pinn) in --out.")] = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """Simulate how compounds cross the blood-brain barrier, from blood through each layer into tissue and neurons."""
    from krogh.io.folder import check_output
    from krogh.io.map_file import read_maps
    from krogh.io.network_file import find_network
    from krogh.runs.config import build_config
    from krogh.transport.block.device.place import place_of

    started, clock = datetime.now(UTC), time.perf_counter()
    place = place_of(device, precision)
    base = read_base(config)
    given = {
        "compounds": compounds or None, "species": species, "duration": duration, "geometry": geometry, "together": together,
        "leak_factor": leak, "pericyte_coverage": pericytes, "amino_acids": amino_acids,
        "solver": solver, "pinn_method": pinn_method, "tol": tol, "method": method, "step": step,
        "rtol": rtol, "permeability_method": permeability_method, "cells": cells, "cells_along": cells_along,
        "dose": _doses(dose),
        "efflux": _shares(efflux), "seed": seed or None,
    }  # fmt: skip
    settings = build_config(base, set_ or (), given)
    own = read_own(compound_file or [])
    curve = _curve(plasma)
    apart = training.folder_of(settings, resume=resume)
    if not dry_run:
        check_output(out, overwrite=overwrite, apart=apart)
    from krogh.runs.simulate import check_place, check_solver, plan

    check_place(place, settings)
    maps = read_maps(settings.block, config.parent if config else None)
    vessels = find_network(settings.network, config.parent if config else None)
    cases = plan(settings, own=own, plasma=curve, maps=maps, vessels=vessels)
    for case in cases:
        check_solver(case, settings)
    if dry_run:
        _show_plan(cases, settings, as_json=json_)
        return
    inputs = [p for p in (config, plasma, *(compound_file or [])) if p]
    values = settings.model_dump()
    record: dict[str, Any] = {"command": options.started_with.get(), "config": values, "inputs": inputs, "started": started}
    where = {"device": device, "precision": precision}
    with training.kept(out, apart, values | where, inputs, resume=resume, overwrite=overwrite) as states:
        results = training.solve_cases(cases, settings, threads, place, states, quiet=quiet or json_)
        ranges = bands.run(cases, settings, uncertainty) if uncertainty else []
        record["extra"] = _where(results, place)
        files = _save(out, results, settings, record, ranges, overwrite=overwrite, netcdf=netcdf, pictures=pictures)
    _report(results, ranges, out, files, time.perf_counter() - clock, where=record["extra"], as_json=json_, quiet=quiet)


def read_base(config: Path | None) -> dict[str, Any]:
    """Return the settings of a TOML file, or none."""
    if config is None:
        return {}
    from krogh.io.text_file import read_toml

    return read_toml(config)


def _doses(words: list[str] | None) -> str | dict[str, str] | None:
    """Return one dose for all, or one by name where NAME='...' is used."""
    from krogh.errors import UsageError

    if not words:
        return None
    named = [w.partition("=") for w in words if "=" in w]
    if not named:
        if len(words) > 1:
            raise UsageError("--dose", got=f"{len(words)} doses", expected="one for all, or NAME='100 mg oral' for each")
        return words[0]
    if len(named) != len(words):
        raise UsageError("--dose", got="a mixture", expected="one for all, or NAME='100 mg oral' for each")
    return {name.strip(): text.strip() for name, _, text in named}


def _shares(words: list[str] | None) -> dict[str, float] | None:
    from krogh.errors import UsageError

    if not words:
        return None
    shares = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            shares[name.strip()] = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError("--efflux", got=repr(word), expected="PUMP=SHARE, e.g. P-gp=0")
    return shares


def read_own(files: list[Path]) -> dict[str, Compound]:
    """Return the user's compounds by lower-case name."""
    from krogh.io.compound_file import read_compound_file

    found = [read_compound_file(path) for path in files]
    return {c.name.lower(): c for c in found}


def _curve(path: Path | None) -> Any:
    if path is None:
        return None
    from krogh.io.text_file import read_plasma_curve

    return read_plasma_curve(path)


def _cell_count(settings: SimulateConfig) -> int:
    if settings.geometry == "network":
        return settings.network.cells**3
    if settings.geometry == "block":
        return settings.block.cells * settings.block.cells_y * settings.block.cells_z
    return settings.cells * (settings.cells_along if settings.geometry == "cylinder" else 1)


def _show_plan(cases: list[Case], settings: SimulateConfig, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "compounds": list(case.labels), "doses": [d.describe() if d else None for d in case.doses],
            "geometry": settings.geometry, "duration_s": case.problem.t_end_s,
            "cells": _cell_count(settings),
            "notes": [n for m in case.members for n in m.notes],
        }
        for case in cases
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"would_run": rows}, indent=2))
        return
    for row in rows:
        typer.echo(f"would run {', '.join(row['compounds'])}: {row['doses'][0] or 'measured plasma curve'}, {settings.duration}, "
                   f"{row['geometry']} of {row['cells']} cells")  # fmt: skip
        for note in row["notes"]:
            typer.echo(f"  note: {note}")


def _where(results: list[GroupResult], place: Place | None) -> dict[str, Any]:
    """Return where the run was solved, with how many digits, and with what residual."""
    if place is None:
        return {"device": "cpu", "dtype": "float64"}
    found: dict[str, Any] = {"device": place.name, "dtype": "float64"}
    if place.precision == "float32" and all(hasattr(r.solution, "windows") for r in results):
        found["training"] = "steps in float32, output weights in float64"
    elif place.precision == "float32":
        residuals = [getattr(r.solution, "system", None) for r in results]
        found |= {"solves": "float32", "worst_residual": max(float(getattr(s, "worst_residual", 0.0)) for s in residuals)}
    return found


def _save(
    out: Path,
    results: list[GroupResult],
    settings: SimulateConfig,
    record: dict[str, Any],
    ranges: list[bands.Ranges],
    *,
    overwrite: bool,
    netcdf: bool,
    pictures: bool,
) -> list[str]:
    """Write everything into a scratch folder that becomes `out`; return the names of the files."""
    from krogh.io.folder import output_folder
    from krogh.io.provenance import DISCLAIMER, write_run_record
    from krogh.io.store import write_netcdf, write_results, write_summary_csv, write_timecourse_csv
    from krogh.runs.dataset import build_dataset

    attrs = {"title": "krogh simulation", "species": settings.species, "geometry": settings.geometry, "notice": DISCLAIMER}
    data = build_dataset(results, attrs)
    with output_folder(out, overwrite=overwrite, apart=training.folder_of(settings)) as folder:
        paths = [write_results(data, folder), write_summary_csv(data, folder), write_timecourse_csv(data, folder)]
        if netcdf:
            paths.append(write_netcdf(data, folder))
        paths += bands.write(ranges, folder, pictures=pictures)
        if pictures:
            from krogh.plots.save import save_figures

            paths += save_figures(data, folder)
        write_run_record(folder, **record)
    return [p.name for p in paths] + ["run.json"]


def _report(
    results: list[GroupResult],
    ranges: list[bands.Ranges],
    out: Path,
    files: list[str],
    seconds: float,
    *,
    where: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    from krogh.cli.simulate_table import as_record, print_table

    if as_json:
        record = {
            "out": str(out),
            "files": files,
            "compounds": as_record(results),
            "notice": "not for diagnosis or dosing",
        } | where
        record |= {"ranges": bands.as_record(ranges)} if ranges else {}
        typer.echo(json.dumps(record, indent=2, allow_nan=False))
        return
    if not quiet:
        print_table(results)
        bands.say(ranges)
        if "worst_residual" in where:
            typer.echo(f"Solved with float32 on {where['device']}; largest residual of a stage, in float64: "
                       f"{where['worst_residual']:.0e} of the amount held")  # fmt: skip
        typer.echo("")
    typer.echo(f"{out}{'' if str(out).endswith('/') else '/'}: " + ", ".join(files))
    if not quiet:
        typer.echo(f"{seconds:.1f} s. Research software: not for diagnosis or dosing.")
