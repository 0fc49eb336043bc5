"""Say how much memory is left; what refuses large meshes, images and tapes asks here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["free_memory_bytes"]


def free_memory_bytes() -> int:
    """Return the memory that this process may still take: the least of machine, control group and process limit.

    Where the machine does not say what is free, half of what it has; where it says nothing at all, 4 GiB.
    """
    candidates: list[int] = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        candidates.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        line = next(row for row in text.splitlines() if row.startswith("MemAvailable"))
        candidates = [int(line.split()[1]) * 1024]
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        candidates.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            candidates.append(soft)
    return max(min(candidates, default=4 * 2**30), 0)
