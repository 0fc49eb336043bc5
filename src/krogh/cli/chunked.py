"""Give every command that runs many items the same options, the same progress line and the same way through its chunks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from krogh.io.chunk_folder import ChunkFolder
    from krogh.runs.chunks import Work

__all__ = ["Dask", "How", "MaxFail", "Resume", "Shard", "Workers", "chunks_done", "how_to_run"]

Workers = Annotated[int, typer.Option(help="Processes; 0 takes what the machine has.", min=0, max=512)]
Dask = Annotated[str, typer.Option(help="A Dask cluster instead: local:N, or the address of a scheduler.")]
Shard = Annotated[str, typer.Option(help="Do part i of n only (job arrays): i/n.")]
MaxFail = Annotated[int | None, typer.Option(help="Stop when more items than this have failed.", min=0)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in --out.")]


@dataclass(frozen=True)
class How:
    """Hold the options that say how chunks are run, checked."""

    workers: int
    dask: str
    shard: tuple[int, int]
    max_fail: int | None
    resume: bool
    overwrite: bool
    silent: bool


def how_to_run(workers: int, dask: str, shard: str, max_fail: int | None, *, resume: bool, overwrite: bool, silent: bool) -> How:
    """Return the options of a run.

    Raises
    ------
    InputError, UsageError
        If one is malformed, or Dask is asked for and not installed.
    """
    from krogh.runs.chunks import parse_shard

    if dask:
        from krogh.runs.dask_cluster import spread_on_dask

        spread_on_dask(dask)
    return How(workers or os.cpu_count() or 1, dask, parse_shard(shard), max_fail, resume, overwrite, silent)


@contextlib.contextmanager
def chunks_done(chunks: Sequence[Any], work: Work, out: Path, plan: Mapping[str, Any], how: How) -> Iterator[ChunkFolder | None]:
    """Run what is not done yet and yield the finished chunks; None, with a word, while other parts have theirs to do.

    The folder stays locked inside: what is written from the chunks belongs there.
    """
    from krogh.io.chunk_folder import open_chunks
    from krogh.runs.chunks import run_chunks

    spread = None
    if how.dask:
        from krogh.runs.dask_cluster import spread_on_dask

        spread = spread_on_dask(how.dask)
    with open_chunks(out, plan, resume=how.resume, overwrite=how.overwrite, shard=how.shard) as store:
        run_chunks(chunks, work, store, workers=how.workers, spread=spread, shard=how.shard, max_fail=how.max_fail,
                   progress=_progress(told=not how.silent))  # fmt: skip
        missing = len(chunks) - len(store.finished())
        if missing:
            typer.echo(f"part {how.shard[0]}/{how.shard[1]} is done; {missing} of {len(chunks)} chunks are left to other parts")
        yield None if missing else store


def _progress(*, told: bool) -> Callable[[int, int], None]:
    """Return a function that writes (done, all) with the time left to stderr: one line on a terminal, else every tenth."""
    from krogh.io.progress import progress_record

    start: list[tuple[float, int]] = []
    said = [-1]
    note = progress_record(["items"])

    def show(done: int, total: int) -> None:
        note("items", done / max(total, 1))
        if not told:
            return
        if not start:
            start.append((time.monotonic(), done))
        since, first = start[0]
        left = f", {(time.monotonic() - since) / (done - first) * (total - done):.0f} s left" if done > first else ""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {total} chunks{left}   " + ("\n" if done == total else ""))
        elif done * 10 // max(total, 1) > said[0]:
            said[0] = done * 10 // max(total, 1)
            sys.stderr.write(f"{done} of {total} chunks{left}\n")

    return show
