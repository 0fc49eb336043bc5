"""Train the encoder of an unlabelled scan: on voxels simulated from its prior, with its S0 and its noise.

The prior comes from the evidence summed over a dictionary (:mod:`krogh.fexi.learned.scan_prior`) and not from the
importance-weighted bound of the network: with m samples that bound is too low by the variance of the weights / 2m in every voxel,
over 10,000 voxels by more than what tells one prior from another, so that it prefers a prior as wide as the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from krogh.fexi.learned.encoder import Encoder, Settings, Simulator, train
from krogh.fexi.learned.prior import MixturePrior, to_u
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.scan_prior import ScanPrior

__all__ = ["Trained", "new_encoder", "simulator", "train_on_scan", "widened"]

FloatArray = NDArray[np.float64]
#: Steps of the network.
STEPS = 800
#: Called with (step, steps in all, loss).
Tell = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Trained:
    """Hold a trained network and the prior that it is for; ``signal_to_noise`` are the 0.1 and 99.9 % of ln|z| per series."""

    encoder: Encoder
    prior: ScanPrior
    signal_to_noise: FloatArray
    losses: tuple[float, ...] = field(default_factory=tuple)


def widened(prior: MixturePrior) -> MixturePrior:
    """Return `prior` with twice the widths in three quarters of its mass and uniform in the rest: what a first network sees."""
    weight = np.r_[0.25, 0.75 * prior.weight[1:] / max(prior.weight[1:].sum(), 1e-12)] if prior.n_components else np.ones(1)
    return MixturePrior(prior.bounds, weight / weight.sum(), prior.mean, 4.0 * prior.cov)


def new_encoder(n_inputs: int, n_par: int, settings: Settings, seed: int) -> Encoder:
    """Return a network with weights drawn from `seed`, leaving the global generator of torch as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(n_inputs, n_par, settings)


def simulator(signals: Signals, draw: Callable[[int, np.random.Generator], FloatArray], batch: int, seed: int) -> Simulator:
    """Return a function that simulates `batch` voxels of tissues `draw` with S0 and noise as in `signals`."""
    first = signals.pointer[:-1]
    bounds, lowest = signals.model.bounds, signals.z[:, first]
    b = signals.protocol.b_s_m2[signals.order]
    if not signals.known and np.any(np.minimum.reduceat(b, first) != b[first]):
        picks = [int(a + np.argmin(b[a:e])) for a, e in zip(first, signals.pointer[1:], strict=True)]
        lowest = signals.z[:, picks]
    pool = signals.level if signals.known else np.maximum(lowest, 1.0)
    sizes = np.diff(signals.pointer)

    def simulate(step: int) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng([seed, step])
        theta = draw(batch, rng)
        rows = rng.integers(pool.shape[0], size=batch)
        clean = np.repeat(pool[rows], sizes, axis=1) * signals.model.shape(theta, signals.protocol)[:, signals.order]
        noise = rng.standard_normal((2, *clean.shape))
        made = Signals(
            signals.model, signals.protocol, np.hypot(clean + noise[0], noise[1]), pool[rows], signals.known, signals.order,
            signals.pointer,
        )  # fmt: skip
        return made.inputs(), to_u(theta, bounds)

    return simulate


def train_on_scan(
    signals: Signals,
    prior: ScanPrior,
    *,
    settings: Settings | None = None,
    steps: int = STEPS,
    seed: int = 0,
    tell: Tell = lambda i, n, loss: None,
) -> Trained:
    """Return the network for `signals` and `prior`; the same seed gives the same bytes on the same machine."""
    settings, sampled = settings or Settings(), prior.predictive
    encoder = new_encoder(signals.inputs().shape[1], sampled.bounds.shape[0], settings, seed)
    encoder.standardise(*simulator(signals, widened(sampled).draw, 8192, seed)(0))
    losses: list[float] = []

    def note(step: int, loss: float) -> None:
        losses.append(loss)
        tell(step, steps, loss)

    train(encoder, simulator(signals, _mostly(sampled), settings.batch, seed + 99_000), steps=steps, tell=note)
    ranges = np.quantile(np.log(np.maximum(signals.z[:, signals.pointer[:-1]], 1e-3)), [0.001, 0.999], axis=0).T
    return Trained(encoder.eval(), prior, ranges, tuple(losses))


def _mostly(prior: MixturePrior) -> Callable[[int, np.random.Generator], FloatArray]:
    """Return a sampler of `prior` that takes one tissue in ten from its widened copy."""
    wide = widened(prior)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        few = n // 10
        return np.concatenate([prior.draw(n - few, rng), wide.draw(few, rng)])

    return draw
