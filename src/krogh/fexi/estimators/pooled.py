"""One ADC, sigma and AXR for all voxels of a region, by their joint likelihood; every voxel keeps its own S0 per series.

With S0 eliminated, the cost of a series over all voxels depends on the data only through the scatter matrix of its signals, M
= sum over voxels of y y' (b by b): ``f(x) = tr M - e' M e / e' e``. So a region of any size is fitted as fast as one voxel,
and exactly. The score has zero mean at the truth, so pooling removes the spread without adding bias (Gaussian noise).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.estimators._reduce import check_signals, input_flags, reduce_protocol
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit"]

FloatArray = NDArray[np.float64]


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    labels: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    intervals: bool = True,
    level: float = 0.95,
    likelihood: str = "gaussian",
) -> Estimate:
    """Fit one set of parameters per region (AXR model).

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired. Voxels with non-finite signals are left out.
    noise_sd : float or array [voxel], optional
        Noise SD. One value per voxel weights the voxels; without it all count alike and one SD per region is estimated from the
        residuals (degrees of freedom: volumes - series per voxel, minus 3).
    labels : array of int [voxel], optional
        Region of each voxel; 0 is left out. Default: one region.
    intervals, level
        Profile-likelihood intervals (default: yes, 95 %).
    likelihood : {"gaussian", "rician"}
        With "rician" the signals are corrected for the noise floor by expectation maximisation (needs about 3 rounds at SNR 50).

    Returns
    -------
    Estimate
        One entry per region in the order of ``extra["labels"]``; ``s0`` [region, series] is the mean over its voxels,
        ``extra["n_voxels"]`` their number, ``extra["s0_voxels"]`` [voxel, series] each voxel's own.

    Raises
    ------
    UsageError
        If the model is not the AXR model, or the likelihood unknown.
    InputError
        If no voxel is usable or the labels do not fit.
    """
    if model.name != "axr":
        raise UsageError(
            "estimator pooled", got=f"model {model.name}", expected="model axr", hint="average the voxels and use nlls"
        )
    if likelihood not in ("gaussian", "rician"):
        raise UsageError("likelihood", got=repr(likelihood), expected="gaussian or rician")
    from krogh.fexi.estimators import _pooled

    y = check_signals(signals, protocol).astype(float)
    region = np.ones(y.shape[0], np.int64) if labels is None else np.asarray(labels)
    if region.shape != (y.shape[0],):
        raise InputError("labels", got=f"shape {region.shape}", expected=f"({y.shape[0]},)")
    usable = (input_flags(y) == Flag.OK) & (region != 0)
    sd = None
    if noise_sd is not None:
        sd = np.broadcast_to(np.asarray(noise_sd, float), (y.shape[0],))
        if np.any(sd[usable] <= 0):
            raise InputError("noise_sd", got="a value that is not > 0", expected="the SD of the noise in the unit of the signal")
        usable &= np.isfinite(sd)
    if not usable.any():
        raise InputError("signals", got="no usable voxel in any region", expected="finite signals in at least one")
    problem = _pooled.Problem(model, protocol, reduce_protocol(protocol, weights), y, region, usable, sd)
    settings: dict[str, Any] = {"intervals": intervals, "level": level, "threads": threads, "progress": progress}
    return _pooled.solve(problem, rician=likelihood == "rician", **settings)
