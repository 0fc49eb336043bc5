"""Peak memory of ``krogh simulate`` on a block of 128^3, layered and uneven, each in a process of its own, beside the goal."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

_GOAL_GIB = 3.0
_BLOCK = """
compounds = ["morphine"]
dose = "10 mg iv"
duration = "0.01 s"     # a dozen adaptive steps: every array has been held by then
rtol = 0.01
geometry = "block"
[block]
cells = 128
cells_y = 128
cells_z = 128
frames = 16
patterns = [{ route = "P-gp", shape = "patch", factor = 0, radius = "8 um" }]
"""
_TISSUE = """
tissue = [{ quantity = "diffusivity", factor = 0.1, radius = "8 um" }, { quantity = "storage", factor = 3, radius = "8 um" }]
"""


def measure(kind: str) -> None:
    """Run the command in this process and print its peak."""
    from krogh.cli.main import _run

    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "run.toml"
        settings.write_text(_BLOCK + (_TISSUE if kind == "uneven" else ""), encoding="utf-8")
        code = _run(["simulate", "--config", str(settings), "--no-pictures", "--quiet", "--out", str(Path(folder) / "run")])
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss / 1024**2
    print(f"{kind} block 128^3, 16 frames: exit {code}, peak memory {peak:.2f} GiB (goal below {_GOAL_GIB:g}), "
          f"{used.ru_utime:.0f} s of processor time")  # fmt: skip


def run() -> None:
    for kind in ("layered", "uneven"):
        subprocess.run([sys.executable, "-m", "bench.memory", kind], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    measure(sys.argv[1])
