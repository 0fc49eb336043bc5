"""Write a result folder all at once, or not at all.

The results are written beside the target in a hidden folder and moved into place when complete: a crash, Ctrl-C or a
full disk leaves what was there before untouched, and no half-written folder behind.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from krogh.errors import OutputError

__all__ = ["check_output", "output_errors", "output_folder"]


@contextlib.contextmanager
def output_errors(where: str) -> Iterator[None]:
    """Turn the operating system's refusal to write into one line that names the folder `where`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutputError(where, got="no space left on the disk", hint="free some space or choose another --out") from None
        raise OutputError(where, got=error.strerror or str(error), expected="a folder that can be written") from None


def check_output(target: Path, *, overwrite: bool, apart: str | None = None) -> None:
    """Refuse early, before any work, where the results could not be written; what `target` holds by the name `apart` is ours.

    Raises
    ------
    OutputError
        If `target` exists and holds something and `overwrite` is false, or cannot be written.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(
            str(target), got="a file or link of that name", expected="a new or empty folder", hint="choose another --out"
        )
    if target.is_dir() and any(p.name != apart for p in target.iterdir()):
        if not overwrite:
            raise OutputError(str(target), got="a folder with results", hint="give --overwrite, or another --out")
        if not (target / "run.json").is_file():
            raise OutputError(
                str(target),
                got="a folder that krogh did not write (no run.json)",
                expected="a folder of an earlier run",
                hint="--overwrite replaces only those; choose another --out",
            )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    try:  # permissions do not tell of read-only or virtual file systems
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".partial", dir=parent):
            pass
    except OSError:
        raise OutputError(str(target), got=f"no way to write in {parent.name or parent}", hint="choose another --out") from None


@contextlib.contextmanager
def output_folder(target: Path, *, overwrite: bool = False, apart: str | None = None) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` when the block ends without an error, in place of all that was there.

    Raises
    ------
    OutputError
        If `target` is in use already, or cannot be written (also: no space left).
    """
    check_output(target, overwrite=overwrite, apart=apart)
    target = target.absolute()
    with output_errors(str(target.name)):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    old = scratch.with_suffix(".old")
    try:
        with output_errors(str(target.name)):
            scratch.chmod(0o755)
            yield scratch
            if target.exists():
                target.rename(old)
            scratch.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
