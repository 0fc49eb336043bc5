"""Train the network of a FEXI estimator: which ones there are, their settings, and the calls that train one.

On simulated voxels of a prior, or on the voxels of a scan.

Files, resume and progress are the business of the command.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from krogh.errors import InputError, UsageError, nearest
from krogh.fexi.interface import Progress
from krogh.fexi.learned.checkpoint import Checkpoint, model_record, protocol_key
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.practice import PROCESSOR, Compute, State, Tell
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.learned.scan_prior import PriorChoice
from krogh.fexi.precision import check_identifiable
from krogh.runs.fexi_scan import Voxels

__all__ = ["LEARNERS", "TRAINERS", "ScanTask", "Task", "parse_settings", "settings_of", "train", "train_on_scan"]

#: Estimator -> (module, function that trains on the voxels of a scan, class of its settings).
LEARNERS: dict[str, tuple[str, str, str]] = {
    "hbayes": ("krogh.fexi.learned.train_hbayes", "learn_hierarchy", "HbayesSettings"),
    "physics": ("krogh.fexi.learned.train_physics", "learn_rates", "PhysicsSettings"),
    "selfsup": ("krogh.fexi.learned.train_points", "learn_from_signals", "PointSettings"),
}
#: The same for simulated voxels.
TRAINERS: dict[str, tuple[str, str, str]] = {
    "npe": ("krogh.fexi.learned.train_npe", "train_npe", "NpeSettings"),
    "supervised": ("krogh.fexi.learned.train_points", "train_supervised", "PointSettings"),
    "selfsup": ("krogh.fexi.learned.train_points", "train_selfsup", "PointSettings"),
    "physics": ("krogh.fexi.learned.train_physics", "train_physics", "PhysicsSettings"),
}


@dataclass(frozen=True)
class Task:
    """Hold one training on simulated voxels: estimator, what it is for, its settings, seed, device and precision."""

    estimator: str
    conditions: Conditions
    settings: Any
    seed: int = 0
    compute: Compute = PROCESSOR

    def plan(self) -> dict[str, Any]:
        """Return everything that decides the result, as plain values."""
        from krogh import __version__

        c = self.conditions
        return {
            "krogh": __version__, "estimator": self.estimator, "model": model_record(c.model),
            "protocol": protocol_key(c.protocol), "prior": c.prior.as_dict(), "snr": list(c.snr), "s0": c.s0,
            "settings": dataclasses.asdict(self.settings), "seed": self.seed, **dataclasses.asdict(self.compute),
        }  # fmt: skip


@dataclass(frozen=True)
class ScanTask:
    """Hold one training on the voxels of a scan; ``inputs`` say what it depends on (files by their SHA-256, the prior)."""

    estimator: str
    voxels: Voxels
    settings: Any
    prior: PriorChoice = "scan"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    compute: Compute = PROCESSOR

    def plan(self) -> dict[str, Any]:
        """Return everything that decides the result, as plain values."""
        from krogh import __version__

        return {
            "krogh": __version__, "estimator": self.estimator, "model": model_record(self.voxels.model),
            "protocol": protocol_key(self.voxels.protocol), "noise": self.voxels.mean_noise, **self.inputs,
            "settings": dataclasses.asdict(self.settings), "seed": self.seed, **dataclasses.asdict(self.compute),
        }  # fmt: skip


def settings_of(estimator: str) -> Any:
    """Return the default settings of an estimator that is trained.

    Raises
    ------
    UsageError
        If there is no such estimator.
    """
    known = {**TRAINERS, **LEARNERS}
    if estimator not in known:
        raise UsageError("estimator", got=repr(estimator), expected="one that is trained", hint=nearest(estimator, known))
    module, _, settings = known[estimator]
    return getattr(importlib.import_module(module), settings)()


def parse_settings(estimator: str, texts: Iterable[str]) -> Any:
    """Return the settings of `estimator` with ``name=value`` texts applied.

    Raises
    ------
    UsageError
        If a name is unknown.
    InputError
        If a value is not of the setting's kind, or not > 0.
    """
    settings = settings_of(estimator)
    known = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    found: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise UsageError("--set", got=repr(text), expected="name=value", hint=nearest(name, known))
        found[name] = _value(text, value, known[name])
    return dataclasses.replace(settings, **found)


def _value(text: str, value: str, default: Any) -> Any:
    if isinstance(default, str):
        return value
    if isinstance(default, tuple):
        return tuple(_value(text, part, 1.0) for part in value.split(":"))
    try:
        number = type(default)(value)
    except ValueError:
        number = -1
    if not 0 < number < 1e9:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise InputError("--set", got=repr(text), expected=f"{kind} > 0")
    return number


def train(
    task: Task,
    *,
    state: State | None = None,
    tell: Tell = lambda i, n, loss, score: None,
    keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:
    """Return the trained network of `task`, going on from `state` where there is one."""
    module, function, _ = TRAINERS[task.estimator]
    run = getattr(importlib.import_module(module), function)
    found: Checkpoint = run(
        task.conditions, settings=task.settings, seed=task.seed, compute=task.compute, state=state, tell=tell, keep=keep
    )
    return found


def train_on_scan(
    task: ScanTask, *, progress: Progress | None = None, state: State | None = None,
    tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return the network of `task`, the same that a fit of this scan would train.

    `progress` is told of what comes before the network (the search for the prior of ``hbayes``).
    """
    module, function, _ = LEARNERS[task.estimator]
    run = getattr(importlib.import_module(module), function)
    check_identifiable(task.voxels.model, task.voxels.protocol, s0_free=True)
    signals, beside = task.voxels.take(task.voxels.sample())
    scan = prepare_scan(task.voxels.model, task.voxels.protocol, signals, beside["noise_sd"], "per-series")
    common: dict[str, Any] = {"settings": task.settings, "seed": task.seed, "compute": task.compute}
    common |= {"state": state, "tell": tell, "keep": keep}
    if task.estimator == "hbayes":
        known = {"labels": beside.get("labels"), "prior": task.prior, "threads": task.voxels.threads, "progress": progress}
        found: Checkpoint = run(scan, **known, **common)
    else:
        found = run(scan.part(scan.rows), **common)
    return found
