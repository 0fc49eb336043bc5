"""``krogh fexi cohort``: every scan of a BIDS folder, fitted as one item each, with one table for the group."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from krogh.cli import chunked, options
from krogh.cli.fexi_common import report
from krogh.cli.fexi_model import Bound, Fix, Model, Relax, tissue_model
from krogh.cli.fexi_prior import (
    check_estimator,
    check_intervals,
    check_network,
    learned_settings,
    read_network,
    smooth_length,
)

__all__ = ["register"]


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("cohort")(cohort)


def cohort(
    dataset: Annotated[Path, typer.Argument(help="A BIDS folder: sub-*/[ses-*/]dwi/*_dwi.nii[.gz].")],
    out: options.Out = Path("cohort"),
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="One protocol for all scans; default: the file beside each (*_fexi.tsv).")
    ] = "",
    match: Annotated[str, typer.Option(help="What the names of scans look like, without .nii.")] = "*_dwi",
    mask: Annotated[str, typer.Option(help="The same for masks, beside the scan or in derivatives.")] = "*_mask",
    roi: Annotated[str, typer.Option(help="The same for label images.")] = "*_dseg",
    estimator: Annotated[str, typer.Option("--estimator", "-e", help="As of krogh fexi fit: nlls, rician, eb, npe ...")] = "nlls",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A network of krogh fexi train for all scans; default: one trained for each.")
    ] = None,
    model: Model = "axr",
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    noise_sd: Annotated[float | None, typer.Option("--noise-sd", help="Noise SD of all scans, in their unit.")] = None,
    prior: Annotated[
        str, typer.Option("--prior", help="Of eb, hbayes: scan (learned from each), uniform, or the prior.json of a fit.")
    ] = "scan",
    labels: Annotated[
        str, typer.Option("--labels", help="Of eb, hbayes: what names of tissue labels look like, e.g. '*_desc-tissue_dseg'.")
    ] = "",
    smooth: Annotated[
        str | None, typer.Option("--smooth", help="Of eb, hbayes: length over which neighbours resemble each other, e.g. '6 mm'.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of what is trained for a scan (default 0).", min=0)] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Also 95 % profile intervals per voxel (slower).")] = False,
    v_b: Annotated[str, typer.Option("--vb", help="Blood volume fraction for k_ie, PS and P.")] = "4 %",
    radius: Annotated[str, typer.Option("--radius", help="Capillary radius for P.")] = "3 um",
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="Write the maps of every scan.")] = True,
    threads: Annotated[int, typer.Option("--threads", help="Threads of one fit.", min=1, max=512)] = 1,
    workers: chunked.Workers = 1,
    dask: chunked.Dask = "",
    shard: chunked.Shard = "1/1",
    max_fail: chunked.MaxFail = None,
    resume: chunked.Resume = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit the FEXI scans of a cohort: maps of each, one table of all regions, means over subjects with intervals."""
    from krogh.io.cohort_fit import CohortItem, CohortSettings, fit_item
    from krogh.io.cohort_scans import count_subjects, find_scans
    from krogh.io.fexi_protocol import read_protocol
    from krogh.io.folder import output_errors
    from krogh.io.provenance import write_run_record
    from krogh.report.cohort import write_cohort
    from krogh.units import parse_quantity

    started = datetime.now(UTC)
    how = chunked.how_to_run(workers, dask, shard, max_fail, resume=resume, overwrite=overwrite, silent=quiet or as_json)
    tissue = tissue_model(model, bound or [], fix or [], relax or [])
    check_estimator(estimator)
    check_intervals(estimator, model, intervals=intervals)
    length = smooth_length(smooth, estimator, prior)
    learned = learned_settings(estimator, tissue, prior, Path(labels) if labels else None, seed)
    network = read_network(weights, estimator, seed)
    shared = read_protocol(protocol) if protocol else None
    if network and shared is not None:
        check_network(network["weights"], estimator, tissue, shared)
    if protocol and Path(protocol).is_file():  # workers may stand elsewhere
        protocol = os.path.abspath(protocol)  # noqa: PTH100  (resolve() would follow links)
    settings = CohortSettings(
        os.path.abspath(dataset), os.path.abspath(out), protocol, estimator, tissue,  # noqa: PTH100
        parse_quantity(v_b, "fraction", where="--vb"), parse_quantity(radius, "length", where="--radius"), maps, threads,
        learned, os.path.abspath(weights) if weights else "", noise_sd, length, intervals,  # noqa: PTH100
    )  # fmt: skip
    config = {
        "estimator": estimator, "model": model, "bound": bound or [], "fix": fix or [], "relax": relax or [],
        "weights": "" if weights is None else _digest((weights if weights.is_dir() else weights.parent) / "weights.safetensors"),
        "noise_sd": noise_sd, "prior": _digest(Path(prior)) or prior, "labels": labels, "smooth_m": length, "seed": seed,
        "intervals": intervals, "blood_fraction": settings.blood_fraction, "radius_m": settings.radius_m, "maps": maps,
        "protocol": shared.content_hash() if shared else "",
    }  # fmt: skip
    scans = find_scans(dataset, match=match, mask=mask, roi=roi, labels=labels, protocol=bool(protocol), skip=out)
    facts = [f"{dataset.name or dataset}: {len(scans)} scans of {count_subjects(scans)} subjects"]
    if dry_run:
        lines = [f"  {s.dwi}: {s.fault or f'mask {s.mask or chr(45)}, regions {s.roi or chr(45)}'}" for s in scans]
        report({"dry_run": True, "scans": [s.dwi for s in scans]}, [*facts, *lines, "dry run: nothing fitted"], as_json=as_json)
        return
    plan = _plan(config, scans, dataset)
    with chunked.chunks_done([CohortItem(s, settings) for s in scans], fit_item, out, plan, how) as store:
        if store is None:
            return
        rows, summary, failed = write_cohort(out, store.load, len(scans))
        with output_errors(out.name):
            write_run_record(out, command=options.started_with.get(), config=plan["settings"], started=started)
    payload = {"out": str(out), "scans": len(scans), "failed": failed, "summary": summary}
    report(payload, [] if quiet else [*facts, *_lines(summary, failed), f"written to {out}: group.tsv, summary.tsv, failed.tsv"
                                      + (", group.png" if rows else "")], as_json=as_json)  # fmt: skip


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, nothing where there is none."""
    from krogh.io.provenance import file_sha256

    return file_sha256(path) if path.is_file() else ""


def _plan(config: dict[str, Any], scans: Any, dataset: Path) -> dict[str, Any]:
    """Return everything that decides the results: settings, and what every file holds; no place on this machine."""
    from krogh import __version__
    from krogh.io.cohort_fit import input_digests

    return {"krogh": __version__, "settings": config, "scans": input_digests(dataset, scans)}


def _lines(summary: list[dict[str, Any]], failed: list[dict[str, Any]]) -> list[str]:
    lines = ["", "region              quantity  subjects  scans  left out  mean      95 % of the mean      SD between  SD within"]
    for s in (s for s in summary if s["quantity"] in ("axr", "k", "kie", "p")):
        ends = f"{s['low']:.3g} .. {s['high']:.3g}" if s["low"] == s["low"] else "-"
        within = f"{s['sd_within']:.2g}" if s["sd_within"] == s["sd_within"] else "-"
        between = f"{s['sd_between']:.2g}" if s["sd_between"] == s["sd_between"] else "-"
        mean = f"{s['mean']:.3g}" if s["mean"] == s["mean"] else "-"
        lines.append(f"{s['region'][:18]:18s}  {s['quantity']:8s}  {s['subjects']:8d}  {s['scans']:5d}  {s['left_out']:8d}  "
                     f"{mean:8s}  {ends:20s}  {between:10s}  {within}")  # fmt: skip
    lines += [f"failed: {f['scan']}: {f['reason']}" for f in failed[:20]]
    if len(failed) > 20:
        lines.append(f"... and {len(failed) - 20} more in failed.tsv")
    return [*lines, "Research software: not for diagnosis or dosing."]
