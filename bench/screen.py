"""Measure a screen: molecules a minute, memory, and that kills cost nothing: ``python -m bench screen``."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "pharma"
_KILLS = int(os.environ.get("KROGH_BENCH_KILLS", "50"))
_ROWS = int(os.environ.get("KROGH_BENCH_ROWS", "10000"))
_WORKERS = os.environ.get("KROGH_BENCH_WORKERS", "2")
_ROWS_KILLED = 1500
_COMMAND = (sys.executable, "-c", "from krogh.cli.main import main; main()", "screen")


def _table(path: Path, rows: int) -> None:
    source = DATA / "b3db" / "B3DB_classification.tsv"
    with source.open(encoding="utf-8", newline="") as stream:
        held = [r["SMILES"] for r in csv.DictReader(stream, delimiter="\t")]
    bad = ["C1CC(" if i % 10 == 3 else held[i % len(held)] for i in range(rows)]
    path.write_text("smiles\n" + "\n".join(bad) + "\n", encoding="utf-8")


def _digests(out: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((out / "chunks").glob("chunk-*.json"))}


def _speed(table: Path, out: Path) -> None:
    """Print how long a screen takes, what it needs, and that every row came back."""
    _table(table, _ROWS)
    start = time.perf_counter()
    command = [*_COMMAND, str(table), "--out", str(out), "-q", "--workers", _WORKERS]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    counts = []
    for name in ("screen.csv", "rejects.csv"):
        with (out / name).open(encoding="utf-8", newline="") as stream:
            counts.append(sum(1 for _ in csv.DictReader(stream)))
    print(f"{_ROWS} rows, {_WORKERS} workers: {seconds:.0f} s, {cpu:.0f} s of processor time ({cpu / 2:.0f} s on two free cores; "
          f"goal 600 s), largest process {used.ru_maxrss / 1024:.0f} MB (goal 2000 MB)")  # fmt: skip
    print(f"screened {counts[0]}, rejected {counts[1]}, lost {_ROWS - sum(counts)}")


def run() -> None:
    """Print speed and memory of one screen, then kill another at random moments until it has been killed often enough."""
    if not DATA.is_dir():
        print("screen: no data folder (set KROGH_DATA)")
        return
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        table, whole, out = Path(folder) / "m.csv", Path(folder) / "whole", Path(folder) / "killed"
        _speed(table, Path(folder) / "fast")
        if not _KILLS:
            return
        _table(table, _ROWS_KILLED)
        subprocess.run([*_COMMAND, str(table), "--out", str(whole), "-q"], check=True, stdout=subprocess.DEVNULL)
        expected, held, kills, lost, finished = _digests(whole), {}, 0, 0, 0
        while kills < _KILLS:
            with subprocess.Popen([*_COMMAND, str(table), "--out", str(out), "-q", "--resume"], stdout=subprocess.DEVNULL) as job:
                try:
                    job.wait(rng.uniform(0.3, 5.0))
                    finished += 1
                except subprocess.TimeoutExpired:
                    job.kill()
                    kills += 1
            now = _digests(out) if out.is_dir() else {}
            lost += sum(now.get(k) != v for k, v in held.items())
            held = now
            if len(now) == len(expected):  # start again, so that every kill falls into work
                same = now == expected
                lost += not same
                for f in list((out / "chunks").glob("chunk-*.json"))[rng.randrange(3) :]:
                    f.unlink()
                held = _digests(out)
        subprocess.run([*_COMMAND, str(table), "--out", str(out), "-q", "--resume"], check=True, stdout=subprocess.DEVNULL)
        same = all((whole / n).read_bytes() == (out / n).read_bytes() for n in ("screen.csv", "rejects.csv", "screen.html"))
        print(f"{kills} kills -9, {finished} runs that ended in between: {lost} finished chunks lost; result identical: {same}")
