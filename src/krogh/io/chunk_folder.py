"""Keep finished chunks in a folder: one file each, written whole, for one plan; a lock keeps a second run out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from krogh.errors import OutputError
from krogh.io.folder import output_errors

__all__ = ["ChunkFolder", "open_chunks", "write_whole"]

_NAME = re.compile(r"chunk-(\d{6})\.json")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a machine that loses power, sees all of it or none.

    Raises
    ------
    OutputError
        If it cannot be written (also: no space left); what was there before stays.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with output_errors(path.name):
        try:
            with scratch.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise


class ChunkFolder:
    """Hold the chunks of one plan in ``DIR/chunks``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, index: int) -> Path:
        return self.folder / f"chunk-{index:06d}.json"

    def finished(self) -> set[int]:
        """Return the numbers of the stored chunks."""
        return {int(m[1]) for f in self.folder.iterdir() if (m := _NAME.fullmatch(f.name))}

    def save(self, index: int, content: bytes) -> None:
        """Store one chunk."""
        write_whole(self._path(index), content)

    def load(self, index: int) -> Any:
        """Return one chunk."""
        return json.loads(self._path(index).read_bytes())


@contextlib.contextmanager
def open_chunks(
    out: Path, plan: Mapping[str, Any], *, resume: bool, overwrite: bool, shard: tuple[int, int] = (1, 1)
) -> Iterator[ChunkFolder]:
    """Yield the chunks of `plan` in `out`, with a lock that the system lifts when this process ends in whatever way.

    Parameters
    ----------
    out : Path
        Folder of the results.
    plan : mapping
        Everything that decides what a chunk holds (inputs by their SHA-256, settings, version), as plain values.
    resume, overwrite : bool
        Go on with the chunks that are there; or remove them and all results first. A shard joins a plan that is there.
    shard : (int, int)
        Parts of one plan may run side by side; the same part may not.

    Raises
    ------
    OutputError
        If another run is at work there, the folder holds something else, or the plan is not the one that it holds.
    """
    folder, parts = out / "chunks", shard[1] > 1
    name = str(out.name)
    if out.exists() and not out.is_dir():
        raise OutputError(name, got="a file of that name", expected="a new or empty folder", hint="choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (folder / "plan.json").is_file() and not (folder / ".lock").is_file():
        raise OutputError(name, got="a folder with other things", expected="a new folder, or one of an earlier run")
    with output_errors(name):
        folder.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode()
    with _locked(folder / ".lock", name, shared=parts), _locked(folder / f".lock-{shard[0]}-{shard[1]}", name, shared=False):
        held = folder / "plan.json"
        if overwrite and held.is_file():
            _clear(out, folder)
        if held.is_file():
            if not (resume or parts):
                raise OutputError(name, got="an earlier run", hint="--resume goes on with it, --overwrite starts again")
            if held.read_bytes() != text:
                raise OutputError(name, got="a run of other input, settings or version", expected="the same to go on",
                                  hint="--overwrite starts again")  # fmt: skip
        else:
            write_whole(held, text)
        for scrap in folder.glob(".chunk-*.partial"):
            if not parts:
                scrap.unlink(missing_ok=True)
        yield ChunkFolder(folder)


def _clear(out: Path, folder: Path) -> None:
    """Remove the results of an earlier run; the locks stay, they are held."""
    for path in [*out.iterdir(), *folder.iterdir()]:
        if path == folder or path.name.startswith(".lock"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _locked(path: Path, name: str, *, shared: bool) -> Iterator[None]:
    import fcntl

    with output_errors(name):
        stream = path.open("a")
    with stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(name, got="another run at work there", hint="wait for it, or choose another --out") from None
        yield
