"""``krogh fexi train``: train a network once, for any number of scans of one protocol."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import ProtocolSource, report
from krogh.cli.fexi_model import Bound, Fix, Model, Relax, tissue_model
from krogh.errors import InputError, UsageError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel
    from krogh.fexi.learned.checkpoint import Checkpoint
    from krogh.fexi.learned.prior import MixturePrior
    from krogh.runs.fexi_train import Task

__all__ = ["register"]

_KEEP_EVERY_S = 2.0


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("train")(train)


def train(
    estimator: Annotated[str, typer.Argument(help="The estimator whose network is trained: npe, supervised, selfsup, physics.")],
    protocol: ProtocolSource,
    out: options.Out = Path("network"),
    model: Model = "axr",
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    prior: Annotated[
        str, typer.Option("--prior", help="Distribution of the tissues: uniform, tissue, or a JSON file.")
    ] = "uniform",
    snr: Annotated[str, typer.Option("--snr", help="Range of unfiltered S0 over noise SD, low:high.")] = "20:200",
    s0: Annotated[str, typer.Option("--s0", help="S0 of each series: per-series (free) or known.")] = "per-series",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the training, e.g. rounds=30, width=64. Repeatable.")
    ] = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")] = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network on simulated voxels of a protocol, model, prior and SNR range; scans outside of these are refused later."""
    started = datetime.now(UTC)
    from krogh.fexi.learned.conditions import Conditions
    from krogh.io.fexi_protocol import read_protocol
    from krogh.runs.fexi_train import Task, parse_settings

    settings = parse_settings(estimator, set_ or [])
    plan = read_protocol(protocol)
    tissue = tissue_model(model, bound or [], fix or [], relax or [])
    conditions = Conditions(tissue, plan, _prior(prior, tissue), _range(snr), s0)
    task = Task(estimator, conditions, settings, seed, _device(device))
    facts = [
        f"{estimator} for protocol {Path(protocol).name}: {plan.n_volumes} volumes, hash {plan.content_hash()}",
        f"model {model}, prior {Path(prior).name}, SNR {conditions.snr[0]:g} to {conditions.snr[1]:g}, S0 {s0}, seed {seed}, "
        f"{task.device}",
    ]
    if dry_run:
        report({"dry_run": True, "plan": task.plan()}, [*facts, "dry run: nothing trained"], as_json=as_json)
        return
    checkpoint, seconds, files = _run(task, out, started, threads, resume=resume, overwrite=overwrite, quiet=quiet)
    done = checkpoint.training
    lines = [
        *facts,
        f"{done['done']} of at most {settings.rounds} rounds, best score {done['best']:.4f}, {seconds:.0f} s of processor time",
        f"written to {out}: {', '.join(files)}",
        f"use it with: krogh fexi fit SCAN --protocol {Path(protocol).name} --estimator {estimator} --weights {out}",
        "Research software: not for diagnosis or dosing.",
    ]
    payload = {
        "out": str(out),
        "files": files,
        "rounds": done["done"],
        "score": done["best"],
        "cpu_seconds": seconds,
        "plan": task.plan(),
    }
    report(payload, lines, as_json=as_json)


def _run(
    task: Task, out: Path, started: datetime, threads: int, *, resume: bool, overwrite: bool, quiet: bool
) -> tuple[Checkpoint, float, list[str]]:
    import torch

    from krogh.io.bids import write_tsv
    from krogh.io.chunk_folder import open_chunks
    from krogh.io.folder import output_errors
    from krogh.io.provenance import write_run_record
    from krogh.io.weights import read_state, write_state, write_weights
    from krogh.plots.fexi_training import draw_training
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
            checkpoint = run(task, state=state, tell=_printer(quiet=quiet), keep=keep)
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


def _device(name: str) -> str:
    import torch

    options.check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device", got="cuda", expected="cpu", hint="torch sees no GPU here; use --device cpu")
    return "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"
