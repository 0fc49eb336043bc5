"""``krogh fexi fit``: from a scan and its protocol to maps, regional values and pictures."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import (
    ProtocolSource,
    check_noise_options,
    enough_memory,
    progress_printer,
    read_scan,
    report,
    training_device,
)
from krogh.cli.fexi_model import Bound, Fix, Model, Relax, tissue_model
from krogh.cli.fexi_prior import check_estimator, check_intervals, learned_settings, read_network, smooth_length
from krogh.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from krogh.fexi.protocol import Protocol
    from krogh.io.nifti import Image
    from krogh.runs.fexi import FexiMaps

__all__ = ["register"]

_MAX_ROWS = 40


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("fit")(fit)


def fit(
    dwi: Annotated[Path, typer.Argument(help="The 4-D scan, .nii or .nii.gz.")],
    protocol: ProtocolSource,
    mask: Annotated[Path | None, typer.Option("--mask", "-m", help="Voxels to fit; default: all with signal.")] = None,
    roi: Annotated[Path | None, typer.Option("--roi", help="Label image: a pooled fit per label.")] = None,
    out: options.Out = Path("out"),
    estimator: Annotated[
        str,
        typer.Option(
            "--estimator", "-e", help="nlls, rician, nlls27 (slow), or learned: eb, hbayes, npe, supervised, selfsup, physics."
        ),
    ] = "nlls",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A network of krogh fexi train; default: train one for this scan.")
    ] = None,
    model: Model = "axr",
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    noise_sd: Annotated[float | None, typer.Option("--noise-sd", help="Noise SD in the unit of the scan.")] = None,
    noise_map: Annotated[Path | None, typer.Option("--noise-map", help="Noise SD per voxel, a 3-D image.")] = None,
    v_b: Annotated[str, typer.Option("--vb", help="Blood volume fraction for k_ie, PS and P.")] = "4 %",
    radius: Annotated[str, typer.Option("--radius", help="Capillary radius for P.")] = "3 um",
    prior: Annotated[
        str, typer.Option("--prior", help="Of eb, hbayes: scan (learned from it), uniform, or the prior.json of another fit.")
    ] = "scan",
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Tissue label image: eb and hbayes learn one prior per label.")
    ] = None,
    smooth: Annotated[
        str | None,
        typer.Option("--smooth", help="Length over which neighbours resemble each other, e.g. '6 mm'; of eb and hbayes."),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    seed: Annotated[int | None, typer.Option("--seed", help="Of what is trained for this scan (default 0).", min=0)] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Also 95 % profile intervals per voxel (slower).")] = False,
    figures: Annotated[bool, typer.Option(help="Draw the quality pictures.")] = True,
    subject: Annotated[str | None, typer.Option("--subject", help="BIDS label; default: from the name of the scan.")] = None,
    threads: options.Threads = 0,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a FEXI scan: maps of ADC, sigma, AXR, k_ie, PS and P with uncertainty, and pooled values of regions."""
    started = datetime.now(UTC)
    from krogh.io.fexi_fitted import read_region_names
    from krogh.io.fexi_protocol import read_protocol
    from krogh.io.folder import check_output
    from krogh.io.nifti import read_labels
    from krogh.runs.fexi import fit_scan
    from krogh.runs.fexi_maps import Vessels
    from krogh.units import parse_quantity

    check_output(out, overwrite=overwrite)
    plan = read_protocol(protocol)
    tissue = tissue_model(model, bound or [], fix or [], relax or [])
    check_estimator(estimator)
    check_noise_options(noise_sd, noise_map)
    learned = {**learned_settings(estimator, tissue, prior, labels, seed), **read_network(weights, estimator, seed)}
    length = smooth_length(smooth, estimator, prior)
    learned |= _training(estimator, device, precision, weights)
    check_intervals(estimator, model, intervals=intervals)
    vessels = Vessels(parse_quantity(v_b, "fraction", where="--vb"), parse_quantity(radius, "length", where="--radius"), "stated")
    image, inside, noise = read_scan(dwi, plan, mask, noise_sd, noise_map)
    regions = None if roi is None else read_labels(roi, image)
    tissues = None if labels is None else read_labels(labels, image)
    facts = [
        f"{dwi.name}: {' x '.join(map(str, image.data.shape))}, voxels {' x '.join(f'{e:.3g}' for e in image.voxel_size_mm)} mm",
        f"protocol {Path(protocol).name}: {plan.n_volumes} volumes in {plan.n_series} series, hash {plan.content_hash()}",
        f"mask: {int(inside.sum()):,} voxels" + ("" if mask else " (none given: all voxels with signal)"),
    ]
    config: dict[str, Any] = {
        "protocol": plan.as_dict(), "estimator": estimator, "model": model,
        "bound": bound or [], "fix": fix or [], "relax": relax or [],
        "noise_sd": noise_sd, "v_b": vessels.blood_fraction, "radius_m": vessels.radius_m, "intervals": intervals,
        "prior": prior, "labels": None if labels is None else labels.name, "seed": seed, "device": device, "precision": precision,
        "weights": None if weights is None else weights.name,
    }  # fmt: skip
    if length is not None:
        config["smooth_m"] = length
    if dry_run:
        report({"dry_run": True, "config": config, "facts": facts}, [*facts, "dry run: nothing fitted"], as_json=as_json)
        return
    with enough_memory(dwi.name):
        result = fit_scan(
            image.data, plan, inside, estimator=estimator, model=tissue, noise_sd=noise, labels=regions, tissues=tissues,
            options=learned, smooth_m=length, voxel_size_m=[1e-3 * edge for edge in image.voxel_size_mm],
            region_names=read_region_names(roi) if roi else None, vessels=vessels, intervals=intervals, threads=threads,
            progress=progress_printer("voxels fitted", quiet=quiet),
            learning=progress_printer("learning from the scan, step", quiet=quiet),
        )  # fmt: skip
    inputs = {
        "dwi": dwi, "mask": mask, "roi": roi, "noise_map": noise_map, "protocol": Path(protocol), "labels": labels,
        "prior": Path(prior),
    }  # fmt: skip
    inputs["weights"] = None if weights is None else (weights if weights.is_dir() else weights.parent) / "weights.safetensors"
    files = _write(out, result, image, plan, inside, config, inputs, subject, started, figures=figures, overwrite=overwrite)
    payload = _payload(result, out, files)
    report(payload, [*facts, *_table(result), "", f"written to {out}:", *(f"  {name}" for name in files)], as_json=as_json)


def _training(estimator: str, device: str, precision: str, weights: Path | None) -> dict[str, Any]:
    """Return where the network of this fit is trained; refuse the choice where none is."""
    from krogh.fexi.estimators import NETWORKS

    if estimator in NETWORKS and weights is None:
        return {"compute": training_device(device, precision)}
    options.check_device(device)
    for name, given in (("--device", device == "cuda"), ("--precision", precision != "float32")):
        if given:
            got = f"--estimator {estimator}" + ("" if weights is None else " --weights")
            raise UsageError(name, got=got, expected="an estimator that trains a network for this scan")
    return {}


def _write(
    out: Path, result: FexiMaps, image: Image, plan: Protocol, inside: NDArray[np.bool_], config: dict[str, Any],
    inputs: dict[str, Path | None], subject: str | None, started: datetime, *, figures: bool, overwrite: bool,
) -> list[str]:  # fmt: skip
    from krogh.io.bids import subject_of
    from krogh.io.fexi_fitted import write_fit
    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_run_record

    real = {role: path for role, path in inputs.items() if path is not None and path.is_file()}
    dwi = inputs["dwi"] or Path("scan")
    with output_folder(out, overwrite=overwrite) as scratch:
        names = {role: path.name for role, path in real.items()}
        files = write_fit(scratch, result, image, plan, inside, subject=subject or subject_of(dwi), sources=names)
        if figures:
            from krogh.plots.fexi import draw_quality

            files += draw_quality(scratch / "figures", result, inside, image.affine, title=dwi.name)
        extra = {"counts": result.counts, "noise_sd": result.noise_sd, "snr": result.snr, "notes": result.notes}
        command = options.started_with.get()
        write_run_record(scratch, command=command, config=config, inputs=real.values(), started=started, extra=extra)
        return [str(path.relative_to(scratch)) for path in files]


def _ends(low: float, high: float) -> str:
    return f"({'<' if math.isinf(low) else f'{low:.3g}'} .. {'>' if math.isinf(high) else f'{high:.3g}'})"


def _table(result: FexiMaps) -> list[str]:
    from krogh.fexi.interface import Flag
    from krogh.runs.fexi_parameters import shown

    names = [shown(n) for n in result.model.parameter_names]
    head = "region              voxels  " + "  ".join(f"{f'{p.label} ({p.unit})':24s}" for p in names) + "  k_ie (1/s)  P (um/s)"
    pooled = "pooled fits, 95 % profile intervals" if result.model.name == "axr" else "fits of the mean signal of each region, SD"
    lines = ["", pooled, head]
    for r in result.regions[:_MAX_ROWS]:
        cells = []
        for p in names:
            spread = _ends(r.low[p.name], r.high[p.name]) if p.name in r.low else f"+- {r.sd.get(p.name, math.nan):.2g}"
            cells.append(f"{f'{r.values[p.name]:.3g} {spread}':24s}")
        flag = "" if r.flag == Flag.OK else f"  [{r.flag.name}: {r.flag.sentence}]"
        tail = f"{r.values.get('kie', math.nan):10.3g}  {r.values.get('p', math.nan):8.3g}{flag}"
        lines.append("  ".join([f"{r.name[:18]:18s} {r.n_voxels:7d}", *cells, tail]))
    lines += _posterior_lines(result)
    if len(result.regions) > _MAX_ROWS:
        lines.append(f"... and {len(result.regions) - _MAX_ROWS} more in regions.tsv")
    snr = "unknown" if result.snr is None else f"{result.snr:.0f}"
    noise = "" if result.noise_sd is None else f" ({result.noise_sd:.3g}, {result.noise_source})"
    counts = ", ".join(f"{count:,} {name.lower().replace('_', ' ')}" for name, count in result.counts.items() if count)
    vessels = f"v_b {result.settings['blood_fraction']:g}, capillary radius {result.settings['radius_m'] * 1e6:g} um (stated)"
    lines += ["", f"SNR {snr}, noise SD{noise or ' unknown'}; {vessels}", f"voxels: {counts}", *_short(result.notes)]
    return [*lines, "Research software: not for diagnosis or dosing."]


def _posterior_lines(result: FexiMaps) -> list[str]:
    from krogh.runs.fexi_parameters import shown

    some = [r for r in result.regions[:_MAX_ROWS] if r.posterior]
    if not some:
        return []
    names = [shown(n) for n in result.model.parameter_names]
    lines = ["", "posterior of the mean over the voxels of a region, 95 % intervals"]
    for r in some:
        cells = [f"{f'{r.posterior[p.name][0]:.3g} {_ends(*r.posterior[p.name][2:])}':24s}" for p in names]
        lines.append("  ".join([f"{r.name[:18]:18s} {r.n_voxels:7d}", *cells]).rstrip())
    return lines


def _short(notes: tuple[str, ...]) -> list[str]:
    """Return the notes, of the many that say the same of different regions the first four."""
    same = [note for note in notes if note.startswith("Voxel-wise")]
    kept = [note for note in notes if note not in same[4:]]
    if len(same) > 4:
        kept.append(f"The same holds in {len(same) - 4} more regions: see axr_sd_one_voxel in regions.tsv.")
    return kept


def _payload(result: FexiMaps, out: Path, files: list[str]) -> dict[str, Any]:
    from krogh.runs.fexi_regions import iter_rows

    return {
        "out": str(out), "files": files, "regions": list(iter_rows(result.regions)), "counts": result.counts, "snr": result.snr,
        "noise_sd": result.noise_sd, "noise_source": result.noise_source, "notes": list(result.notes),
        "estimator": result.estimator,
        "model": result.model.name,
    }  # fmt: skip
