"""Train the network of a FEXI estimator: which ones there are, their settings, and the call that trains one.

Files, resume and progress are the business of the command.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from krogh.errors import InputError, UsageError, nearest
from krogh.fexi.learned.checkpoint import Checkpoint, model_record, protocol_key
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.practice import State, Tell

__all__ = ["TRAINERS", "Task", "parse_settings", "settings_of", "train"]

#: Estimator -> (module, function that trains on simulated voxels, class of its settings).
TRAINERS: dict[str, tuple[str, str, str]] = {
    "npe": ("krogh.fexi.learned.train_npe", "train_npe", "NpeSettings"),
    "supervised": ("krogh.fexi.learned.train_points", "train_supervised", "PointSettings"),
    "selfsup": ("krogh.fexi.learned.train_points", "train_selfsup", "PointSettings"),
    "physics": ("krogh.fexi.learned.train_physics", "train_physics", "PhysicsSettings"),
}


@dataclass(frozen=True)
class Task:
    """Hold one training: estimator, what it is for, its settings, seed and device."""

    estimator: str
    conditions: Conditions
    settings: Any
    seed: int = 0
    device: str = "cpu"

    def plan(self) -> dict[str, Any]:
        """Return everything that decides the result, as plain values."""
        from krogh import __version__

        c = self.conditions
        return {
            "krogh": __version__, "estimator": self.estimator, "model": model_record(c.model),
            "protocol": protocol_key(c.protocol), "prior": c.prior.as_dict(), "snr": list(c.snr), "s0": c.s0,
            "settings": dataclasses.asdict(self.settings), "seed": self.seed, "device": self.device,
        }  # fmt: skip


def settings_of(estimator: str) -> Any:
    """Return the default settings of an estimator that is trained.

    Raises
    ------
    UsageError
        If there is no such estimator.
    """
    if estimator not in TRAINERS:
        raise UsageError("estimator", got=repr(estimator), expected="one that is trained", hint=nearest(estimator, TRAINERS))
    module, _, settings = TRAINERS[estimator]
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
        task.conditions, settings=task.settings, seed=task.seed, device=task.device, state=state, tell=tell, keep=keep
    )
    return found
