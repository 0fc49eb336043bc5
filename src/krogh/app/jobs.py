"""Start runs in processes of their own and say how they are; everything known of a run stands in its folder.

The state is read from the folder each time, never kept in memory: a page that was killed and started again sees the same.

========== ==================================================================
done       every step has its result folder
running    a worker holds the lock
failed     the worker ended with an error, whose line is the last of the log
stopped    the user ended it
broken off a worker began and has gone without an end: machine or worker died
waiting    no worker has begun
========== ==================================================================
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from krogh.app.workspace import Place, new_id
from krogh.errors import InputError
from krogh.io.progress import read_progress

__all__ = ["Job", "Starter", "Step", "add_job", "delete_job", "list_jobs", "read_job", "rerun", "stop"]

_LONGEST_TITLE = 120
#: A run that has just begun has the machine to itself this long, before the next worker is loaded.
_ALONE_S = 2.0


@dataclass(frozen=True)
class Step:
    """Hold one command: its arguments without ``--out``, and the folder of its result, relative to the job's."""

    arguments: tuple[str, ...]
    out: str = "result"


@dataclass(frozen=True)
class Job:
    """Hold one run as its folder tells."""

    id: str
    folder: Path
    kind: str
    title: str
    created: float
    steps: tuple[Step, ...]
    state: str
    share: float
    label: str
    error: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Path:
        """Return the result folder of the last step."""
        return self.folder / self.steps[-1].out

    @property
    def active(self) -> bool:
        """Return whether it may still change by itself."""
        return self.state in ("running", "waiting")


def add_job(
    place: Place, kind: str, title: str, steps: Sequence[Step], files: Mapping[str, str | Path], about: Mapping[str, Any]
) -> str:
    """Write a new job into its folder and return its id.

    Parameters
    ----------
    kind : str
        Page that shows it: ``cross``, ``measure``, ``screen``.
    files : mapping of str to (str or Path)
        Text to write, or a file to link, under that name in the folder of the job.
    about : mapping
        What the page wants to remember; JSON.
    """
    run_id = new_id()
    folder = place.runs / run_id
    scratch = place.runs / f".{run_id}"
    scratch.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, Path):
            _link(content, scratch / name)
        else:
            (scratch / name).write_text(content, encoding="utf-8")
    record = {
        "kind": kind, "title": " ".join(title.split())[:_LONGEST_TITLE], "created": time.time(), "about": dict(about),
        "steps": [{"arguments": list(s.arguments), "out": s.out} for s in steps],
    }  # fmt: skip
    (scratch / "job.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    scratch.rename(folder)
    return run_id


def _link(source: Path, target: Path) -> None:
    """Give `source` a second name, or copy it where the disk cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _held(folder: Path) -> int | None:
    """Return the process that holds the lock of a job, None where nobody does."""
    try:
        with (folder / "lock").open("r", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = lock.read().strip()
                return int(text) if text.isdigit() else 0
    except OSError:
        return None
    return None


def read_job(folder: Path) -> Job:
    """Return the job in `folder` and how it is now.

    Raises
    ------
    InputError
        If its record cannot be read.
    """
    try:
        record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        steps = tuple(Step(tuple(map(str, s["arguments"])), str(s["out"])) for s in record["steps"])
        done = [(folder / step.out / "run.json").is_file() for step in steps]
        state, error = _state(folder, all(done))
        share, label = read_progress(folder / "progress.json")
        share = 1.0 if all(done) else (sum(done) + share) / len(steps)
        return Job(
            folder.name, folder, str(record["kind"]), str(record["title"]), float(record["created"]), steps, state, share, label,
            error, record.get("about", {}),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        raise InputError(f"run {folder.name}", got="an unreadable record", hint="delete it") from None


def _state(folder: Path, done: bool) -> tuple[str, str]:
    if _held(folder) is not None:
        return "running", ""
    if done:
        return "done", ""
    if (folder / "stopped").exists():
        return "stopped", ""
    if (folder / "ended.json").exists():
        return "failed", _last_line(folder / "log.txt")
    if (folder / "lock").exists():
        return "broken off", "the machine or the process went down before the end"
    return "waiting", ""


def _last_line(log: Path) -> str:
    """Return the error line of a log; the last one if none says error."""
    try:
        lines = log.read_bytes()[-20_000:].decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no message"])[-1].removeprefix("error: ")


def list_jobs(place: Place, kind: str | None = None) -> list[Job]:
    """Return the jobs of a user, the newest first; one with an unreadable record is left out."""
    found = []
    for folder in place.runs.iterdir() if place.runs.is_dir() else ():
        if not folder.name.startswith("."):
            with contextlib.suppress(InputError):
                found.append(read_job(folder))
    return sorted((j for j in found if kind is None or j.kind == kind), key=lambda j: -j.created)


def rerun(job: Job) -> None:
    """Make a job wait again; steps that are done stay done, so it goes on where it was."""
    if job.state != "running":
        for name in ("stopped", "ended.json", "lock", "progress.json", "log.txt"):
            (job.folder / name).unlink(missing_ok=True)


def stop(job: Job) -> None:
    """End a running job as Ctrl-C would, or keep a waiting one from starting."""
    (job.folder / "stopped").touch()
    pid = _held(job.folder)
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def delete_job(job: Job) -> None:
    """Remove a job that does not run, with its results."""
    if job.state != "running":
        hidden = job.folder.with_name(f".{job.folder.name}.old")
        job.folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


class Starter:
    """Start waiting jobs, at most `most` at a time, each in a worker that is loaded before it is needed."""

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self._reserve: subprocess.Popen[str] | None = None
        self._started: dict[str, subprocess.Popen[str]] = {}
        self._handed = -_ALONE_S

    def warm(self) -> None:
        """Load a worker in reserve, unless there is one."""
        if self._reserve is None or self._reserve.poll() is not None:
            data = str(Path(os.environ.get("KROGH_DATA", "../shared/data")).resolve())  # the worker changes its folder
            threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "KROGH_DATA": data}
            self._reserve = subprocess.Popen(
                [sys.executable, "-m", "krogh.app.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, text=True, start_new_session=True, env={**os.environ, **threads},
            )  # fmt: skip

    def look(self, places: Sequence[Place]) -> None:
        """Start what waits, oldest first, as far as there is room."""
        self._started = {k: p for k, p in self._started.items() if p.poll() is None}
        jobs = [job for place in places for job in list_jobs(place)]
        running = {job.id for job in jobs if job.state == "running"} | set(self._started)
        waiting = sorted((j for j in jobs if j.state == "waiting" and j.id not in running), key=lambda j: j.created)
        for job in waiting[: max(0, self.most - len(running))]:
            self.warm()
            assert self._reserve is not None
            assert self._reserve.stdin is not None
            worker, self._reserve = self._reserve, None
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(json.dumps({"folder": str(job.folder)}) + "\n")  # type: ignore[union-attr]
                worker.stdin.close()  # type: ignore[union-attr]
                self._started[job.id] = worker
                self._handed = time.monotonic()
        if time.monotonic() - self._handed > _ALONE_S:
            self.warm()

    def close(self) -> None:
        """Let the reserve go; runs go on."""
        if self._reserve is not None and self._reserve.stdin is not None:
            self._reserve.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._reserve.wait(10)
            self._reserve = None
