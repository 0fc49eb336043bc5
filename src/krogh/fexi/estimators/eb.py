"""Empirical Bayes on a dictionary: the prior learned from the scan itself, every posterior a sum over tissues.

No network and no sampling: exact to the grid, whose spacing follows the Fisher information. It keeps the learned estimators
honest, and is the one to use where it is fast enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.interface import Estimate, Progress, SignalModel
from krogh.fexi.learned.dictionary import Dictionary
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.local import LocalPriors, local_posterior
from krogh.fexi.learned.neighbours import Neighbours
from krogh.fexi.learned.posterior import posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.learned.scan_prior import PriorChoice, facts, group_rows, problem_under, scan_priors
from krogh.fexi.learned.smooth import check_smooth, smooth_priors
from krogh.fexi.precision import check_identifiable
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
    prior: PriorChoice = "scan",
    labels: ArrayLike | None = None,
    max_components: int = 5,
    grid: Dictionary | None = None,
    at: FloatArray | None = None,
    snr_limit: float = 5.0,
    smooth: Neighbours | None = None,
) -> Estimate:
    """Fit every voxel by its posterior mean under a prior that all voxels share.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit; no volume may be below about 3 noise SD (flagged).
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        Free S0 per series (integrated out over a prior ~ 1 / S0), S0 = 1, or values [voxel, series].
    prior : {"scan", "uniform"}, MixturePrior, or dict of int to MixturePrior
        Learned from these voxels (default; from up to 100,000 of them), uniform within the bounds, or given, for
        all or by tissue label.
    labels : array of int [voxel], optional
        Tissues: one prior is learned for each.
    max_components : int, optional
        Largest number of Gaussians of the prior.
    at : array [voxel, param], optional
        True values, whose posterior ranks go into ``extra["rank"]``.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.
    smooth : Neighbours, optional
        Where the voxels lie and over what length they resemble each other: each gets a prior of its own, that of the scan given
        its neighbours (of the same tissue label).

    Returns
    -------
    Estimate
        Posterior means, ``sd`` (posterior SD), ``interval`` (2.5 to 97.5 % quantiles); ``extra``: ``quantiles`` [voxel, param,
        level] at ``levels``; ``prior`` (of the first label; of each in ``priors``), the most probable one, and ``predictive``
        (``predictives``), averaged over what the scan leaves open about it, which the posteriors are under; ``log_evidence``,
        ``converged``; ``grid``, the dictionary for the noise; ``sharing``, by label, where `smooth` was given. ``cost`` is minus
        ln evidence.

    Raises
    ------
    InputError
        If no voxel is usable, the noise is neither given nor estimable, the SNR needs too fine a grid, or the protocol cannot
        tell the parameters apart.
    UsageError
        If `prior` is unknown, or `smooth` meets a prior that is not of the scan.

    Notes
    -----
    A posterior mean is drawn towards the prior: by design it is biased at every single truth and right on average over the
    tissues of the scan. Where voxels say little (AXR at SNR 50) the map shows little more than the mean of the tissue, and the
    SD says so.
    """
    check_smooth(smooth, prior)
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    if grid is None:
        check_identifiable(model, protocol, s0_free=scan.s0 is None)
    chosen = scan.dictionary() if grid is None else grid
    groups = group_rows(scan, labels)
    priors = scan_priors(scan, chosen, groups, prior, max_components=max_components, threads=threads, progress=progress)
    extra, notes = facts(priors)
    local: dict[int, LocalPriors] = {}
    if smooth is not None:
        local, shared, words = smooth_priors(scan, chosen, groups, priors, smooth, threads=threads)
        extra, notes = {**extra, "sharing": shared}, (*notes, *words)
    parts = []
    for label, rows in groups.items():
        problem, ranked = problem_under(priors[label], scan, chosen, rows), None if at is None else at[rows]
        if smooth is None:
            parts.append((rows, posterior(problem, priors[label].predictive, at=ranked, threads=threads)))
        else:
            parts.append((rows, local_posterior(problem, local[label], at=ranked, threads=threads)))
    if progress is not None:
        progress(signals.shape[0], signals.shape[0])
    n_par = len(model.parameter_names)
    return assemble_posterior(scan, parts, n_par, "eb", {**extra, "grid": chosen}, (*scan.notes, *notes), snr_limit=snr_limit)


def prepare(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    s0: str | ArrayLike = "per-series",
    prior: PriorChoice = "scan",
    labels: ArrayLike | None = None,
    max_components: int = 5,
    smooth: Neighbours | None = None,
) -> dict[str, Any]:
    """Return the settings ``prior`` (by label) and ``grid`` learned from `signals`, for fits of the same scan in pieces.

    Where neighbours are smoothed over (`smooth` is of the whole scan) they are for one fit in one piece.
    """
    check_smooth(smooth, prior)
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    check_identifiable(model, protocol, s0_free=scan.s0 is None)
    grid = scan.dictionary()
    found = scan_priors(
        scan, grid, group_rows(scan, labels), prior, max_components=max_components, threads=threads, progress=progress
    )
    return {"prior": found, "grid": grid}
