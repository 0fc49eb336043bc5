"""Runs live in their folders: they start, show progress, fail with their line, stop, and go on after the page was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from krogh.app.jobs import Job, Starter, Step, add_job, delete_job, list_jobs, read_job, rerun, stop
from krogh.app.workspace import Place
from krogh.errors import InputError
from krogh.io.progress import progress_record, read_progress

QUICK = ("simulate", "caffeine", "--duration", "10 min", "--cells", "16", "--no-pictures", "--quiet")
LONG = (
    "simulate",
    "caffeine",
    "--geometry",
    "cylinder",
    "--cells",
    "400",
    "--cells-along",
    "80",
    "--rtol",
    "1e-7",
    "--no-pictures",
)


def wait(place: Place, run_id: str, starter: Starter, until: Callable[[Job], bool], limit_s: float = 120) -> Job:
    """Look until something holds."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        starter.look([place])
        job = read_job(place.run(run_id))
        if until(job):
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job.state}: {job.error}")


def end(*starters: Starter) -> None:
    """Let go of the workers of a test."""
    for starter in starters:
        starter.close()
        for process in starter._started.values():
            process.wait(60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "me" / "runs").mkdir(parents=True)
    return Place("me", tmp_path / "me")


def test_run_fail_and_skip_what_is_done(place: Place) -> None:
    starter = Starter()
    good = add_job(place, "cross", "good", [Step(QUICK)], {}, {"settings": {"cells": 16}})
    bad = add_job(place, "cross", "bad", [Step(QUICK, "first"), Step(("simulate", "nobody"))], {}, {})
    assert {j.state for j in list_jobs(place)} == {"waiting"}
    done = wait(place, good, starter, lambda j: j.state == "done")
    assert done.share == 1.0
    assert done.about == {"settings": {"cells": 16}}
    record = json.loads((done.result / "run.json").read_text(encoding="utf-8"))
    assert record["command"] == ["krogh", *QUICK, "--out", "result"]
    failed = wait(place, bad, starter, lambda j: j.state == "failed")
    assert failed.error.startswith("compound: got 'nobody'")
    assert failed.share == 0.5
    stamp = (failed.folder / "first" / "run.json").stat().st_mtime_ns
    rerun(failed)
    assert read_job(failed.folder).state == "waiting"
    again = wait(place, bad, starter, lambda j: j.state == "failed")
    assert (again.folder / "first" / "run.json").stat().st_mtime_ns == stamp
    delete_job(again)
    assert [j.id for j in list_jobs(place)] == [good]
    end(starter)


def test_stop_kill_and_resume(place: Place) -> None:
    starter = Starter()
    run_id = add_job(place, "cross", "long", [Step(LONG)], {}, {})
    running = wait(place, run_id, starter, lambda j: j.state == "running" and j.share > 0)
    stop(running)
    stopped = wait(place, run_id, starter, lambda j: j.state != "running")
    assert stopped.state == "stopped"
    assert not list(stopped.folder.glob("*.partial"))
    rerun(stopped)
    running = wait(place, run_id, starter, lambda j: j.state == "running" and j.share > 0)
    os.kill(int((running.folder / "lock").read_text(encoding="ascii")), signal.SIGKILL)
    other = Starter(0)
    broken = wait(place, run_id, other, lambda j: j.state != "running")
    assert broken.state == "broken off"
    end(starter, other)


def test_a_worker_without_an_order_ends(place: Place) -> None:
    starter = Starter()
    starter.warm()
    reserve = starter._reserve
    assert reserve is not None
    starter.close()
    assert reserve.wait(60) == 0


def test_unreadable_records_are_left_out(place: Place) -> None:
    for number, text in enumerate(("", "[]", "{}", '{"steps": []}')):
        folder = place.runs / f"{number:012d}"
        folder.mkdir()
        (folder / "job.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="unreadable"):
            read_job(folder)
    assert list_jobs(place) == []


def test_progress_goes_from_one_process_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "progress.json"
    assert read_progress(file) == (0.0, "")
    monkeypatch.setenv("KROGH_PROGRESS", str(file))
    note = progress_record(["a", "b"])
    note("a", 1.0)
    assert read_progress(file) == (0.5, "a")
    note("b", 2.0)
    assert read_progress(file) == (1.0, "b")
    file.write_text("{", encoding="utf-8")
    assert read_progress(file) == (0.0, "")
    monkeypatch.delenv("KROGH_PROGRESS")
    file.unlink()
    progress_record(["a"])("a", 1.0)
    assert not file.exists()
