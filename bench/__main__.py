"""Run every benchmark, or those named: ``python -m bench [NAME ...]``; a file of this folder with ``run()`` is a benchmark."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from pathlib import Path


def _names() -> list[str]:
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if "\ndef run(" in p.read_text(encoding="utf-8"))


def main(wanted: list[str]) -> int:
    """Run the benchmarks and return an exit code."""
    names = _names()
    unknown = [n for n in wanted if n not in names]
    if unknown:
        print(f"error: benchmark: got {unknown[0]}, expected one of {', '.join(names)}", file=sys.stderr)
        return 2
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    for name in wanted or names:
        print(f"\n== {name}", flush=True)
        start = time.process_time()
        importlib.import_module(f"bench.{name}").run()
        print(f"-- {name}: {time.process_time() - start:.0f} s of processor time", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
