"""Solve the cases of a run; show how networks are trained, and keep what is trained already."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krogh.cli import options
from krogh.errors import ConvergenceError, UsageError

if TYPE_CHECKING:
    from krogh.pinn.stage import Stage
    from krogh.runs.config import SimulateConfig
    from krogh.runs.simulate import Case, GroupResult
    from krogh.transport.block.device.place import Place

__all__ = ["Told", "folder_of", "kept", "solve_cases"]

_FOLDER = "training"
_EVERY_S = 5.0


def _work_share(share: float) -> float:
    """Return the share of the work for a share of the simulated time: steps and windows grow from microseconds to minutes."""
    return share**0.15


class Told:
    """Show the progress of one case: a bar or a finished line by `show`, and a line of the training at most every 5 s."""

    def __init__(self, show: Callable[[str, float], None], label: str, *, quiet: bool) -> None:
        self.show, self.label, self.quiet = show, label, quiet
        self.share, self.first, self.begun, self.said = 0.0, math.nan, time.monotonic(), -math.inf

    def progress(self, share: float) -> None:
        """Take the share of the simulated time that is done."""
        self.share = _work_share(share)
        self.show(self.label, self.share)

    def stage(self, stage: Stage) -> None:
        """Take the stage of a training."""
        now = time.monotonic()
        if math.isnan(self.first):
            self.first, self.begun = self.share, now
        if self.quiet or now - self.said < _EVERY_S:
            return
        self.said = now
        sys.stderr.write(f"{self.label}: {describe(stage)}{self._left(now)}\n")

    def _left(self, now: float) -> str:
        done = self.share - self.first
        return f", about {(now - self.begun) / done * (1 - self.share):.0f} s left" if done > 0 else ""


def describe(stage: Stage) -> str:
    """Return the stage of a training in words."""
    where = f"{stage.begin_s:.3g} to {stage.end_s:.3g} s"
    if stage.step is None:
        return f"{where} trained, certificate {stage.certificate:.0e}"
    known = f", certificate {stage.certificate:.0e}" if stage.certificate is not None else ""
    return f"{where}, step {stage.step} of at most {stage.steps}: loss {stage.loss:.1e}{known}"


def solve_cases(
    cases: list[Case], settings: SimulateConfig, threads: int, place: Place | None, states: Path | None, *, quiet: bool
) -> list[GroupResult]:
    """Solve the cases one by one, or in several processes where `threads` allows; `states` is the folder of a training."""
    import os

    from krogh.io.tensor_file import TensorFolder
    from krogh.runs.simulate import run_case

    keeps = [TensorFolder(states, f"case-{k:03d}") if states else None for k in range(len(cases))]
    workers = min(threads or os.cpu_count() or 1, len(cases))
    with options.progress([case.labels[0] for case in cases], quiet=quiet) as show:
        if workers == 1:
            told = [Told(show, case.labels[0], quiet=quiet) for case in cases]
            return [
                run_case(case, settings, progress=t.progress, place=place, tell=t.stage, keep=keep)
                for case, t, keep in zip(cases, told, keeps, strict=True)
            ]
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            both = zip(cases, keeps, strict=True)
            jobs = [(case.labels[0], pool.submit(run_case, case, settings, place=place, keep=keep)) for case, keep in both]
            found = []
            for label, job in jobs:
                found.append(job.result())
                show(label, 1.0)
            return found


def folder_of(settings: SimulateConfig, *, resume: bool = False) -> str | None:
    """Return the name of the folder for the state of a training, None where nothing is trained.

    Raises
    ------
    UsageError
        If there is nothing that could be resumed.
    """
    if settings.solver == "pinn" and settings.geometry != "network":
        return _FOLDER
    if resume:
        got = f"--geometry {settings.geometry} --solver {settings.solver}"
        raise UsageError("--resume", got=got, expected="--solver pinn, a slab, a cylinder or a block", hint="run it again")
    return None


@contextlib.contextmanager
def kept(
    out: Path, name: str | None, config: Mapping[str, Any], inputs: Sequence[Path], *, resume: bool, overwrite: bool
) -> Iterator[Path | None]:
    """Yield the folder `name` in `out` for the state of a training: it stays if the run is cut off, not if it has no answer.

    Raises
    ------
    OutputError
        If another run is at work there, or an earlier one was of other input, settings or version.
    """
    if name is None:
        yield None
        return
    import shutil

    from krogh import __version__
    from krogh.io.chunk_folder import open_chunks
    from krogh.io.provenance import file_sha256

    plan = {"krogh": __version__, "settings": dict(config), "inputs": [file_sha256(p) for p in inputs]}
    with open_chunks(out / name, plan, resume=resume, overwrite=overwrite) as store:
        try:
            yield store.folder
        except KeyboardInterrupt:
            sys.stderr.write(f"what is trained is stored in {out.name}/{name}: --resume goes on with it\n")
            raise
        except ConvergenceError:
            shutil.rmtree(out / name, ignore_errors=True)
            with contextlib.suppress(OSError):
                out.rmdir()
            raise
