"""Read and write trained networks: tensors as safetensors, everything else as JSON beside them, tied by a SHA-256.

A folder holds ``weights.safetensors`` and ``weights.json``. The state of a training is one file, so that a kill at any moment
leaves a whole one. Nothing in such files is executed on reading.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.io.chunk_folder import write_whole
from krogh.io.tensor_file import damaged, read_tensors, write_tensors

if TYPE_CHECKING:
    from krogh.fexi.learned.checkpoint import Checkpoint
    from krogh.fexi.learned.practice import State
    from krogh.fexi.learned.prior import MixturePrior

__all__ = ["read_prior", "read_state", "read_weights", "write_state", "write_weights"]

_LARGEST = 500_000_000
_TRAIN_AGAIN = "copy the folder again, or train again (krogh fexi train)"


def write_weights(folder: Path, checkpoint: Checkpoint) -> list[Path]:
    """Write ``weights.safetensors`` and ``weights.json`` (with the SHA-256 of the first) whole; return the files."""
    from safetensors.numpy import save

    content = save({k: np.ascontiguousarray(v) for k, v in sorted(checkpoint.tensors.items())})
    record = {**checkpoint.record(), "sha256": hashlib.sha256(content).hexdigest()}
    paths = [folder / "weights.safetensors", folder / "weights.json"]
    write_whole(paths[0], content)
    write_whole(paths[1], (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return paths


def read_weights(path: Path) -> Checkpoint:
    """Return a trained network from a folder, or from one of its two files.

    Raises
    ------
    InputError
        If a file is missing, damaged, too large, the two do not belong together, or the record is not that of a network.
    """
    from krogh.fexi.learned.checkpoint import Checkpoint

    folder = path if path.is_dir() else path.parent
    files = (folder / "weights.safetensors", folder / "weights.json")
    if not path.is_dir() and path.name not in (f.name for f in files):
        raise InputError(path.name, got="no trained network", expected="the folder that krogh fexi train wrote")
    for file in files:
        where = f"{folder.name}/{file.name}"
        if not file.is_file():
            raise InputError(where, got="no such file", expected="the folder that krogh fexi train wrote")
        if file.stat().st_size > _LARGEST:
            raise InputError(where, got="more than 500 MB", expected="a network of krogh fexi train")
    tensors, record = _load(files, folder.name)
    try:
        checkpoint = Checkpoint.from_record(record, tensors)
        checkpoint.region.distances(np.zeros((1, checkpoint.region.mean.size)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise InputError(
            f"{folder.name}/weights.json", got="a record of another format", expected="one of this version", hint=_TRAIN_AGAIN
        ) from None
    return checkpoint


def _load(files: tuple[Path, Path], name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = files[0].read_bytes()
    try:
        record = json.loads(files[1].read_bytes())
        stated = str(record["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{name}/weights.json", got="no record of a network", hint=_TRAIN_AGAIN) from None
    if (found := hashlib.sha256(content).hexdigest()) != stated:
        raise InputError(
            f"{name}/weights.safetensors", got=f"SHA-256 {found[:12]}..., damaged or of another training",
            expected=f"{stated[:12]}... as in weights.json", hint=_TRAIN_AGAIN,
        )  # fmt: skip
    try:
        return load(content), record
    except (SafetensorError, ValueError, KeyError):
        raise InputError(f"{name}/weights.safetensors", got="no safetensors file", hint=_TRAIN_AGAIN) from None


def write_state(path: Path, state: State) -> None:
    """Store how far a training is, in one file that is written whole."""
    write_tensors(path, state.numbers(), state.tensors)


def read_state(path: Path) -> State | None:
    """Return the stored state of a training, or None if there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    from krogh.fexi.learned.practice import State

    found = read_tensors(path)
    if found is None:
        return None
    record, tensors = found
    try:
        history = [(float(a), float(b)) for a, b in record["history"]]
        return State(int(record["done"]), float(record["best"]), int(record["stale"]), history, tensors)
    except (ValueError, KeyError, TypeError):
        raise damaged(path) from None


def read_prior(path: Path) -> MixturePrior:
    """Return a prior from JSON.

    ``bounds``, ``weight``, ``mean``, ``cov`` as :meth:`MixturePrior.as_dict` writes them, alone or as the only one of ``Priors``.

    Raises
    ------
    InputError
        If it is not readable, or not one prior.
    """
    from krogh.fexi.learned.prior import MixturePrior
    from krogh.io.text_file import read_text_file

    try:
        content = json.loads(read_text_file(path, what="a prior in JSON"))
        if "Priors" in content:  # the prior.json of a fit, with one tissue label
            (content,) = content["Priors"].values()
        prior = MixturePrior.from_dict(content)
        np.linalg.cholesky(prior.cov)
        good = prior.weight.shape == (prior.n_components + 1,) and bool(np.all(prior.weight >= 0))
        good = good and abs(float(prior.weight.sum()) - 1) < 1e-6 and bool(np.isfinite(prior.mean).all())
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, np.linalg.LinAlgError):
        good = False
    if not good:
        raise InputError(
            path.name, got="no prior", expected="bounds, weight (adding to 1), mean and cov (positive definite) in JSON"
        ) from None
    return prior
