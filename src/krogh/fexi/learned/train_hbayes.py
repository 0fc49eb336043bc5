"""Train the networks of an unlabelled scan, one per tissue label: on voxels simulated from its prior, with its S0 and its noise.

The prior comes from the evidence summed over a dictionary (:mod:`krogh.fexi.learned.scan_prior`) and not from the
importance-weighted bound of the network: with m samples that bound is too low by the variance of the weights / 2m in every voxel,
over 10,000 voxels by more than what tells one prior from another, so that it prefers a prior as wide as the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from krogh.fexi.interface import Progress
from krogh.fexi.learned.checkpoint import Checkpoint, load_into
from krogh.fexi.learned.conditions import unfiltered_level
from krogh.fexi.learned.encoder import Encoder, HbayesSettings
from krogh.fexi.learned.novelty import survey
from krogh.fexi.learned.practice import PROCESSOR, Compute, Plan, State, Tell, practise
from krogh.fexi.learned.prior import MixturePrior, to_theta, to_u
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.scan import Scan
from krogh.fexi.learned.scan_prior import PriorChoice, ScanPrior, group_rows, reduced, scan_priors
from krogh.fexi.precision import check_identifiable

__all__ = ["HbayesSettings", "build", "learn_hierarchy", "simulator", "train_networks", "widened"]

FloatArray = NDArray[np.float64]
#: Called with (voxels, generator); returns tissues theta [voxel, param].
Draw = Callable[[int, np.random.Generator], FloatArray]
#: Called with (voxels, stream of random numbers); returns noisy voxels and their tissues theta [voxel, param].
Simulator = Callable[[int, list[int]], tuple[Signals, FloatArray]]
#: Scans whose SNR is that of the training within this factor can be fitted with the same networks.
SNR_MARGIN = 1.35
_HELD_OUT = 4096
_SURVEYED = 32_768
_SCALED = 8192


def build(checkpoint: Checkpoint) -> dict[int, Encoder]:
    """Return the network of each tissue label of a checkpoint."""
    a = checkpoint.architecture
    networks = _networks(list(map(int, a["labels"])), int(a["inputs"]), int(a["parameters"]), HbayesSettings(**a["settings"]))
    load_into(networks, checkpoint)
    return {int(label): _encoder(networks, int(label)) for label in networks}


def learn_hierarchy(
    scan: Scan, *, labels: ArrayLike | None = None, prior: PriorChoice = "scan", max_components: int = 5,
    settings: HbayesSettings | None = None, seed: int = 0, compute: Compute = PROCESSOR, threads: int = 1,
    progress: Progress | None = None, state: State | None = None, tell: Tell = lambda i, n, loss, score: None,
    keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return the prior and the network of each tissue of a scan.

    Parameters
    ----------
    labels : array of int [voxel], optional
        Tissues; all voxels are one (label 0) without.
    prior, max_components : optional
        As of :func:`krogh.fexi.learned.scan_prior.scan_priors`.
    settings, seed, compute : optional
        Of the networks; the same seed gives the same bytes on the same machine (on the processor).
    progress : callable, optional
        Told of the steps of the search for the prior.
    state, tell, keep : optional
        Of the networks, as of :func:`krogh.fexi.learned.practice.practise`. The prior is learned again on resuming.

    Raises
    ------
    InputError
        If the protocol cannot tell the parameters of the model apart, or no voxel is usable.
    """
    check_identifiable(scan.model, scan.protocol, s0_free=scan.s0 is None)
    groups = {label: rows for label, rows in group_rows(scan, labels).items() if rows.size}
    found = scan_priors(scan, scan.dictionary(), groups, prior, max_components=max_components, threads=threads, progress=progress)
    priors = {k: dataclasses.replace(p, predictive=reduced(p.predictive, p.best)) for k, p in found.items()}
    parts = {label: scan.part(rows) for label, rows in groups.items()}
    return train_networks(parts, priors, settings=settings, seed=seed, compute=compute, state=state, tell=tell, keep=keep)


def train_networks(
    parts: Mapping[int, Signals], priors: Mapping[int, ScanPrior], *, settings: HbayesSettings | None = None, seed: int = 0,
    compute: Compute = PROCESSOR, state: State | None = None, tell: Tell = lambda i, n, loss, score: None,
    keep: Callable[[State], None] = lambda state: None,
) -> Checkpoint:  # fmt: skip
    """Return one network per label, for the voxels `parts` and the `priors` of that label; all are trained side by side."""
    settings, labels, first = settings or HbayesSettings(), sorted(parts), next(iter(parts.values()))
    n_inputs, bounds = first.inputs().shape[1], first.model.bounds
    wide = {k: simulator(parts[k], widened(priors[k].predictive).draw) for k in labels}
    mostly = {k: simulator(parts[k], _mostly(priors[k].predictive)) for k in labels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = _networks(labels, n_inputs, bounds.shape[0], settings)
    for k in labels:
        made, theta = wide[k](_SCALED, [seed, 1, k])
        _encoder(networks, k).standardise(made.inputs(), to_u(theta, bounds))
    networks.to(compute.device)

    def loss(n: int, stream: list[int]) -> torch.Tensor:
        losses = []
        for k in labels:
            made, theta = mostly[k](n, [seed, *stream, k])
            x, u = (torch.as_tensor(a, dtype=torch.float32, device=compute.device) for a in (made.inputs(), to_u(theta, bounds)))
            losses.append(-_encoder(networks, k).log_density(x, u).mean())
        return torch.stack(losses).mean()

    def losses(i: int) -> Iterator[torch.Tensor]:
        for j in range(settings.steps):
            yield loss(settings.batch, [3, i, j])

    def score(_: float) -> float:
        with torch.no_grad():
            return float(loss(_HELD_OUT, [2]))

    plan = Plan(settings.rounds, settings.patience, settings.learning_rate)
    end = practise(networks, losses, score, plan, compute=compute, state=state, tell=tell, keep=keep)
    return _checkpoint(networks.cpu(), parts, priors, mostly, settings, seed, end)


def _checkpoint(
    networks: nn.ModuleDict, parts: Mapping[int, Signals], priors: Mapping[int, ScanPrior], mostly: Mapping[int, Simulator],
    settings: HbayesSettings, seed: int, end: State,
) -> Checkpoint:  # fmt: skip
    """Return networks, priors and what the training filled, for the range of SNR of the scan."""
    labels, first = sorted(parts), next(iter(parts.values()))
    each = -(-_SURVEYED // len(labels))
    seen = {k: mostly[k](each, [seed, 4, k])[0] for k in labels}
    theta = np.concatenate([_middle(_encoder(networks, k), seen[k], first.model.bounds) for k in labels])
    z, level = (np.concatenate([getattr(s, name) for s in seen.values()]) for name in ("z", "level"))
    whole = dataclasses.replace(first, z=z, level=level)
    low, high = np.quantile(np.concatenate([unfiltered_level(p) for p in parts.values()]), [0.001, 0.999])
    region = survey(whole, lambda x: theta, (float(low) / SNR_MARGIN, float(high) * SNR_MARGIN))
    return Checkpoint.of(
        "hbayes", networks, region, first.model, first.protocol,
        architecture={
            "labels": labels, "inputs": region.mean.size, "parameters": first.model.bounds.shape[0],
            "settings": dataclasses.asdict(settings),
        },
        s0="known" if first.known else "per-series", prior=None, priors=dict(priors), training={"seed": seed, **end.numbers()},
    )  # fmt: skip


def _networks(labels: list[int], n_inputs: int, n_par: int, settings: HbayesSettings) -> nn.ModuleDict:
    return nn.ModuleDict({str(k): Encoder(n_inputs, n_par, settings) for k in labels})


def _encoder(networks: nn.ModuleDict, label: int) -> Encoder:
    network = networks[str(label)]
    assert isinstance(network, Encoder)
    return network


def _middle(network: Encoder, signals: Signals, bounds: FloatArray) -> FloatArray:
    """Return the tissue in the middle of what the network answers [voxel, param]."""
    found = network.posterior(signals.inputs())
    return to_theta(np.einsum("vk,vkp->vp", found.weight, found.mean), bounds)


def widened(prior: MixturePrior) -> MixturePrior:
    """Return `prior` with twice the widths in three quarters of its mass and uniform in the rest."""
    weight = np.r_[0.25, 0.75 * prior.weight[1:] / max(prior.weight[1:].sum(), 1e-12)] if prior.n_components else np.ones(1)
    return MixturePrior(prior.bounds, weight / weight.sum(), prior.mean, 4.0 * prior.cov)


def _mostly(prior: MixturePrior) -> Draw:
    """Return a sampler of `prior` that takes one tissue in ten from its widened copy."""
    wide = widened(prior)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        few = n // 10
        return np.concatenate([prior.draw(n - few, rng), wide.draw(few, rng)])

    return draw


def simulator(signals: Signals, draw: Draw) -> Simulator:
    """Return a function that simulates voxels of tissues `draw` with S0 over noise as in `signals`, within a factor of 1.35."""
    first = signals.pointer[:-1]
    lowest = signals.z[:, first]
    b = signals.protocol.b_s_m2[signals.order]
    if not signals.known and np.any(np.minimum.reduceat(b, first) != b[first]):
        picks = [int(a + np.argmin(b[a:e])) for a, e in zip(first, signals.pointer[1:], strict=True)]
        lowest = signals.z[:, picks]
    pool = signals.level if signals.known else np.maximum(lowest, 1.0)
    sizes, margin = np.diff(signals.pointer), np.log(SNR_MARGIN)

    def simulate(n: int, stream: list[int]) -> tuple[Signals, FloatArray]:
        rng = np.random.default_rng(stream)
        theta = draw(n, rng)
        level = pool[rng.integers(pool.shape[0], size=n)] * np.exp(rng.uniform(-margin, margin, (n, 1)))
        clean = np.repeat(level, sizes, axis=1) * signals.model.shape(theta, signals.protocol)[:, signals.order]
        noise = rng.standard_normal((2, *clean.shape))
        return dataclasses.replace(signals, z=np.hypot(clean + noise[0], noise[1]), level=level), theta

    return simulate
