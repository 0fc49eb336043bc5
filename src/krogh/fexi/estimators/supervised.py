"""Supervised networks: trained on simulated voxels whose tissues are known, with those (or their best fits) as labels.

True labels lead to the posterior mean under the prior of the simulation, best-fit labels to a smooth copy of the fit: the label
sets the balance of bias and variance (Epstein 2022). ``npe`` gives the whole posterior; this is the classic beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.interface import Estimate, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = NDArray[np.float64]
NOTE = "SDs of supervised are the network's own expected error under the prior it was trained with, not under that of this scan"


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
    """Fit every voxel by a network that learned tissues from simulated signals.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit.
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        As the network was trained.
    weights : krogh.fexi.learned.checkpoint.Checkpoint, optional
        A trained network; default: trained for the SNR of these voxels under a uniform prior.
    vetted : bool, optional
        Whether `prepare` has compared the SNR of the whole scan with that of the training already.
    training : krogh.fexi.learned.points.PointSettings, optional
        As of ``selfsup``; ``labels`` is "true" or "ml".
    compute : krogh.fexi.learned.practice.Compute, optional
        Where the network is trained; default: on the processor.
    seed : int, optional
        Of the training.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        ``sd`` is the expected error under the training prior, ``interval`` +- 1.96 of it; ``extra["outside"]`` as of ``npe``.

    Raises
    ------
    UsageError, InputError
        As of ``npe``.

    References
    ----------
    Epstein et al. 2022, "Choice of training label matters" (arXiv).
    """
    from krogh.fexi.learned.point_estimate import apply_network
    from krogh.fexi.learned.scan import prepare_scan

    if not vetted or weights is None:
        weights = prepare(
            model,
            protocol,
            signals,
            noise_sd=noise_sd,
            progress=progress,
            s0=s0,
            weights=weights,
            training=training,
            compute=compute,
            seed=seed,
        )["weights"]
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    return apply_network(
        scan, weights, "supervised", interval_words="expected-error (under the training prior)", note=NOTE,
        snr_limit=snr_limit, vetted=True,
    )  # fmt: skip


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
    """Return the setting ``weights``: as given, or trained for the SNR of `signals`."""
    from krogh.fexi.learned.conditions import Conditions, snr_range
    from krogh.fexi.learned.point_estimate import scan_signals
    from krogh.fexi.learned.practice import PROCESSOR, telling
    from krogh.fexi.learned.prior import uniform_prior
    from krogh.fexi.learned.train_points import train_supervised

    part = scan_signals(model, protocol, signals, noise_sd, s0)[1]
    if weights is not None:
        weights.check("supervised", part)
        weights.check_noise(part)
        return {"weights": weights, "vetted": True}
    conditions = Conditions(
        model, protocol, uniform_prior(model.bounds), snr_range(part), "known" if part.known else "per-series"
    )
    return {
        "weights": train_supervised(
            conditions, settings=training, seed=seed, compute=compute or PROCESSOR,
            tell=telling(progress),
        ),
        "vetted": True,
    }  # fmt: skip
