"""Hierarchical Bayes with a network: prior and amortised posterior learned from the unlabelled scan, corrected by importance.

The network proposes, the likelihood decides: every posterior is a weighted sample, exact in the limit of many samples. Its twin
on a dictionary is ``eb``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from krogh.errors import UsageError
from krogh.fexi.estimators import eb
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = eb.FloatArray
_FEW = 5.0  # effective samples below which a posterior is not to be trusted


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    s0: str | ArrayLike = "per-series",
    trained: Any = None,
    max_components: int = 5,
    n_samples: int = 128,
    seed: int = 0,
    at: FloatArray | None = None,
    snr_limit: float = 5.0,
) -> Estimate:
    """Fit every voxel by its posterior mean under a prior learned from all of them.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit; no volume may be below about 3 noise SD (flagged).
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        Free S0 per series (integrated out over a flat prior), S0 = 1, or values [voxel, series].
    trained : krogh.fexi.learned.hierarchy.Trained, optional
        What :func:`prepare` returned; default: trained on these voxels.
    max_components : int, optional
        Largest number of Gaussians of the prior.
    n_samples : int, optional
        Weighted samples of each posterior.
    seed : int, optional
        Of training and samples; the same seed gives the same bytes on the same machine.
    at : array [voxel, param], optional
        True values, whose posterior ranks go into ``extra["rank"]``.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        As of ``eb``; ``extra["effective"]`` [voxel] is the effective number of samples: a voxel with fewer than 5 is unlike what
        the network was trained on and is counted in the notes.

    Raises
    ------
    InputError
        If no voxel is usable, or the noise is neither given nor estimable.
    UsageError
        If `trained` is for another model or protocol.
    """
    from krogh.fexi.learned.sampling import Signals, posterior_by_sampling

    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    if trained is None:
        trained = _train(scan, max_components, threads, progress, seed)
    rows = np.flatnonzero((scan.flag == Flag.OK) | (scan.flag == Flag.LOW_SNR))
    part = _signals(scan, rows, Signals)
    if part.inputs().shape[1] != trained.encoder.shift.shape[0] or not np.array_equal(trained.prior.bounds, model.bounds):
        raise UsageError("trained", got="a network for another protocol, model or bounds", expected="one trained for this scan")
    found, effective = posterior_by_sampling(
        part, trained.encoder, trained.prior, n_samples=n_samples, seed=seed, at=None if at is None else at[rows],
        threads=threads, progress=progress,
    )  # fmt: skip
    notes = list(scan.notes)
    if not trained.converged:
        notes.append("the search for the prior of the scan ended before its maximum")
    if few := int((effective < _FEW).sum()):
        notes.append(f"{few} voxel(s) have fewer than {_FEW:g} effective samples: unlike what the network was trained on")
    extra = {"prior": trained.prior, "converged": trained.converged, "trained": trained}
    made = assemble_posterior(
        scan, [(rows, found)], len(model.parameter_names), "hbayes", extra, tuple(notes), snr_limit=snr_limit
    )
    whole = np.full(signals.shape[0], np.nan)
    whole[rows] = effective
    return dataclasses.replace(made, extra={**made.extra, "effective": whole})


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
    seed: int = 0,
) -> dict[str, Any]:
    """Return the setting ``trained``: network and prior learned from `signals`, for fits of the same scan in pieces."""
    return {"trained": _train(prepare_scan(model, protocol, signals, noise_sd, s0), max_components, threads, progress, seed)}


def _signals(scan: Scan, rows: Any, kind: Any) -> Any:
    return kind.of(scan.model, scan.protocol, scan.signals[rows], scan.noise[rows], None if scan.s0 is None else scan.s0[rows])


def _train(scan: Scan, max_components: int, threads: int, progress: Progress | None, seed: int) -> Any:
    from krogh.fexi.learned.hierarchy import train_on_scan
    from krogh.fexi.learned.sampling import Signals

    start = eb.learned_prior(scan, max_components, threads, progress)
    return train_on_scan(
        _signals(scan, scan.rows, Signals), start, seed=seed,
        tell=lambda i, n, loss: None if progress is None else progress(i, n),
    )  # fmt: skip
