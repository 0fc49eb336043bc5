"""Chunks: the same bytes whatever the order, the workers or the interruptions; nothing lost, one run at a time."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from krogh.errors import InputError, OutputError, PartialFailureError
from krogh.io.chunk_folder import open_chunks, write_whole
from krogh.runs.chunks import parse_shard, run_chunks, shard_of

PLAN = {"what": "squares", "n": 12}
CHUNKS = [tuple(range(3 * k, 3 * k + 3)) for k in range(12)]


def square(items):
    """Square each item; multiples of 7 fail (a work function must be importable)."""
    rows = [{"item": i, "reason": "seven"} if i % 7 == 0 else {"item": i, "square": i * i} for i in items]
    return json.dumps(rows).encode(), sum("reason" in r for r in rows)


def die_once(items):
    """Kill the worker at the first try of one chunk."""
    mark = Path(os.environ["KROGH_TEST_MARK"])
    if items[0] == 6 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(items)


def blas_threads(items):
    """Return on how many threads BLAS runs."""
    return json.dumps(sorted({p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"})).encode(), 0


def _bytes(folder):
    return {f.name: f.read_bytes() for f in sorted(folder.glob("chunk-*.json"))}


def _run(out, *, work=square, chunks=CHUNKS, resume=False, overwrite=False, shard=(1, 1), **settings):
    with open_chunks(out, PLAN, resume=resume, overwrite=overwrite, shard=shard) as store:
        return run_chunks(chunks, work, store, shard=shard, **settings)


@pytest.fixture
def expected(tmp_path):
    _run(tmp_path / "expected")
    return _bytes(tmp_path / "expected" / "chunks")


def test_workers_and_shards_give_the_same_bytes(tmp_path, expected):
    assert _run(tmp_path / "two", workers=2) == 6
    for i in (3, 1, 2):
        _run(tmp_path / "parts", shard=(i, 3))
    assert len(expected) == len(CHUNKS)
    assert _bytes(tmp_path / "two" / "chunks") == _bytes(tmp_path / "parts" / "chunks") == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_are_done_with_blas_on_one_thread(tmp_path, workers):
    """The last digits of its sums depend on the number of threads, which is another machine's or another worker's."""
    with threadpool_limits(2, user_api="blas"):
        _run(tmp_path / "threads", work=blas_threads, workers=workers)
    assert set(_bytes(tmp_path / "threads" / "chunks").values()) <= {b"[1]", b"[]"}
    assert b"[1]" in _bytes(tmp_path / "threads" / "chunks").values() or workers == 2


def test_a_killed_worker_costs_nothing(tmp_path, expected, monkeypatch):
    monkeypatch.setenv("KROGH_TEST_MARK", str(tmp_path / "mark"))
    _run(tmp_path / "out", work=die_once, workers=2)
    assert (tmp_path / "mark").exists()
    assert _bytes(tmp_path / "out" / "chunks") == expected


def test_shards_cover_every_chunk_once():
    for count, n in ((1, 3), (10, 3), (12, 12)):
        done = [k for i in range(1, n + 1) for k in shard_of(count, (i, n))]
        assert sorted(done) == list(range(count))
    assert parse_shard(" 2/3") == (2, 3)
    for bad in ("", "0/3", "4/3", "1", "a/b", "-1/2", "1/1e9"):
        with pytest.raises(InputError, match="--shard"):
            parse_shard(bad)


def test_too_many_failures_stop_and_keep_what_is_done(tmp_path, expected):
    with pytest.raises(PartialFailureError, match="at most 2"):
        _run(tmp_path / "out", max_fail=2)
    held = _bytes(tmp_path / "out" / "chunks")
    assert 0 < len(held) < len(expected)
    _run(tmp_path / "out", resume=True)
    assert _bytes(tmp_path / "out" / "chunks") == expected


def test_a_second_run_is_refused_and_a_second_part_is_not(tmp_path):
    with open_chunks(tmp_path / "o", PLAN, resume=False, overwrite=False):
        for settings in ({}, {"resume": True}, {"overwrite": True}, {"shard": (1, 2)}):
            with pytest.raises(OutputError, match="another run"):
                _run(tmp_path / "o", **settings)
    with open_chunks(tmp_path / "p", PLAN, resume=False, overwrite=False, shard=(1, 2)):
        with pytest.raises(OutputError, match="another run"):
            _run(tmp_path / "p", shard=(1, 2))
        _run(tmp_path / "p", shard=(2, 2))
    assert len(_bytes(tmp_path / "p" / "chunks")) == 6


def test_plans_do_not_mix(tmp_path):
    _run(tmp_path / "o")
    with pytest.raises(OutputError, match="--resume goes on"):
        _run(tmp_path / "o")
    with (
        pytest.raises(OutputError, match="other input"),
        open_chunks(tmp_path / "o", {"n": 1}, resume=True, overwrite=False),
    ):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="other things"):
            _run(tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "years"
    _run(tmp_path / "o", overwrite=True)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    write_whole(path, b"old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.csv"]


_SLOW = """
import sys, time
from pathlib import Path
from krogh.io.chunk_folder import open_chunks
from krogh.runs.chunks import run_chunks
from tests.screen.test_chunks import CHUNKS, PLAN, square

def slow(items):
    time.sleep(0.01)
    return square(items)

with open_chunks(Path(sys.argv[1]), PLAN, resume=True, overwrite=False) as store:
    print("open", flush=True)
    run_chunks(CHUNKS, slow, store)
"""


_WORKERS = """
import os, sys, time
from pathlib import Path
from krogh.io.chunk_folder import open_chunks
from krogh.runs.chunks import run_chunks
from tests.screen.test_chunks import CHUNKS, PLAN, name_worker

if __name__ == "__main__":
    with open_chunks(Path(sys.argv[1]), PLAN, resume=True, overwrite=False) as store:
        run_chunks(CHUNKS, name_worker, store, workers=2)
"""


def name_worker(items):
    """Print the number of this process and work on."""
    os.write(1, f"{os.getpid()}\n".encode())  # one write: two workers share the pipe
    time.sleep(0.2)
    return square(items)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # in a container nobody may collect the dead


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(_WORKERS, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path(__file__).parents[2])])}
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "o")], stdout=subprocess.PIPE, env=environment) as run:
        workers = {int(run.stdout.readline()) for _ in range(4)}
        run.kill()
    for _ in range(1200):
        if not any(map(_alive, workers)):
            break
        time.sleep(0.05)
    assert not any(map(_alive, workers))


def test_killed_at_random_moments_nothing_that_was_done_is_lost(tmp_path, expected):
    rng, out, held = random.Random(3), tmp_path / "o", {}
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", _SLOW, str(out)], stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == b"open\n"
            time.sleep(rng.uniform(0.0, 0.05))
            run.kill()
        now = _bytes(out / "chunks")
        assert held.items() <= now.items() <= expected.items()
        held = now
    _run(out, resume=True)
    assert _bytes(out / "chunks") == expected
    assert not list((out / "chunks").glob("*.partial"))
