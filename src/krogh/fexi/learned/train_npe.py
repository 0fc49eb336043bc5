"""Train the networks of ``npe`` on simulated voxels: every step sees new ones, a fixed set decides which weights are best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from krogh.fexi.learned.checkpoint import Checkpoint, load_into
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.flow import NpeSettings, PosteriorNetwork
from krogh.fexi.learned.novelty import survey
from krogh.fexi.learned.practice import PROCESSOR, Compute, Plan, State, Tell, practise
from krogh.fexi.learned.prior import to_u

__all__ = ["build", "train_npe"]

FloatArray = NDArray[np.float64]
_HELD_OUT = 8192
_SURVEYED = 32_768


def build(checkpoint: Checkpoint) -> PosteriorNetwork:
    """Return the network of a checkpoint."""
    a = checkpoint.architecture
    network = PosteriorNetwork(int(a["inputs"]), int(a["parameters"]), NpeSettings(**a["settings"]))
    load_into(network, checkpoint)
    return network


def train_npe(
    conditions: Conditions,
    *,
    settings: NpeSettings | None = None,
    seed: int = 0,
    compute: Compute = PROCESSOR,
    state: State | None = None,
    tell: Tell = lambda i, n, loss, score: None,
    keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:
    """Return networks trained for `conditions`; the same seed gives the same bytes on the same machine (on the processor)."""
    settings = settings or NpeSettings()
    bounds = conditions.model.bounds

    def batch(n: int, stream: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        signals, theta = conditions.simulate(n, [seed, *stream])
        return tuple(
            torch.as_tensor(a, dtype=torch.float32, device=compute.device) for a in (signals.inputs(), to_u(theta, bounds))
        )  # type: ignore[return-value]

    first, theta = conditions.simulate(_HELD_OUT, [seed, 1])
    x = first.inputs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PosteriorNetwork(x.shape[1], bounds.shape[0], settings)
    network.standardise(x, to_u(theta, bounds))
    network.to(compute.device)
    held_x, held_u = batch(_HELD_OUT, [2])

    def losses(i: int) -> Iterator[torch.Tensor]:
        for j in range(settings.steps):
            yield network.loss(*batch(settings.batch, [3, i, j]))

    def score(_: float) -> float:
        with torch.no_grad():
            return float(network.loss(held_x, held_u))

    def estimate(x: FloatArray) -> FloatArray:
        return np.asarray(bounds[:, 0] + np.ptp(bounds, axis=1) * network.summarise(x)[0])

    plan = Plan(settings.rounds, settings.patience, settings.learning_rate)
    end = practise(network, losses, score, plan, compute=compute, state=state, tell=tell, keep=keep)
    region = survey(conditions.simulate(_SURVEYED, [seed, 4])[0], estimate, conditions.snr)
    return Checkpoint.of(
        "npe", network, region, conditions.model, conditions.protocol,
        architecture={"inputs": x.shape[1], "parameters": bounds.shape[0], "settings": dataclasses.asdict(settings)},
        s0=conditions.s0, prior=conditions.prior,
        training={"seed": seed, **end.numbers()},
    )  # fmt: skip
