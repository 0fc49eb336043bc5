"""Empirical Bayes on a dictionary: the prior learned from the scan itself, every posterior a sum over tissues.

No network and no sampling: exact to the grid, whose spacing follows the Fisher information. It keeps the learned estimators
honest, and is the one to use where it is fast enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.dictionary import Dictionary
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.posterior import posterior
from krogh.fexi.learned.prior import MixturePrior, uniform_prior
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.learned.start import learn_prior
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "learned_prior", "prepare"]

FloatArray = NDArray[np.float64]
LEARN_VOXELS = 10_000


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    s0: str | ArrayLike = "per-series",
    prior: str | MixturePrior = "scan",
    labels: ArrayLike | None = None,
    max_components: int = 5,
    grid: Dictionary | None = None,
    at: FloatArray | None = None,
    snr_limit: float = 5.0,
) -> Estimate:
    """Fit every voxel by its posterior mean under a prior that all voxels share.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit; no volume may be below about 3 noise SD (flagged).
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        Free S0 per series (integrated out over a flat prior), S0 = 1, or values [voxel, series].
    prior : {"scan", "uniform"} or MixturePrior
        Learned from these voxels (default; from 10,000 of them where there are more), uniform within the bounds, or given.
    labels : array of int [voxel], optional
        Tissues: one prior is learned for each.
    max_components : int, optional
        Largest number of Gaussians of the prior.
    at : array [voxel, param], optional
        True values, whose posterior ranks go into ``extra["rank"]``.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        Posterior means, ``sd`` (posterior SD), ``interval`` (2.5 to 97.5 % quantiles); ``extra``: ``quantiles`` [voxel, param,
        level] at ``levels``, ``prior`` (or one per label in ``priors``), ``log_evidence``, ``converged``. ``cost`` is minus ln
        evidence.

    Raises
    ------
    InputError
        If no voxel is usable, the noise is neither given nor estimable, or the SNR needs too fine a grid.
    UsageError
        If `prior` is unknown.

    Notes
    -----
    A posterior mean is drawn towards the prior: by design it is biased at every single truth and right on average over the
    tissues of the scan. Where voxels say little (AXR at SNR 50) the map shows little more than the mean of the tissue, and the
    SD says so.
    """
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    chosen = scan.dictionary() if grid is None else grid
    groups = _groups(scan, labels)
    notes = list(scan.notes)
    n, n_par = signals.shape[0], len(model.parameter_names)
    parts, priors, good = [], {}, True
    for label, rows in groups.items():
        learned, converged = _prior(scan, chosen, rows, prior, max_components, threads, progress)
        priors[label], good = learned, good and converged
        problem = scan.problem(chosen, rows)
        parts.append((rows, posterior(problem, learned, at=None if at is None else at[rows], threads=threads)))
    if not good:
        notes.append("the search for the prior of the scan ended before its maximum")
    if progress is not None:
        progress(n, n)
    extra: dict[str, Any] = {"priors": priors, "prior": next(iter(priors.values())), "converged": good, "grid": chosen}
    return assemble_posterior(scan, parts, n_par, "eb", extra, tuple(notes), snr_limit=snr_limit)


def prepare(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    s0: str | ArrayLike = "per-series",
    max_components: int = 5,
) -> dict[str, Any]:
    """Return the settings ``prior`` and ``grid`` learned from `signals`, for fits of the same scan in pieces."""
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    grid = scan.dictionary()
    learned, _ = _prior(scan, grid, scan.rows, "scan", max_components, threads, progress)
    return {"prior": learned, "grid": grid}


def learned_prior(scan: Scan, max_components: int, threads: int, progress: Progress | None) -> MixturePrior:
    """Return the prior learned from the usable voxels of `scan`."""
    return _prior(scan, scan.dictionary(), scan.rows, "scan", max_components, threads, progress)[0]


def _groups(scan: Scan, labels: ArrayLike | None) -> dict[int, NDArray[np.intp]]:
    usable = np.flatnonzero((scan.flag == Flag.OK) | (scan.flag == Flag.LOW_SNR))
    if labels is None:
        return {0: usable}
    label = np.asarray(labels)
    if label.shape != (scan.signals.shape[0],):
        raise InputError("labels", got=f"shape {label.shape}", expected=f"({scan.signals.shape[0]},)")
    return {int(v): usable[label[usable] == v] for v in np.unique(label[usable])}


def _prior(
    scan: Scan, grid: Dictionary, rows: NDArray[np.intp], prior: str | MixturePrior, max_components: int, threads: int,
    progress: Progress | None,
) -> tuple[MixturePrior, bool]:  # fmt: skip
    if isinstance(prior, MixturePrior):
        return prior, True
    if prior == "uniform":
        return uniform_prior(scan.model.bounds), True
    if prior != "scan":
        raise UsageError("prior", got=repr(prior), expected="scan, uniform, or a MixturePrior")
    strong = rows[scan.flag[rows] == Flag.OK]
    if strong.size < 2:
        return uniform_prior(scan.model.bounds), True
    some = strong[np.linspace(0, strong.size - 1, min(strong.size, LEARN_VOXELS)).astype(np.intp)]
    found = learn_prior(
        scan.model, scan.protocol, scan.problem(grid, some), scan.signals[some], None if scan.s0 is None else scan.s0[some],
        max_components=max_components, threads=threads, progress=progress,
    )  # fmt: skip
    return found.prior, found.converged
