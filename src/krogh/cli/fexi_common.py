"""Share between the FEXI commands how they print and tell of progress."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from krogh.errors import InputError

__all__ = ["ProtocolSource", "enough_memory", "progress_printer", "report"]

ProtocolSource = Annotated[
    str, typer.Option("--protocol", "-p", help="Protocol: a .tsv, .bf/.bval/.tm or .mat file, or a preset such as human-bbb.")
]


def report(payload: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print `payload` as one JSON object, or `lines`."""
    if as_json:
        typer.echo(json.dumps(_plain(payload), ensure_ascii=False))
    else:
        for line in lines:
            typer.echo(line)


def _plain(value: Any) -> Any:
    """Return `value` in what JSON knows; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Turn running out of memory into one line that says what to do."""
    try:
        yield
    except MemoryError:
        raise InputError(what, got="more data than the free memory holds", hint="use a smaller mask, or larger voxels") from None


def progress_printer(what: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Return a function that tells how far long work is: on stderr, at most every second and not where `quiet`, and to a page."""
    import time

    from krogh.io.progress import progress_record

    state = {"next": time.monotonic() + 1.0}
    record = progress_record([what])

    def show_progress(done: int, total: int) -> None:
        record(what, done / max(total, 1))
        now = time.monotonic()
        if not quiet and now >= state["next"]:
            state["next"] = now + 1.0
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n")
            sys.stderr.flush()

    return show_progress
