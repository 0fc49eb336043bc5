"""Train networks that give one value per parameter: on the signals alone (self-supervised), or on labels (supervised)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.learned.checkpoint import Checkpoint, load_into
from krogh.fexi.learned.conditions import Conditions, unfiltered_level
from krogh.fexi.learned.novelty import survey
from krogh.fexi.learned.points import PointNetwork, PointSettings, fractions, label_loss, signal_loss
from krogh.fexi.learned.practice import PROCESSOR, Compute, Plan, State, Tell, practise
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.sampling import Signals

__all__ = ["PointSettings", "build", "learn_from_signals", "train_selfsup", "train_supervised"]

FloatArray = NDArray[np.float64]
_HELD_OUT = 8192
#: Share of a scan that its own region leaves out: artefacts must not widen it.
SCAN_QUANTILE = 0.999


def build(checkpoint: Checkpoint) -> PointNetwork:
    """Return the network of a checkpoint."""
    a = checkpoint.architecture
    settings = PointSettings(**{**a["settings"], "parameter_weights": tuple(a["settings"]["parameter_weights"])})
    network = PointNetwork(int(a["inputs"]), int(a["parameters"]), settings, spread=bool(a["spread"]))
    load_into(network, checkpoint)
    return network


def train_selfsup(
    conditions: Conditions, *, settings: PointSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR,
    state: State | None = None, tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return a network trained on the signals of simulated voxels, whose tissues it is not told."""
    settings = settings or PointSettings()
    signals, _ = conditions.simulate(settings.voxels, [seed, 1])
    return learn_from_signals(
        signals, settings=settings, seed=seed, compute=compute, state=state, tell=tell, keep=keep, prior=conditions.prior,
        snr=conditions.snr,
    )  # fmt: skip


def learn_from_signals(
    signals: Signals, *, settings: PointSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR,
    state: State | None = None, tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
    prior: MixturePrior | None = None, snr: tuple[float, float] | None = None,
) -> Checkpoint:  # fmt: skip
    """Return a network trained to reproduce `signals` through the model: no labels, no prior.

    The mean loss of an epoch decides; training ends after ``patience`` epochs without a better one (Adam, constant rate).
    """
    settings = settings or PointSettings()
    x, weight = signals.inputs(), _weights(settings, signals.model.bounds.shape[0])
    network = _network(x, weight.size, settings, seed, compute, spread=False)
    inputs, z, level = (torch.as_tensor(a, dtype=torch.float32, device=compute.device) for a in (x, signals.z, signals.level))

    def losses(epoch: int) -> Iterator[torch.Tensor]:
        for rows in _batches(x.shape[0], settings.batch, [seed, 2, epoch]):
            part = torch.as_tensor(rows, device=compute.device)
            yield signal_loss(network(inputs[part])[0], signals, z[part], level[part], settings.loss, weight)

    end = practise(
        network, losses, lambda loss: loss, Plan(settings.rounds, settings.patience, settings.learning_rate, decay=False),
        compute=compute, state=state, tell=tell, keep=keep,
    )  # fmt: skip
    found = np.quantile(unfiltered_level(signals), [0.001, 0.999])
    limits = snr or (float(found[0]), float(found[1]))
    return _checkpoint("selfsup", network, signals, settings, seed, end, prior, limits, 1.0 if snr else SCAN_QUANTILE)


def train_supervised(
    conditions: Conditions, *, settings: PointSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR,
    state: State | None = None, tell: Tell = lambda i, n, loss, score: None, keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return a network trained on simulated voxels with the true tissues ("true"), or their best fits ("ml"), as labels."""
    settings = settings or PointSettings()
    bounds = conditions.model.bounds
    weight = _weights(settings, bounds.shape[0])
    signals, theta = conditions.simulate(settings.voxels, [seed, 1])
    network = _network(signals.inputs(), weight.size, settings, seed, compute, spread=True)

    def ready(part: Signals, truth: FloatArray) -> list[torch.Tensor]:
        labels = truth if settings.labels == "true" else _best_fit(part)
        arrays = (part.inputs(), fractions(labels, bounds), fractions(truth, bounds))
        return [torch.as_tensor(a, dtype=torch.float32, device=compute.device) for a in arrays]

    data, held = ready(signals, theta), ready(*conditions.simulate(_HELD_OUT, [seed, 3]))
    spread = 1 / np.maximum(np.var(fractions(theta, bounds), axis=0), 1e-6)

    def losses(epoch: int) -> Iterator[torch.Tensor]:
        for rows in _batches(settings.voxels, settings.batch, [seed, 2, epoch]):
            part = torch.as_tensor(rows, device=compute.device)
            yield label_loss(network, [d[part] for d in data], weight * spread)

    def score(_: float) -> float:
        with torch.no_grad():
            return float(label_loss(network, held, weight * spread))

    end = practise(
        network,
        losses,
        score,
        Plan(settings.rounds, settings.patience, settings.learning_rate),
        compute=compute,
        state=state,
        tell=tell,
        keep=keep,
    )
    return _checkpoint("supervised", network, signals, settings, seed, end, conditions.prior, conditions.snr, 1.0)


def _weights(settings: PointSettings, n_par: int) -> FloatArray:
    given = np.asarray(settings.parameter_weights, float)
    if given.size not in (1, n_par):
        raise InputError("parameter_weights", got=f"{given.size} numbers", expected=f"1 or {n_par}, e.g. 1:1:5")
    return np.broadcast_to(given, (n_par,)).copy()


def _network(x: FloatArray, n_par: int, settings: PointSettings, seed: int, compute: Compute, *, spread: bool) -> PointNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PointNetwork(x.shape[1], n_par, settings, spread=spread)
    network.standardise(x)
    return network.to(compute.device)


def _batches(n: int, size: int, seed: list[int]) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(n)
    yield from (order[i : i + size] for i in range(0, n, size))


def _best_fit(signals: Signals) -> FloatArray:
    """Return the maximum-likelihood tissues within the bounds: Rician for the AXR model, else Gaussian."""
    from krogh.fexi.estimators import get_estimator

    y = np.empty_like(signals.z)
    y[:, signals.order] = signals.z
    s0: dict[str, Any] = {"s0": signals.level} if signals.known else {}
    name = "rician" if signals.model.name == "axr" else "nlls"
    found = get_estimator(name)(signals.model, signals.protocol, y, noise_sd=1.0, **s0)
    theta = found.theta()
    middle = signals.model.bounds.mean(axis=1)
    return np.where(np.isfinite(theta), theta, middle)


def _checkpoint(
    name: str, network: PointNetwork, signals: Signals, settings: PointSettings, seed: int, end: State,
    prior: MixturePrior | None, snr: tuple[float, float], quantile: float,
) -> Checkpoint:  # fmt: skip
    bounds = signals.model.bounds

    def estimate(x: FloatArray) -> FloatArray:
        return np.asarray(bounds[:, 0] + np.ptp(bounds, axis=1) * network.estimate(x)[0])

    shape = dataclasses.asdict(settings)
    return Checkpoint.of(
        name, network, survey(signals, estimate, snr, quantile=quantile), signals.model, signals.protocol,
        architecture={
            "inputs": network.shift.numel(), "parameters": bounds.shape[0], "spread": network.spread,
            "settings": {**shape, "parameter_weights": list(settings.parameter_weights)},
        },
        s0="known" if signals.known else "per-series", prior=prior, training={"seed": seed, **end.numbers()},
    )  # fmt: skip
