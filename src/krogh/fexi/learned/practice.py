"""Train any network in rounds: best weights kept, early stop, and a state that can be stored and taken up again.

A round is an epoch over a scan, or a number of fresh simulated batches. All randomness comes from the number of the round, so
that a training that was killed and resumed ends with the same bytes as one that was not (same machine, on the processor).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from krogh.errors import ConvergenceError, UsageError
from krogh.fexi.interface import Progress

__all__ = ["PROCESSOR", "Compute", "Plan", "State", "Tell", "practise", "telling"]

#: Called with (round, rounds in all, loss of the round, score).
Tell = Callable[[int, int, float, float], None]
Weights = dict[str, torch.Tensor]
_CLIP = 5.0


def telling(progress: Progress | None) -> Tell:
    """Return what tells `progress` the rounds of a training."""
    return lambda done, rounds, loss, score: None if progress is None else progress(done, rounds)


@dataclass(frozen=True)
class Compute:
    """Say where a network is trained ("cpu", "cuda"), and how precisely: "float32", or "bf16" (mixed, matrices in 16 bits).

    Raises
    ------
    UsageError
        If a name is unknown.
    """

    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise UsageError("--device", got=repr(self.device), expected="cpu or cuda")
        if self.precision not in ("float32", "bf16"):
            raise UsageError("--precision", got=repr(self.precision), expected="float32 or bf16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which losses are computed."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


#: The processor, in 32 bits.
PROCESSOR = Compute()


@dataclass(frozen=True)
class Plan:
    """Say how long and how fast: at most `rounds`, fewer after `patience` rounds without a better score.

    ``decay`` lets the learning rate fall to 2 % along half a cosine over all rounds.
    """

    rounds: int
    patience: int
    learning_rate: float
    decay: bool = True

    def rate(self, i: int) -> float:
        """Return the learning rate of round `i`."""
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / self.rounds))
        return self.learning_rate * (fall if self.decay else 1.0)


@dataclass
class State:
    """Hold how far a training is: rounds done, best score so far, rounds since, history [(loss, score)] and tensors."""

    done: int = 0
    best: float = math.inf
    stale: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """Return all but the tensors, as plain values."""
        return {"done": self.done, "best": self.best, "stale": self.stale, "history": self.history}


def _pack(network: nn.Module, kept: Weights, optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    named = (("now", network.state_dict()), ("best", kept))
    parts = {f"{name}.{k}": v for name, weights in named for k, v in weights.items()}
    for i, entry in optimiser.state_dict()["state"].items():
        parts |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in entry.items()}
    return {k: v.detach().cpu().numpy().copy() for k, v in parts.items()}


def _unpack(state: State, network: nn.Module, optimiser: torch.optim.Optimizer) -> Weights:
    """Put the stored tensors back; return the best weights."""
    tensors = {k: torch.as_tensor(np.array(v)) for k, v in state.tensors.items()}
    network.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("now.")})
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, i, name = key.split(".")
            moments.setdefault(int(i), {})[name] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}


def practise(
    network: nn.Module,
    losses: Callable[[int], Iterable[torch.Tensor]],
    score: Callable[[float], float],
    plan: Plan,
    *,
    compute: Compute = PROCESSOR,
    state: State | None = None,
    tell: Tell = lambda i, n, loss, value: None,
    keep: Callable[[State], None] = lambda state: None,
) -> State:
    """Train `network` in place and leave it with the best weights; return the final state.

    Parameters
    ----------
    losses : callable
        Called with the number of a round; yields one loss after the other, each of which is followed by one step of Adam.
    score : callable
        Called after a round with its mean loss; returns the number that decides which weights are best (smaller is better).
    plan : Plan
        Rounds, patience, learning rate.
    compute : Compute
        Where `network` is, and how precisely the losses are computed; scores are computed in 32 bits.
    state : State, optional
        Of an earlier call, to go on with.
    tell, keep : callable
        Told of every round; handed the state of every round (to be stored).

    Raises
    ------
    ConvergenceError
        If a loss is not finite.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    now = state or State()
    kept = _unpack(now, network, optimiser) if now.tensors else {}
    for i in range(now.done, plan.rounds if now.stale < plan.patience else 0):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(i)
        loss = _round(network, losses(i), optimiser, i, compute)
        value = score(loss)
        better = value < now.best
        now.best, now.stale = (value, 0) if better else (now.best, now.stale + 1)
        if better or not kept:
            kept = {k: v.detach().clone() for k, v in network.state_dict().items()}
        now.done = i + 1
        now.history.append((loss, value))
        now.tensors = _pack(network, kept, optimiser)
        keep(now)
        tell(i + 1, plan.rounds, loss, value)
        if now.stale >= plan.patience:
            break
    network.load_state_dict(kept)
    network.eval()
    return now


def _round(
    network: nn.Module, losses: Iterable[torch.Tensor], optimiser: torch.optim.Optimizer, i: int, compute: Compute
) -> float:
    """Take the steps of one round; return the mean loss."""
    total, count = 0.0, 0
    network.train()
    steps = iter(losses)
    while True:
        with compute.autocast():
            loss = next(steps, None)
        if loss is None:
            break
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        total, count = total + float(loss.detach()), count + 1
    found = total / max(count, 1)
    if not math.isfinite(found):
        raise ConvergenceError(f"training, round {i + 1}", got="a loss that is not finite", hint="lower the learning rate")
    network.eval()
    return found
