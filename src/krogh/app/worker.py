"""Wait, with everything loaded, for one order of the page; run its commands exactly as the command line does; end.

A fresh interpreter needs some seconds to load the solvers and to run something for the first time: the page keeps one worker
in reserve that has done so. It belongs to no
terminal, so it outlives the page, and the page finds its result after a restart.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]

_PRELOAD = (
    "krogh.cli.main",
    "krogh.runs.simulate",
    "krogh.runs.dataset",
    "krogh.io.store",
    "krogh.runs.fexi",
    "krogh.runs.screen",
)
#: Loads, compiles and opens what a first run would otherwise wait for: solver, store, netCDF.
_REHEARSAL = (
    "simulate",
    "caffeine",
    "--dose",
    "1 uM constant",
    "--duration",
    "1 s",
    "--cells",
    "16",
    "--no-pictures",
    "--netcdf",
)


def main() -> None:
    """Load, read one order from stdin, and carry it out; without an order (the page has gone) just end."""
    for name in _PRELOAD:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        _command(Path(scratch), [*_REHEARSAL, "--out", str(Path(scratch) / "result")])
    line = sys.stdin.readline()
    if line.strip():
        sys.exit(_carry_out(Path(json.loads(line)["folder"])))


def _carry_out(folder: Path) -> int:
    """Run the steps of the job in `folder` that are not done yet; return the exit code of the last one."""
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0  # another worker has it
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        job: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        os.chdir(folder)
        os.environ["KROGH_PROGRESS"] = str(folder / "progress.json")
        code = 0
        for step in job["steps"]:
            if (folder / step["out"] / "run.json").is_file():
                continue
            (folder / "progress.json").unlink(missing_ok=True)
            code = _command(folder, [*step["arguments"], "--out", step["out"]])
            if code:
                break
        (folder / "ended.json").write_text(json.dumps({"code": code, "at": time.time()}), encoding="utf-8")
        return code


def _command(folder: Path, arguments: list[str]) -> int:
    """Run one command of the command line with its output in ``log.txt``; return its exit code."""
    from krogh.cli.main import main as krogh

    with (
        (folder / "log.txt").open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            krogh(arguments)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    main()
