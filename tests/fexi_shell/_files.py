"""Make small NIfTI files, phantoms and command lines for the tests of the shell around FEXI."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

AFFINE = np.array([[-3.0, 0.1, 0.0, 5.0], [0.0, 3.0, 0.2, 6.0], [0.0, 0.0, 4.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


def nifti(
    path: Path, values: Any, affine: Any = AFFINE, *, dtype: str | None = None, edit: Any = None, big: bool = False
) -> Path:
    """Write `values`; `edit(header)` changes the header just before, whatever it breaks."""
    values = np.asarray(values, dtype=dtype)
    header = nib.Nifti1Header(endianness=">" if big else "<")
    header.set_data_dtype(values.dtype.newbyteorder("="))
    header.set_data_shape(values.shape)
    header.set_zooms((3.0, 3.0, 4.0, 1.0)[: values.ndim])
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    if edit is not None:
        edit(header)
    order = ">" if big else "<"
    content = header.binaryblock + b"\0\0\0\0" + values.astype(values.dtype.newbyteorder(order)).tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)
    return path


def krogh(*arguments: Any, cwd: Path | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    code = "from krogh.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, cwd=cwd, env=environment, check=False,
    )  # fmt: skip


def run_here(*arguments: Any) -> Any:
    """Run ``krogh fexi`` in this process; errors come through as exceptions."""
    import typer

    from krogh.cli import fexi

    app = typer.Typer()
    fexi.register(app)
    app.command("unused")(lambda: None)
    return app(args=["fexi", *map(str, arguments)], standalone_mode=False)


class KilledError(Exception):
    """Stand for the end of the process."""


def kill_after_two_rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the next training store every round and end after the second; return the rounds that are stored, as they come."""
    from krogh.cli import fexi_train
    from krogh.io import weights

    real, rounds = weights.write_state, []

    def write(path: Path, state: Any) -> None:
        real(path, state)
        rounds.append(state.done)
        if len(rounds) == 2:
            raise KilledError

    monkeypatch.setattr(fexi_train, "_KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(weights, "write_state", write)
    return rounds
