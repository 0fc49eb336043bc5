"""Tell another process how far a run is: one small JSON file, replaced at once, named by the variable KROGH_PROGRESS."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["progress_record", "read_progress"]

VARIABLE = "KROGH_PROGRESS"
_EVERY_S = 0.15


def progress_record(labels: Sequence[str]) -> Callable[[str, float], None]:
    """Return a function (label, share done) that keeps the file of KROGH_PROGRESS up to date; it does nothing without one."""
    name = os.environ.get(VARIABLE)
    if not name:
        return lambda label, share: None
    path, shares, last = Path(name), dict.fromkeys(labels, 0.0), [0.0]

    def note(label: str, share: float) -> None:
        shares[label] = min(max(float(share), 0.0), 1.0)
        now = time.monotonic()
        if share < 1.0 and now - last[0] < _EVERY_S:
            return
        last[0] = now
        content = {
            "share": sum(shares.values()) / max(len(shares), 1),
            "label": label,
            "done": sum(s >= 1 for s in shares.values()),
        }
        scratch = path.with_name(path.name + ".partial")
        with contextlib.suppress(OSError):  # progress is a courtesy: a full disk is reported by the results
            scratch.write_text(json.dumps({**content, "of": len(shares)}), encoding="utf-8")
            scratch.replace(path)

    return note


def read_progress(path: Path) -> tuple[float, str]:
    """Return (share done, label) of a progress file; (0, "") where there is none yet."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return min(max(float(content["share"]), 0.0), 1.0), str(content.get("label", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0.0, ""
