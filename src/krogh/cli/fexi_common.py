"""Share between the FEXI commands how they print and tell of progress."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from krogh.fexi.learned.practice import Compute
    from krogh.fexi.protocol import Protocol
    from krogh.io.nifti import Image

__all__ = ["ProtocolSource", "check_noise_options", "enough_memory", "progress_printer", "read_scan", "report", "training_device"]

ProtocolSource = Annotated[
    str, typer.Option("--protocol", "-p", help="Protocol: a .tsv, .bf/.bval/.tm or .mat file, or a preset such as human-bbb.")
]


def report(payload: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print `payload` as one JSON object, or `lines`."""
    if as_json:
        typer.echo(json.dumps(_plain(payload), ensure_ascii=False))
    else:
        for line in lines:
            typer.echo(line)


def _plain(value: Any) -> Any:
    """Return `value` in what JSON knows; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Turn running out of memory into one line that says what to do."""
    try:
        yield
    except MemoryError:
        raise InputError(what, got="more data than the free memory holds", hint="use a smaller mask, or larger voxels") from None


def progress_printer(what: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Return a function that tells how far long work is: on stderr, at most every second and not where `quiet`, and to a page."""
    import time

    from krogh.io.progress import progress_record

    state = {"next": time.monotonic() + 1.0}
    record = progress_record([what])

    def show_progress(done: int, total: int) -> None:
        record(what, done / max(total, 1))
        now = time.monotonic()
        if not quiet and now >= state["next"]:
            state["next"] = now + 1.0
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n")
            sys.stderr.flush()

    return show_progress


def read_scan(
    dwi: Path, plan: Protocol, mask: Path | None, noise_sd: float | None, noise_map: Path | None
) -> tuple[Image, NDArray[np.bool_], Any]:
    """Return a scan, the voxels to fit (all with signal, without `mask`) and the noise SD: a number, an image or None.

    Raises
    ------
    InputError
        If a file is unusable, does not fit the protocol, or nothing is left to fit.
    """
    import numpy as np

    from krogh.io.nifti import read_dwi, read_image, read_mask

    image = read_dwi(dwi)
    if image.data.shape[3] != plan.n_volumes:
        expected = f"{plan.n_volumes} as the protocol has rows"
        raise InputError(dwi.name, got=f"{image.data.shape[3]} volumes", expected=expected, hint="is it the right protocol?")
    if mask is not None:
        inside = read_mask(mask, image)
    else:
        with np.errstate(invalid="ignore"):
            inside = np.asarray((image.data > 0).any(axis=3))
        if not inside.any():
            raise InputError(dwi.name, got="no voxel with a signal above 0", expected="magnitude signals")
    noise: Any = noise_sd
    if noise_map is not None:
        noise = read_image(noise_map, where=f"noise map {noise_map.name}").data
    return image, inside, noise


def check_noise_options(noise_sd: float | None, noise_map: Path | None) -> None:
    """Refuse two sources of the noise SD."""
    if noise_sd is not None and noise_map is not None:
        raise UsageError("--noise-sd", got="also --noise-map", expected="one of the two")


def training_device(name: str, precision: str) -> Compute:
    """Return where a network is trained, from ``--device`` and ``--precision``.

    Raises
    ------
    UsageError
        If a name is unknown, there is no GPU where one is asked for, or 16 bits are asked for on the processor.
    """
    import torch

    from krogh.fexi.learned.practice import Compute

    options.check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device", got="cuda", expected="cpu", hint="torch sees no GPU here; use --device cpu")
    found = Compute("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu", precision)
    if found.device == "cpu" and precision != "float32":
        raise UsageError(
            "--precision", got=f"{precision} on the processor", expected="float32", hint="mixed precision needs a GPU"
        )
    return found
