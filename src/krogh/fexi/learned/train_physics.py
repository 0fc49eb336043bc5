"""Train the network of ``physics``: from the signals to a posterior of AXR on a grid, taught by the closed form alone.

The teacher is the evidence of each rate with ADC, sigma and S0 integrated out (``projection``), times a prior of the rates: all
flat, or learned from the voxels by EM (``rates``). No labels are used. The network only has to copy the teacher, smoothly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from krogh.errors import UsageError
from krogh.fexi.learned.checkpoint import Checkpoint, load_into
from krogh.fexi.learned.conditions import Conditions, unfiltered_level
from krogh.fexi.learned.flow import mlp
from krogh.fexi.learned.novelty import survey
from krogh.fexi.learned.practice import PROCESSOR, Compute, Plan, State, Tell, practise
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.projection import FLAT, Tissue, project, rate_grid
from krogh.fexi.learned.rates import learn_rate_prior, normalised
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.train_points import SCAN_QUANTILE

__all__ = ["PhysicsNetwork", "PhysicsSettings", "build", "learn_rates", "moments", "tissue_of", "train_physics"]

FloatArray = NDArray[np.float64]
_CHUNK = 16384


@dataclass(frozen=True)
class PhysicsSettings:
    """Hold shape and training; ``prior``: "flat", or "scan" (learned from the voxels in ``em`` rounds). ``rounds``: epochs."""

    width: int = 48
    depth: int = 3
    rates: int = 48
    prior: str = "scan"
    em: int = 20
    rounds: int = 60
    batch: int = 512
    patience: int = 20
    learning_rate: float = 3e-3
    voxels: int = 20_000

    def __post_init__(self) -> None:
        if self.prior not in ("flat", "scan"):
            raise UsageError("--set prior", got=repr(self.prior), expected="flat or scan")


class PhysicsNetwork(nn.Module):
    """Map inputs to the log probability of each rate; ``log_prior`` [rate] is what it was taught with."""

    shift: torch.Tensor
    scale: torch.Tensor
    log_prior: torch.Tensor

    def __init__(self, n_inputs: int, settings: PhysicsSettings) -> None:
        super().__init__()
        self.body = mlp(n_inputs, settings.rates, settings.width, settings.depth)
        self.register_buffer("shift", torch.zeros(n_inputs))
        self.register_buffer("scale", torch.ones(n_inputs))
        self.register_buffer("log_prior", torch.zeros(settings.rates))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ln q [n, rate]."""
        return torch.log_softmax(self.body((x - self.shift) / self.scale).float() + self.log_prior, dim=1)

    @torch.inference_mode()
    def probabilities(self, x: FloatArray) -> FloatArray:
        """Return q [voxel, rate]."""
        device = self.shift.device
        parts = [
            self(torch.as_tensor(x[i : i + _CHUNK], dtype=torch.float32, device=device)).exp()
            for i in range(0, x.shape[0], _CHUNK)
        ]
        return torch.cat(parts).cpu().numpy().astype(np.float64)


def build(checkpoint: Checkpoint) -> PhysicsNetwork:
    """Return the network of a checkpoint."""
    a = checkpoint.architecture
    network = PhysicsNetwork(int(a["inputs"]), PhysicsSettings(**a["settings"]))
    load_into(network, checkpoint)
    return network


def train_physics(
    conditions: Conditions, *, settings: PhysicsSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR,
    state: State | None = None, tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return a network taught on the signals of simulated voxels, whose tissues it is not told."""
    settings = settings or PhysicsSettings()
    signals, _ = conditions.simulate(settings.voxels, [seed, 1])
    return learn_rates(
        signals, settings=settings, seed=seed, compute=compute, state=state, tell=tell, keep=keep, prior=conditions.prior,
        snr=conditions.snr,
    )  # fmt: skip


def learn_rates(
    signals: Signals, *, settings: PhysicsSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR,
    state: State | None = None, tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
    prior: MixturePrior | None = None, snr: tuple[float, float] | None = None,
) -> Checkpoint:  # fmt: skip
    """Return a network taught on `signals`; the cross-entropy to the teacher decides which weights are best."""
    settings = settings or PhysicsSettings()
    rates, edges = rate_grid(signals.model, settings.rates)
    x = signals.inputs()
    tissue, log_prior = FLAT, np.log(np.diff(edges) / (edges[-1] - edges[0]))
    if settings.prior == "scan":
        tissue, log_prior = learn_rate_prior(signals, rates, edges, settings.em)
    pieces = (signals.take(slice(i, i + 4096)) for i in range(0, x.shape[0], 4096))
    teacher = normalised(np.concatenate([project(piece, rates, tissue).log_evidence for piece in pieces]) + log_prior)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PhysicsNetwork(x.shape[1], settings)
    network.shift.copy_(torch.as_tensor(x.mean(0)))
    network.scale.copy_(torch.as_tensor(np.where(x.std(0) > 1e-6, x.std(0), 1.0)))
    network.log_prior.copy_(torch.as_tensor(log_prior))
    network.to(compute.device)
    inputs, target = (torch.as_tensor(a, dtype=torch.float32, device=compute.device) for a in (x, teacher))

    def losses(epoch: int) -> Iterator[torch.Tensor]:
        order = np.random.default_rng([seed, 2, epoch]).permutation(x.shape[0])
        for i in range(0, order.size, settings.batch):
            part = torch.as_tensor(order[i : i + settings.batch], device=compute.device)
            yield -(target[part] * network(inputs[part])).sum(dim=1).mean()

    end = practise(
        network, losses, lambda loss: loss, Plan(settings.rounds, settings.patience, settings.learning_rate),
        compute=compute, state=state, tell=tell, keep=keep,
    )  # fmt: skip

    def estimate(values: FloatArray) -> FloatArray:
        return moments(signals, network.probabilities(values), rates, tissue)[0]

    found = np.quantile(unfiltered_level(signals), [0.001, 0.999])
    limits = snr or (float(found[0]), float(found[1]))
    return Checkpoint.of(
        "physics", network, survey(signals, estimate, limits, quantile=1.0 if snr else SCAN_QUANTILE), signals.model,
        signals.protocol, architecture={
            "inputs": x.shape[1], "settings": dataclasses.asdict(settings), "adc": list(tissue.adc), "sigma": list(tissue.sigma)
        },
        s0="known" if signals.known else "per-series", prior=prior, training={"seed": seed, **end.numbers()},
    )  # fmt: skip


def tissue_of(checkpoint: Checkpoint) -> Tissue:
    """Return the Gaussians of ADC and sigma that a network was taught with."""
    adc, sigma = (
        (float(mean), float(inverse)) for mean, inverse in (checkpoint.architecture.get(k, (0, 0)) for k in ("adc", "sigma"))
    )
    return Tissue(adc, sigma)


def moments(signals: Signals, q: FloatArray, rates: FloatArray, tissue: Tissue = FLAT) -> tuple[FloatArray, FloatArray]:
    """Return mean and SD [voxel, 3] of (ADC, sigma, AXR) when the rates have probabilities q [voxel, rate]."""
    mean, sd = np.empty((q.shape[0], 3)), np.empty((q.shape[0], 3))
    for start in range(0, q.shape[0], 4096):
        rows = slice(start, start + 4096)
        c, p = project(signals.take(rows), rates, tissue), q[rows]
        whole = np.broadcast_to(rates, p.shape)
        for j, (value, inner) in enumerate(((c.adc, c.adc_sd), (c.sigma, c.sigma_sd), (whole, None))):
            mean[rows, j] = (p * value).sum(axis=1)
            spread = (value - mean[rows, j, None]) ** 2 + (0.0 if inner is None else inner**2)
            sd[rows, j] = np.sqrt((p * spread).sum(axis=1))
    return mean, sd
