"""``krogh fexi simulate``: voxels of known tissue, or a digital head, as a scan with noise and its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import enough_memory, report
from krogh.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from krogh.fexi.phantom import Phantom
    from krogh.fexi.protocol import Protocol
    from krogh.runs.fexi_simulate import Noise

__all__ = ["parse_range", "register"]

_RANGES = {
    "axr": {"adc": (0.1, 4.0), "sigma": (0.0, 0.8), "axr": (0.1, 20.0)},
    "2cm": {"fi": (0.01, 0.08), "di": (5.0, 15.0), "de": (0.6, 1.0), "k": (0.5, 8.0)},
}


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("simulate")(simulate)


@dataclass(frozen=True)
class _Job:
    """What both kinds of simulation need."""

    protocol: Protocol
    noise: Noise
    rng: np.random.Generator
    config: dict[str, Any]


_Writer = Callable[[Path], list[Path]]


def simulate(
    out: options.Out = Path("out"),
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="Protocol file or preset.")] = "human-bbb",
    voxels: Annotated[int, typer.Option("--voxels", help="Voxels to draw (without --phantom or --list).", min=1)] = 1000,
    uniform: Annotated[
        list[str] | None, typer.Option("--uniform", help="Range of a parameter: adc=0.1:4 (um2/ms), axr=3 (1/s). Repeatable.")
    ] = None,
    tissue_list: Annotated[Path | None, typer.Option("--list", help="CSV, one tissue a row; columns adc, sigma, axr.")] = None,
    model: Annotated[str, typer.Option("--model", help="Signal model of the voxels: axr, 2cm or 2cmr.")] = "axr",
    phantom: Annotated[str | None, typer.Option("--phantom", help="brain (needs KROGH_DATA) or shapes (needs nothing).")] = None,
    voxel: Annotated[str, typer.Option("--voxel", help="Voxel edge of the phantom, whole mm.")] = "4 mm",
    lesion: Annotated[bool, typer.Option("--lesion", help="Put a ball of raised exchange into the phantom.")] = False,
    lesion_k: Annotated[str, typer.Option("--lesion-k", help="Exchange rate of the lesion.")] = "5 1/s",
    relaxation: Annotated[bool, typer.Option(help="Let T1, crushers and (with echo times) T2 act in the phantom.")] = True,
    snr: Annotated[float, typer.Option("--snr", help="SNR of the unfiltered b = 0 volume; 0 for no noise.", min=0)] = 50.0,
    noise: Annotated[str, typer.Option("--noise", help="rician, gaussian or noncentral-chi.")] = "rician",
    coils: Annotated[int, typer.Option("--coils", help="Coils of noncentral-chi noise.", min=1)] = 1,
    noise_map: Annotated[Path | None, typer.Option("--noise-map", help="NIfTI that shapes the noise over the phantom.")] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Simulate a FEXI scan of known tissue: voxels from a range or a list, or a digital head.

    Writes the scan (NIfTI), its protocol, mask and labels, and the true maps, as a BIDS derivative dataset.
    """
    import numpy as np

    from krogh.io.fexi_protocol import read_protocol
    from krogh.io.folder import check_output
    from krogh.runs.fexi_simulate import Noise

    started = datetime.now(UTC)
    check_output(out, overwrite=overwrite)
    plan = read_protocol(protocol)
    config = {"protocol": plan.as_dict(), "noise": {"snr": snr or None, "kind": noise, "coils": coils}, "seed": seed}
    job = _Job(plan, Noise(snr or None, noise, coils), np.random.default_rng(seed), config)  # type: ignore[arg-type]
    if phantom is not None and (tissue_list is not None or uniform):
        raise UsageError("--phantom", got="also --list or --uniform", expected="one source of tissues")
    with enough_memory("the simulation"):
        if phantom is not None:
            built, note = _build(job, phantom, voxel, lesion, lesion_k, relaxation)
            lines = _tissue_lines(built, note)
            work = _phantom_work(job, built, noise_map)
        else:
            work, lines = _voxel_work(job, model, tissue_list, uniform or [], voxels)
    if dry_run:
        report({"dry_run": True, "config": config}, [*lines, "dry run: nothing written"], as_json=as_json)
        return
    inputs = [Path(p) for p in (protocol, tissue_list, noise_map) if p is not None and Path(p).is_file()]
    files = _write(out, work, config, inputs, started, overwrite=overwrite)
    report({"out": str(out), "files": files, "config": config}, [*lines, *_closing(out, files)], as_json=as_json)


def _write(
    out: Path, work: _Writer, config: Mapping[str, Any], inputs: Iterable[Path], started: datetime, *, overwrite: bool
) -> list[str]:
    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_run_record

    with output_folder(out, overwrite=overwrite) as scratch:
        files = [str(p.relative_to(scratch)) for p in work(scratch)]
        write_run_record(scratch, command=options.started_with.get(), config=config, inputs=inputs, started=started)
    return files


def _closing(out: Path, files: list[str]) -> list[str]:
    return ["", f"written to {out}:", *(f"  {name}" for name in files)]


def parse_range(text: str) -> tuple[str, tuple[float, float]]:
    """Return name and limits of ``name=low:high`` or ``name=value``."""
    name, _, limits = text.partition("=")
    low, _, high = limits.partition(":")
    try:
        return name.strip(), (float(low), float(high or low))
    except ValueError:
        raise InputError("--uniform", got=repr(text), expected="name=low:high or name=value, e.g. adc=0.1:4") from None


def _voxel_work(job: _Job, name: str, tissue_list: Path | None, uniform: list[str], count: int) -> tuple[_Writer, list[str]]:
    from krogh.fexi.models import get_model
    from krogh.io.fexi_simulated import read_tissues, write_voxels
    from krogh.runs.fexi_simulate import draw_parameters, simulate_voxels

    model = get_model(name) if name == "axr" else get_model(name, fixed={})
    if tissue_list is not None:
        theta = read_tissues(tissue_list, model)
        job.config["list"] = tissue_list.name
    else:
        ranges = {**_RANGES["axr" if name == "axr" else "2cm"], **dict(parse_range(text) for text in uniform)}
        theta = draw_parameters(model, ranges, count, job.rng)
        job.config["uniform"] = ranges
    job.config["model"] = name
    simulation = simulate_voxels(model, job.protocol, theta, job.noise, job.rng)
    sidecar = {"Model": name, "ProtocolHash": job.protocol.content_hash(), "NoiseSD": simulation.noise_sd, "SNR": job.noise.snr}

    def write(folder: Path) -> list[Path]:
        return write_voxels(folder, simulation.signals, theta, model, job.protocol, sidecar)

    return write, [
        f"{theta.shape[0]} voxels of model {name}, {job.protocol.n_volumes} volumes, noise SD {simulation.noise_sd:.3g}"
    ]


def _build(job: _Job, name: str, voxel: str, lesion: bool, lesion_k: str, relaxation: bool) -> tuple[Phantom, list[str]]:
    import numpy as np

    from krogh.fexi.phantom import TISSUES, add_lesion, build_phantom, shape_labels
    from krogh.units import parse_quantity

    edge_mm = parse_quantity(voxel, "length", where="--voxel") * 1e3
    factor = round(edge_mm)
    if factor < 1 or abs(edge_mm - factor) > 1e-6:
        raise InputError("--voxel", got=voxel, expected="a whole number of mm, e.g. '4 mm'")
    rate = parse_quantity(lesion_k, "rate", where="--lesion-k")
    if name == "brain":
        from krogh.io.asldro import read_brain

        labels, affine, tissues = read_brain()
    elif name == "shapes":
        labels, affine, tissues = shape_labels(), np.eye(4), dict(TISSUES)
    else:
        raise UsageError("--phantom", got=repr(name), expected="brain or shapes")
    if lesion:
        labels = add_lesion(labels, radius=12.0 if name == "brain" else 8.0)
    built = build_phantom(
        labels, affine, job.protocol, factor=factor, tissues=tissues, lesion_k_per_s=rate, relaxation=relaxation
    )
    job.config["phantom"] = {
        "name": name, "voxel_mm": factor, "lesion": lesion, "lesion_k_per_s": rate if lesion else None, "relaxation": relaxation
    }  # fmt: skip
    note = [
        f"{name} phantom, {factor} mm voxels, {' x '.join(map(str, built.mask.shape))}, {int(built.mask.sum()):,} inside the mask"
    ]
    if relaxation and None in (job.protocol.echo_time_filter_s, job.protocol.echo_time_detect_s):
        note.append("the protocol states no echo times: T1 acts, T2 does not")
    return built, note


def _tissue_lines(built: Phantom, note: list[str]) -> list[str]:
    lines = [*note, "", "tissue         voxels   f_i    D_i   D_e (um2/ms)   k (1/s)   T1 (s)  T2 (s)"]
    for value, t in built.tissues.items():
        count = int((built.labels == value).sum())
        lines.append(
            f"{t.name:13s} {count:7d}  {t.vascular_fraction:.3f}  {1e9 * t.d_i_m2_s:4.1f}  {1e9 * t.d_e_m2_s:5.2f}"
            f"          {t.k_per_s:7.3f}   {t.t1_s:6.2f}  {t.t2_s:6.3f}"
        )
    return lines


def _phantom_work(job: _Job, built: Phantom, noise_map: Path | None) -> _Writer:
    from krogh.io.fexi_simulated import tissue_records, write_phantom
    from krogh.io.nifti import read_image
    from krogh.runs.fexi import fit_scan
    from krogh.runs.fexi_simulate import simulate_phantom

    shape = None if noise_map is None else read_image(noise_map, where=f"noise map {noise_map.name}").data
    simulation = simulate_phantom(built, job.protocol, job.noise, job.rng, noise_map=shape)
    sidecar = {
        "Tissues": tissue_records(built),
        "ProtocolHash": job.protocol.content_hash(),
        "NoiseSD": simulation.noise_sd,
        "SNR": job.noise.snr,
    }

    def write(folder: Path) -> list[Path]:
        # what the AXR model makes of the scan without noise: relaxation, crushers and mixed voxels bias it
        best = fit_scan(built.signals, job.protocol, built.mask)
        fitted = {name: best.maps[name] for name in ("adc", "sigma", "axr")}
        return write_phantom(folder, built, simulation.signals, job.protocol, sidecar, fitted=fitted)

    return write
