"""Turn posteriors into an :class:`Estimate`: the same maps, flags and notes for every learned estimator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from krogh.fexi.interface import Estimate, Flag
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.scan import Scan

__all__ = ["assemble_posterior", "s0_and_squares"]

FloatArray = NDArray[np.float64]
_ODD = 1e-6  # probability of a misfit this large under the model


def s0_and_squares(scan: Scan, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return S0 [voxel, series] (least squares at theta, or as known) and the sum of squares [voxel]."""
    series = scan.protocol.series_index
    shape = scan.model.shape(theta, scan.protocol)
    if scan.s0 is not None:
        s0 = scan.s0
    else:
        member = (series[:, None] == np.arange(scan.protocol.n_series)).astype(float)
        s0 = ((scan.signals * shape) @ member) / ((shape * shape) @ member)
    return s0, np.sum((scan.signals - s0[:, series] * shape) ** 2, axis=1)


def assemble_posterior(
    scan: Scan,
    parts: Iterable[tuple[NDArray[np.intp], Posterior]],
    n_par: int,
    name: str,
    extra: dict[str, Any],
    notes: tuple[str, ...],
    *,
    snr_limit: float,
) -> Estimate:
    """Return the estimate from posteriors of some rows each; other voxels are NaN with their flag.

    ``extra["odd"]`` [voxel] is True where the residual at the posterior mean is larger than noise makes it in one of a million
    voxels: such a voxel is unlike anything that the model can be.
    """
    n = scan.signals.shape[0]
    mean, sd = np.full((n, n_par), np.nan), np.full((n, n_par), np.nan)
    quantiles, log_evidence = np.full((n, n_par, len(QUANTILES)), np.nan), np.full(n, np.nan)
    rank: FloatArray | None = None
    for rows, found in parts:
        mean[rows], sd[rows], quantiles[rows] = found.mean, found.sd, found.quantiles
        log_evidence[rows] = found.log_evidence
        if found.rank is not None:
            rank = np.full((n, n_par), np.nan) if rank is None else rank
            rank[rows] = found.rank
    with np.errstate(invalid="ignore", over="ignore"):
        s0, squares = s0_and_squares(scan, mean)
        degrees = scan.protocol.n_volumes - (scan.protocol.n_series if scan.s0 is None else 0)
        odd = squares / scan.noise**2 > chi2.isf(_ODD, degrees)
        level = s0[:, scan.protocol.series_index[scan.protocol.filter_b_s_m2 == 0]].mean(axis=1)
        flag = scan.flag.copy()
        flag[(flag == Flag.OK) & ~(level >= snr_limit * scan.noise)] = Flag.LOW_SNR
    lost = ~np.isfinite(mean).all(axis=1)
    s0 = np.where(lost[:, None], np.nan, s0)
    if odd.any():
        notes = (*notes, f"{int(odd.sum())} voxel(s) fit no tissue of the model (misfit beyond noise): see the rmse map")
    names = scan.model.parameter_names
    return Estimate(
        parameters={p: mean[:, j] for j, p in enumerate(names)},
        s0=s0,
        rmse=np.where(lost, np.nan, np.sqrt(squares / scan.protocol.n_volumes)),
        cost=-log_evidence,
        flag=flag,
        estimator=name,
        model=scan.model.name,
        sd={p: sd[:, j] for j, p in enumerate(names)},
        interval={p: (quantiles[:, j, 0].copy(), quantiles[:, j, -1].copy()) for j, p in enumerate(names)},
        noise_sd=scan.noise,
        notes=notes,
        extra={**extra, "quantiles": quantiles, "levels": QUANTILES, "log_evidence": log_evidence, "odd": odd, "rank": rank},
    )
