"""Define the options that commands share, so that they look and behave the same everywhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from krogh.errors import UsageError

#: The arguments that this run was started with, for its record (set by ``main``, not by the process: tests run many in one).
started_with: ContextVar[tuple[str, ...]] = ContextVar("started_with", default=())

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress messages.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random number.", min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="Of a training: float32, or bf16 (mixed, on a GPU only).")]
Threads = Annotated[int, typer.Option("--threads", help="Processor threads; 0 takes what the machine has.", min=0)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results that are in --out already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the input, print what would run, and stop.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with these settings; options given here win.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Set one value, e.g. --set compound.fu_brain=0.3 (repeatable).")]


def check_device(device: str) -> None:
    """Refuse a device that is none.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError("--device", got=repr(device), expected="auto, cpu or cuda")


@contextlib.contextmanager
def progress(labels: Sequence[str], *, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Yield a function (label, share done) that shows progress on stderr: bars on a terminal, else a line per finished item."""
    from krogh.io.progress import progress_record

    record = progress_record(labels)
    if quiet:
        yield record
        return
    if not sys.stderr.isatty():
        finished: set[str] = set()

        def line(label: str, share: float) -> None:
            record(label, share)
            if share >= 1.0 and label not in finished:
                finished.add(label)
                sys.stderr.write(f"{label}: done ({len(finished)} of {len(labels)})\n")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)  # fmt: skip
    with bar:
        tasks = {label: bar.add_task(label, total=1.0) for label in labels}
        yield lambda label, share: bar.update(tasks[label], completed=share)
