"""What a real system does to a screen: a file that may not grow, a second process on the same folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from krogh.cli.main import _run

_TABLE = "smiles\n" + "\n".join("C" * (1 + k % 9) + "O" for k in range(12)) + "\n"

_LIMITED = """
import resource, sys
import krogh.cli.screen
krogh.cli.screen._ROWS = 3
from krogh.cli.main import main
import krogh.runs.screen, rdkit, matplotlib.figure, numba  # what they keep for themselves is written before the limit
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
main(sys.argv[2:])
"""

_HOLDER = """
import sys
from pathlib import Path
from krogh.io.chunk_folder import open_chunks
with open_chunks(Path(sys.argv[1]), {"n": 1}, resume=True, overwrite=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(_TABLE, encoding="utf-8")
    return path


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _files(out):
    return {f.name: f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file() and f.suffix in (".csv", ".json", ".html")}


@pytest.mark.parametrize("limit", [1000, 9000])
def test_a_file_that_may_not_grow_is_one_line_and_costs_nothing_that_was_done(table, tmp_path, monkeypatch, limit):
    """The system refuses to write on, as a full disk does: first inside of a chunk, then inside of the last table."""
    monkeypatch.setattr("krogh.cli.screen._ROWS", 3)
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments = ["screen", str(table), "--duration", "1 h", "-q", "--out"]
    assert _run([*arguments, str(whole)]) == 0
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(limit), *arguments, str(out)],
        capture_output=True, text=True, env=_environment(), timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("\n") == 1
    assert "no space left" in done.stderr
    assert not list(out.rglob("*.partial"))
    expected = _files(whole)
    held = {k: v for k, v in _files(out).items() if k.startswith("chunk-")}
    assert held.items() <= expected.items()
    sizes = [len(v) for k, v in expected.items() if k.startswith("chunk-")]
    assert len(held) == (0 if limit < min(sizes) else len(sizes))
    assert limit < min(sizes) or max(sizes) < limit < len(expected["screen.html"])
    assert _run([*arguments, str(out), "--resume"]) == 0
    now = _files(out)
    assert {k: v for k, v in now.items() if k != "run.json"} == {k: v for k, v in expected.items() if k != "run.json"}


def test_a_second_process_is_refused_and_changes_nothing(table, tmp_path, capsys):
    out = tmp_path / "o"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        before = _files(out)
        for more in ([], ["--resume"], ["--overwrite"]):
            assert _run(["screen", str(table), "--out", str(out), "-q", *more]) == 5
            err = capsys.readouterr().err
            assert "another run" in err
            assert err.count("\n") == 1
        assert _files(out) == before
        holder.stdin.close()
        holder.wait()
    assert Path(out / "chunks" / "plan.json").is_file()
