"""Least squares in the signal domain: the global optimum of every voxel.

The AXR model runs through a compiled search over all valleys of the AXR profile; the compartment models through a batched
Levenberg-Marquardt search from several starts. Same cost as ``nlls27``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.estimators._assemble import assemble, known_s0
from krogh.fexi.estimators._reduce import check_signals, input_flags, reduce_protocol
from krogh.fexi.estimators._search import TO_KERNEL, run_chunks, search_axr
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
    s0: str | ArrayLike = "per-series",
    weights: ArrayLike | None = None,
    intervals: bool = False,
    level: float = 0.95,
    **settings: Any,
) -> Estimate:
    """Fit every voxel by weighted least squares with S0 of each series eliminated.

    Minimises ``sum w (y - S0 shape(theta))^2`` within the bounds of the model.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired (not divided by b = 0), any unit.
    noise_sd : float or array [voxel], optional
        Noise SD in the unit of the signals, for SD, intervals and the SNR flag; without it the residuals serve where at least 5
        degrees of freedom are left.
    s0 : {"per-series", "known"} or array
        Free S0 per series, S0 = 1, or given values [voxel, series].
    weights : array [volume], optional
        Relative inverse variances.
    intervals : bool, optional
        Also return profile-likelihood intervals at `level` (AXR model; costs about 30 times the fit).
    snr_limit : float, optional
        Fitted unfiltered S0 over noise SD below which a voxel is flagged (default 5).

    Returns
    -------
    Estimate
        ``cost`` is the weighted sum of squares.

    Notes
    -----
    A voxel whose optimum lies on a bound keeps that value with ``Flag.ON_BOUND``: it says "at least" or "at most". With sigma
    on 0 the data say nothing about AXR and its value has no meaning.
    """
    if model.name != "axr":
        from krogh.fexi.estimators._lm import fit_batched

        return fit_batched(
            model, protocol, signals, noise_sd=noise_sd, progress=progress, threads=threads, s0=s0, weights=weights, **settings
        )
    y_all = check_signals(signals, protocol)
    reduced = reduce_protocol(protocol, weights)
    n = y_all.shape[0]
    given = known_s0(s0, n, protocol.n_series)
    flag = input_flags(y_all)
    theta, s0_fit = np.full((n, 3), np.nan), np.full((n, protocol.n_series), np.nan)
    cost, sd = np.full(n, np.nan), np.full((n, 3), np.nan)

    def work(part: slice) -> None:
        inside = flag[part] == Flag.OK
        rows = part if inside.all() else np.arange(part.start, part.stop)[inside]
        u, scatter = reduced.merge(y_all[rows].astype(float, copy=False))
        found = search_axr(reduced, u, None if given is None else given[rows], model.bounds)
        theta[rows], s0_fit[rows], cost[rows] = found[0] / TO_KERNEL, found[1], found[3] + scatter
        sd[rows] = found[2] / TO_KERNEL
        flag[rows] = np.where(found[4] == 1, np.uint8(Flag.NOT_CONVERGED), flag[rows])

    run_chunks(work, n, threads=threads, progress=progress)
    free = given is None
    estimate = assemble(
        model, protocol, y_all, theta, s0_fit, cost, flag, noise_sd, reduced.weight, "nlls", free, unit_sd=sd, **settings
    )
    if intervals:
        from krogh.fexi.estimators._profile import add_intervals

        return add_intervals(estimate, model, reduced, y_all, given, level=level, threads=threads)
    return estimate
