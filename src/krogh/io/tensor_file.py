"""Keep how far a training is: tensors as safetensors with a JSON record inside, tied by a SHA-256, one file written whole.

A kill at any moment leaves the file of before or the file of after. Nothing in it is executed on reading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.io.chunk_folder import write_whole

__all__ = ["TensorFolder", "damaged", "read_tensors", "write_tensors"]

Tensors = dict[str, NDArray[Any]]
_RECORD = "record"


def write_tensors(path: Path, record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Store plain values and tensors in one file that is written whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from safetensors.numpy import save

    held = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    text = json.dumps({**record, "sha256": _digest(held)}).encode()
    write_whole(path, save({**held, _RECORD: np.frombuffer(text, np.uint8)}))


def read_tensors(path: Path) -> tuple[dict[str, Any], Tensors] | None:
    """Return the record and tensors of a file, or None if there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        return None
    try:
        tensors = load(path.read_bytes())
        record = json.loads(tensors.pop(_RECORD).tobytes())
        whole = record.pop("sha256") == _digest(tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise damaged(path)
    return record, tensors


def damaged(path: Path) -> InputError:
    """Return the refusal of a file that is not what was stored."""
    return InputError(path.name, got="a damaged state of a training", hint="begin anew with --overwrite")


class TensorFolder:
    """Keep named states of a run in a folder, one file each; `prefix` keeps the runs of one command apart."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.prefix}-{name}.safetensors"

    def save(self, name: str, record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        """Store one state."""
        write_tensors(self._path(name), record, tensors)

    def load(self, name: str) -> tuple[dict[str, Any], Tensors] | None:
        """Return one state, or None if it is not there."""
        return read_tensors(self._path(name))


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
