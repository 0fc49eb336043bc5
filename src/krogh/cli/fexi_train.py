"""``krogh fexi train``: train a network once, on a scan or on simulated voxels, for any number of scans of one protocol."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import (
    ProtocolSource,
    check_noise_options,
    progress_printer,
    read_scan,
    report,
    training_device,
)
from krogh.cli.fexi_model import Bound, Fix, Model, Relax, tissue_model
from krogh.cli.fexi_prior import learned_settings
from krogh.errors import InputError, UsageError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel
    from krogh.fexi.learned.checkpoint import Checkpoint
    from krogh.fexi.learned.prior import MixturePrior
    from krogh.fexi.protocol import Protocol
    from krogh.runs.fexi_train import ScanTask, Task

__all__ = ["register"]

_KEEP_EVERY_S = 2.0


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("train")(train)


def train(
    estimator: Annotated[
        str, typer.Argument(help="The estimator whose network is trained: hbayes, npe, supervised, selfsup, physics.")
    ],
    protocol: ProtocolSource,
    scan: Annotated[
        Path | None, typer.Argument(help="A 4-D scan to learn from (hbayes, selfsup, physics); default: simulated voxels.")
    ] = None,
    out: options.Out = Path("network"),
    mask: Annotated[Path | None, typer.Option("--mask", "-m", help="Voxels to learn from; default: all with signal.")] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Tissue label image of the scan: hbayes learns one prior per label.")
    ] = None,
    noise_sd: Annotated[float | None, typer.Option("--noise-sd", help="Noise SD in the unit of the scan.")] = None,
    noise_map: Annotated[Path | None, typer.Option("--noise-map", help="Noise SD per voxel, a 3-D image.")] = None,
    model: Model = "axr",
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    prior: Annotated[
        str | None,
        typer.Option(
            "--prior",
            help="Of simulated voxels: uniform (default), tissue, or a JSON file. Of hbayes: scan (default), uniform "
            "or the prior.json of a fit.",
        ),
    ] = None,
    snr: Annotated[
        str | None, typer.Option("--snr", help="Range of unfiltered S0 over noise SD of simulated voxels.  [default: 20:200]")
    ] = None,
    s0: Annotated[str, typer.Option("--s0", help="S0 of each series: per-series (free) or known.")] = "per-series",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the training, e.g. rounds=30, width=64. Repeatable.")
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")] = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network on a scan, or on simulated voxels of a prior and SNR range; other scans are refused by it later."""
    started = datetime.now(UTC)
    from krogh.io.fexi_protocol import read_protocol
    from krogh.runs.fexi_train import parse_settings

    settings = parse_settings(estimator, set_ or [])
    _check_source(
        estimator, scan, {"--mask": mask, "--labels": labels, "--noise-sd": noise_sd, "--noise-map": noise_map}, snr, s0
    )
    check_noise_options(noise_sd, noise_map)
    plan = read_protocol(protocol)
    tissue = tissue_model(model, bound or [], fix or [], relax or [])
    how = {"settings": settings, "seed": seed, "compute": training_device(device, precision)}
    task: Task | ScanTask
    if scan is None:
        task, words = _simulated(estimator, tissue, plan, prior or "uniform", snr or "20:200", s0, how)
    else:
        files = {"dwi": scan, "mask": mask, "labels": labels, "noise_map": noise_map}
        task, words = _of_scan(estimator, tissue, plan, prior or "scan", files, noise_sd, threads, how)
    facts = [
        f"{estimator} for protocol {Path(protocol).name}: {plan.n_volumes} volumes, hash {plan.content_hash()}",
        f"model {model}, {words}, seed {seed}, {task.compute.device}, {task.compute.precision}",
    ]
    if dry_run:
        report({"dry_run": True, "plan": task.plan()}, [*facts, "dry run: nothing trained"], as_json=as_json)
        return
    checkpoint, seconds, files_made = _run(task, out, started, threads, resume=resume, overwrite=overwrite, quiet=quiet)
    done = checkpoint.training
    lines = [
        *facts,
        f"{done['done']} of at most {settings.rounds} rounds, best score {done['best']:.4f}, {seconds:.0f} s of processor time",
        *([] if scan is None else [f"for SNR {checkpoint.snr[0]:.3g} to {checkpoint.snr[1]:.3g}"]),
        f"written to {out}: {', '.join(files_made)}",
        f"use it with: krogh fexi fit SCAN --protocol {Path(protocol).name} --estimator {estimator} --weights {out}",
        "Research software: not for diagnosis or dosing.",
    ]
    payload = {
        "out": str(out), "files": files_made, "rounds": done["done"], "score": done["best"], "cpu_seconds": seconds,
        "snr": list(checkpoint.snr), "plan": task.plan(),
    }  # fmt: skip
    report(payload, lines, as_json=as_json)


def _check_source(estimator: str, scan: Path | None, of_scan: dict[str, Any], snr: str | None, s0: str) -> None:
    """Refuse what does not belong to training on a scan, or on simulated voxels."""
    from krogh.runs.fexi_train import LEARNERS, TRAINERS

    if scan is None:
        if estimator not in TRAINERS:
            raise UsageError(
                "SCAN", got="none", expected=f"a scan: {estimator} learns its prior from one",
                hint=f"krogh fexi train {estimator} SCAN.nii.gz --protocol ...",
            )  # fmt: skip
        if given := next((name for name, value in of_scan.items() if value is not None), None):
            raise UsageError(given, got="no scan", expected="a scan to learn from, or none of its options")
        return
    if estimator not in LEARNERS:
        raise UsageError(
            "SCAN",
            got=scan.name,
            expected=f"none: {estimator} learns from simulated voxels",
            hint="leave it out, or train hbayes",
        )
    if of_scan["--labels"] is not None and estimator != "hbayes":
        raise UsageError("--labels", got=estimator, expected="hbayes, which learns one prior per label")
    for name, given_too in (("--snr", snr is not None), ("--s0", s0 != "per-series")):
        if given_too:
            raise UsageError(name, got="also a scan", expected="one of them", hint="a scan has its own SNR and free S0")


def _simulated(
    estimator: str, tissue: SignalModel, plan: Protocol, prior: str, snr: str, s0: str, how: dict[str, Any]
) -> tuple[Task, str]:
    from krogh.fexi.learned.conditions import Conditions
    from krogh.runs.fexi_train import Task

    conditions = Conditions(tissue, plan, _prior(prior, tissue), _range(snr), s0)
    words = f"prior {Path(prior).name}, SNR {conditions.snr[0]:g} to {conditions.snr[1]:g}, S0 {s0}"
    return Task(estimator, conditions, **how), words


def _of_scan(
    estimator: str, tissue: SignalModel, plan: Protocol, prior: str, files: dict[str, Any], noise_sd: float | None, threads: int,
    how: dict[str, Any],
) -> tuple[ScanTask, str]:  # fmt: skip
    import os

    from krogh.io.nifti import read_labels
    from krogh.io.provenance import file_sha256
    from krogh.runs.fexi_scan import gather_voxels
    from krogh.runs.fexi_train import ScanTask

    learned = learned_settings(estimator, tissue, prior, files["labels"], None)
    image, inside, noise = read_scan(files["dwi"], plan, files["mask"], noise_sd, files["noise_map"])
    tissues = None if files["labels"] is None else read_labels(files["labels"], image)
    voxels = gather_voxels(
        image.data, plan, inside, tissue, noise_sd=noise, tissues=tissues, threads=threads or os.cpu_count() or 1
    )
    voxels.require_noise()
    read = {**files, "prior": Path(prior) if Path(prior).is_file() else None}
    digests: dict[str, Any] = {role: None if path is None else file_sha256(path) for role, path in read.items()}
    if digests["prior"] is None:
        digests["prior"] = prior
    words = f"{inside.sum():,} voxels of {files['dwi'].name}, SNR {voxels.snr:.3g} (noise SD {voxels.source})"
    return ScanTask(estimator, voxels, prior=learned.get("prior", "scan"), inputs=digests, **how), words


def _run(
    task: Task | ScanTask, out: Path, started: datetime, threads: int, *, resume: bool, overwrite: bool, quiet: bool
) -> tuple[Checkpoint, float, list[str]]:
    import torch

    from krogh.io.bids import write_tsv
    from krogh.io.chunk_folder import open_chunks
    from krogh.io.folder import output_errors
    from krogh.io.provenance import write_run_record
    from krogh.io.weights import read_state, write_state, write_weights
    from krogh.plots.fexi_training import draw_training
    from krogh.runs.fexi_train import ScanTask, train_on_scan
    from krogh.runs.fexi_train import train as run

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    clock, last = time.process_time(), [time.monotonic()]
    try:
        with open_chunks(out, task.plan(), resume=resume, overwrite=overwrite) as store:
            path = store.folder / "state.safetensors"

            def keep(state: Any) -> None:
                if time.monotonic() - last[0] >= _KEEP_EVERY_S:
                    last[0] = time.monotonic()
                    write_state(path, state)

            state = read_state(path)
            if state is not None and not quiet:
                sys.stderr.write(f"going on after round {state.done}\n")
            tell = _printer(quiet=quiet)
            if isinstance(task, ScanTask):
                learning = progress_printer("learning from the scan, step", quiet=quiet)
                checkpoint = train_on_scan(task, progress=learning, state=state, tell=tell, keep=keep)
            else:
                checkpoint = run(task, state=state, tell=tell, keep=keep)
            files = write_weights(out, checkpoint)
            history = checkpoint.training["history"]
            rows = [{"round": i + 1, "loss": loss, "score": score} for i, (loss, score) in enumerate(history)]
            with output_errors(out.name):
                write_tsv(out / "training.tsv", rows)
                files += [out / "training.tsv", draw_training(out / "training.png", checkpoint)]
                write_run_record(out, command=options.started_with.get(), config=task.plan(), started=started)
                path.unlink(missing_ok=True)
    finally:
        torch.set_num_threads(before)
    return checkpoint, time.process_time() - clock, [f.name for f in files]


def _printer(*, quiet: bool) -> Callable[[int, int, float, float], None]:
    """Return a function that tells of rounds on stderr, at most every second, with losses and time left."""
    from krogh.io.progress import progress_record

    record, begun = progress_record(["training"]), time.monotonic()
    first: list[int] = []
    best, said = [float("inf")], [begun]

    def show(i: int, n: int, loss: float, score: float) -> None:
        record("training", i / n)
        if not first:
            first.append(i - 1)
        best[0] = min(best[0], score)
        now = time.monotonic()
        if not quiet and (now >= said[0] + 1 or i == n):
            said[0] = now
            left = (now - begun) / (i - first[0]) * (n - i)
            sys.stderr.write(
                f"round {i} of {n}: loss {loss:.4f}, score {score:.4f} (best {best[0]:.4f}), at most {left:.0f} s left\n"
            )

    return show


def _prior(text: str, model: SignalModel) -> MixturePrior:
    from krogh.fexi.learned.tissue import PRIORS, named_prior
    from krogh.io.weights import read_prior

    return named_prior(text, model) if text in PRIORS or not Path(text).suffix else read_prior(Path(text))


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise InputError("--snr", got=repr(text), expected="low:high, e.g. 20:200") from None
