"""The self-supervised network of the origin experiment, with its faults mended: trained on the signals of the scan, no labels.

It is here to be measured. At low SNR it wins by collapsing AXR to a constant; what it states as its SD is that of an unbiased
estimator, which it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.interface import Estimate, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = NDArray[np.float64]
NOTE = (
    "SDs and intervals of selfsup are Cramer-Rao values at the estimate, those of an unbiased estimator: the network is biased "
    "towards a constant where a voxel says little, and its intervals do not cover the truth at their level"
)


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
    """Fit every voxel by a network that learned to reproduce the signals of the scan.

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
    training : krogh.fexi.learned.points.PointSettings, optional
        Depth, width, activation, learning rate, batch, loss, weights of the parameters, epochs.
    compute : krogh.fexi.learned.practice.Compute, optional
        Where the network is trained; default: on the processor.
    seed : int, optional
        Of the training.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        ``sd`` and ``interval`` (95 %) from the Fisher matrix at the estimate; ``extra["outside"]`` as of ``npe``.

    Raises
    ------
    UsageError, InputError
        As of ``npe``; InputError also where the protocol cannot tell the parameters apart.
    """
    from krogh.fexi.learned.point_estimate import apply_network, scan_signals

    scan, part = scan_signals(model, protocol, signals, noise_sd, s0)
    checkpoint = weights or _train(part, training, compute, progress, seed)
    return apply_network(
        scan,
        checkpoint,
        "selfsup",
        interval_words="Cramer-Rao (not calibrated)",
        note=NOTE,
        snr_limit=snr_limit,
        vetted=vetted,
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
    """Return the setting ``weights``: as given, or a network trained on `signals`, for fits of the same scan in pieces."""
    from krogh.fexi.learned.point_estimate import scan_signals

    part = scan_signals(model, protocol, signals, noise_sd, s0)[1]
    if weights is None:
        return {"weights": _train(part, training, compute, progress, seed), "vetted": True}
    weights.check("selfsup", part)
    weights.check_noise(part)
    return {"weights": weights, "vetted": True}


def _train(part: Any, training: Any, compute: Any, progress: Progress | None, seed: int) -> Any:
    from krogh.fexi.learned.practice import PROCESSOR, telling
    from krogh.fexi.learned.train_points import learn_from_signals
    from krogh.fexi.precision import check_identifiable

    check_identifiable(part.model, part.protocol, s0_free=not part.known)
    return learn_from_signals(
        part,
        settings=training,
        seed=seed,
        compute=compute or PROCESSOR,
        tell=telling(progress),
    )
