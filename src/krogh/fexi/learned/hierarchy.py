"""Learn encoder and prior together from an unlabelled scan.

In turn: train the network on voxels simulated from a widened copy of the prior, with the S0 and noise of the scan; draw weighted
samples for the scan's own voxels; move the prior to the maximum of the importance-weighted bound. Last, the network is trained
for the prior that was found. The search begins at the prior of the twin on the dictionary (estimator ``eb``), which also settles
the number of components: begun elsewhere, the bound with few samples can hold it at a spread of AXR that is twice too wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from krogh.fexi.learned.ascend import Learning, ascend
from krogh.fexi.learned.encoder import Encoder, Settings, Simulator, train
from krogh.fexi.learned.prior import MixturePrior, to_u
from krogh.fexi.learned.sampling import SampledEvidence, Signals, draw_samples

__all__ = ["Schedule", "Trained", "new_encoder", "simulator", "train_on_scan", "widened"]

FloatArray = NDArray[np.float64]
_ROUNDS = 40
#: Called with (step, steps in all, loss).
Tell = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Schedule:
    """Hold how long is trained: steps of the network before each of the moves of the prior, and at the end."""

    cycles: tuple[int, ...] = (400, 200)
    final: int = 600
    samples: int = 32
    voxels: int = 10_000

    @property
    def steps(self) -> int:
        """Network steps in all."""
        return sum(self.cycles) + self.final


@dataclass(frozen=True)
class Trained:
    """Hold a trained network and the prior that it is for; ``signal_to_noise`` are the 0.1 and 99.9 % of ln|z| per series."""

    encoder: Encoder
    prior: MixturePrior
    signal_to_noise: FloatArray
    converged: bool
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
    start: MixturePrior,
    *,
    settings: Settings | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
    tell: Tell = lambda i, n, loss: None,
) -> Trained:
    """Return the network and the prior learned from `signals`, beginning at the prior `start`.

    The same seed gives the same bytes on the same machine.
    """
    settings, schedule = settings or Settings(), schedule or Schedule()
    n, n_par = signals.z.shape[0], signals.model.bounds.shape[0]
    some = signals.take(np.linspace(0, n - 1, min(n, schedule.voxels)).astype(np.intp))
    prior = start
    encoder = new_encoder(some.inputs().shape[1], n_par, settings, seed)
    encoder.standardise(*simulator(some, widened(prior).draw, 8192, seed)(0))
    losses: list[float] = []
    done, converged = 0, True

    def note(step: int, loss: float) -> None:
        losses.append(loss)
        tell(done + step, schedule.steps, loss)

    for cycle, steps in enumerate(schedule.cycles):
        train(encoder, simulator(some, widened(prior).draw, settings.batch, seed + 1000 * (cycle + 1)), steps=steps, tell=note)
        done += steps
        guess = encoder.posterior(some.inputs())
        evidence = SampledEvidence(*draw_samples(some, guess, prior, schedule.samples, seed + cycle))
        found = ascend(evidence, prior, max_rounds=_ROUNDS) if prior.n_components else Learning(prior, (), True)
        prior, converged = found.prior, found.converged
    final = simulator(some, _mostly(prior), settings.batch, seed + 99_000)
    train(encoder, final, steps=schedule.final, tell=note)
    ranges = np.quantile(np.log(np.maximum(signals.z[:, signals.pointer[:-1]], 1e-3)), [0.001, 0.999], axis=0).T
    return Trained(encoder.eval(), prior, ranges, converged, tuple(losses))


def _mostly(prior: MixturePrior) -> Callable[[int, np.random.Generator], FloatArray]:
    """Return a sampler of `prior` that takes one tissue in ten from its widened copy."""
    wide = widened(prior)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        few = n // 10
        return np.concatenate([prior.draw(n - few, rng), wide.draw(few, rng)])

    return draw
