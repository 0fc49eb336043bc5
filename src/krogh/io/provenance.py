"""Record beside every result what made it: versions, settings, inputs, time and memory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import resource
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from krogh import __version__

__all__ = ["file_sha256", "write_json", "write_run_record"]

DISCLAIMER = "Research software: not for diagnosis or dosing."


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as readable JSON (UTF-8, sorted where the caller sorted it); NaN is written as null."""

    def clean(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): clean(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(v) for v in value]
        if hasattr(value, "tolist"):
            return clean(value.tolist())
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return None
        if isinstance(value, Path):
            return value.name
        return value

    path.write_text(json.dumps(clean(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write_run_record(
    folder: Path,
    *,
    command: Iterable[str],
    config: Mapping[str, Any],
    inputs: Iterable[Path] = (),
    started: datetime,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write ``run.json`` and ``command.txt`` into `folder`.

    Absolute paths and user names are left out: inputs are named by file name and SHA-256.
    """
    arguments = [Path(a).name if a.startswith("/") else a for a in command]
    record = {
        "krogh": __version__,
        "notice": DISCLAIMER,
        "command": ["krogh", *arguments],
        "config": dict(config),
        "inputs": [{"name": p.name, "sha256": file_sha256(p)} for p in inputs],
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{p: _version(p) for p in ("numpy", "scipy", "torch", "numba", "xarray")},
        },
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024), 1)
        if sys.platform != "darwin"
        else None,
        **(extra or {}),
    }
    write_json(folder / "run.json", record)
    (folder / "command.txt").write_text(shlex.join(["krogh", *arguments]) + "\n", encoding="utf-8")
