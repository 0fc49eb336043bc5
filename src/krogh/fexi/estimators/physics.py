"""The physics-informed network: it predicts the exchange rate alone, as a posterior on a grid; the model gives the rest.

ADC, sigma and S0 follow in closed form from signals and rate (variable projection), so that the network cannot trade them against
each other, and every answer obeys the model.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = NDArray[np.float64]


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    s0: str | ArrayLike = "per-series",
    weights: Any = None,
    vetted: bool = False,
    training: Any = None,
    compute: Any = None,
    seed: int = 0,
    snr_limit: float = 5.0,
) -> Estimate:
    """Fit every voxel by a posterior of AXR from a network, and the other parameters by the model.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit.
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        Free S0 per series (eliminated), S0 = 1, or values [voxel, series].
    weights : krogh.fexi.learned.checkpoint.Checkpoint, optional
        A trained network; default: trained on these voxels.
    vetted : bool, optional
        Whether `prepare` has compared the SNR of the whole scan with that of the training already.
    training : krogh.fexi.learned.train_physics.PhysicsSettings, optional
        ``prior`` "scan" (ADC, sigma and rates learned from the voxels) or "flat" (uniform within the bounds); shape and length
        of the training.
    compute : krogh.fexi.learned.practice.Compute, optional
        Where the network is trained; default: on the processor.
    seed : int, optional
        Of the training.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        Posterior means, SDs, quantiles as of ``eb``; ``extra["rates"]`` and ``extra["probabilities"]`` [voxel, rate] are the
        posterior of AXR on its grid.

    Raises
    ------
    UsageError
        If the model is not ``axr``: only there does the closed form exist.
    InputError, UsageError
        As of ``npe``.
    """
    from krogh.fexi.learned.point_estimate import scan_signals
    from krogh.fexi.learned.projection import rate_grid
    from krogh.fexi.learned.train_physics import build, moments, tissue_of

    scan, strong = scan_signals(model, protocol, signals, noise_sd, s0)
    checkpoint = weights or _train(strong, training, compute, progress, seed)
    rows = scan.usable
    part = scan.part(rows)
    checkpoint.check("physics", part)
    if not vetted:
        checkpoint.check_noise(part)
    rates, edges = rate_grid(model, int(checkpoint.architecture["settings"]["rates"]))
    x = part.inputs()
    q = build(checkpoint).probabilities(x)
    mean, sd = moments(part, q, rates, tissue_of(checkpoint))
    found = Posterior(mean, sd, _quantiles(mean, sd, q, edges, model.bounds), np.full(rows.size, np.nan))
    outside, by_snr = checkpoint.region.outside(part, x, mean)
    extra = {"prior": checkpoint.prior, "weights": checkpoint, "converged": True, "rates": rates}
    made = assemble_posterior(scan, [(rows, found)], 3, "physics", extra, scan.notes, snr_limit=snr_limit)
    whole, spread = np.zeros(signals.shape[0], bool), np.full((signals.shape[0], rates.size), np.nan)
    whole[rows], spread[rows] = outside, q
    notes = list(made.notes)
    if whole.any():
        why = f", {int(by_snr.sum())} of them by their SNR" if by_snr.any() else ""
        notes.append(f"{int(whole.sum())} voxel(s) are unlike anything the network was trained on{why} (flag 7)")
    flag = np.where(whole & (made.flag == Flag.OK), np.uint8(Flag.OUTSIDE_TRAINING), made.flag)
    return dataclasses.replace(
        made, flag=flag, notes=tuple(notes), extra={**made.extra, "outside": whole, "probabilities": spread}
    )


def prepare(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    s0: str | ArrayLike = "per-series",
    weights: Any = None,
    training: Any = None,
    compute: Any = None,
    seed: int = 0,
    **_: Any,
) -> dict[str, Any]:
    """Return the setting ``weights``: as given, or a network taught on `signals`, for fits of the same scan in pieces."""
    from krogh.fexi.learned.point_estimate import scan_signals

    part = scan_signals(model, protocol, signals, noise_sd, s0)[1]
    if weights is None:
        return {"weights": _train(part, training, compute, progress, seed), "vetted": True}
    weights.check("physics", part)
    weights.check_noise(part)
    return {"weights": weights, "vetted": True}


def _train(part: Any, training: Any, compute: Any, progress: Progress | None, seed: int) -> Any:
    from krogh.fexi.learned.practice import PROCESSOR, telling
    from krogh.fexi.learned.train_physics import learn_rates

    return learn_rates(
        part,
        settings=training,
        seed=seed,
        compute=compute or PROCESSOR,
        tell=telling(progress),
    )


def _quantiles(mean: FloatArray, sd: FloatArray, q: FloatArray, edges: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return quantiles [voxel, 3, level]: of AXR from its grid, of the others as of Gaussians within the bounds."""
    from krogh.fexi.learned.projection import normal_quantiles

    levels = np.array(QUANTILES)
    out = np.empty((mean.shape[0], 3, levels.size))
    for j, unit in ((0, 1e-9), (1, 1.0)):
        out[:, j] = unit * normal_quantiles(mean[:, j] / unit, sd[:, j] / unit, levels, bounds[j] / unit)
    below = np.concatenate([np.zeros((q.shape[0], 1)), np.cumsum(q, axis=1)], axis=1)
    cell = np.stack([np.clip((below[:, 1:] < level).sum(axis=1), 0, q.shape[1] - 1) for level in levels], axis=1)
    start = np.take_along_axis(below, cell, axis=1)
    share = (levels - start) / np.maximum(np.take_along_axis(q, cell, axis=1), 1e-12)
    out[:, 2] = edges[cell] + np.diff(edges)[cell] * np.clip(share, 0, 1)
    return out
