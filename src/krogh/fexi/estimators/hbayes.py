"""Hierarchical Bayes with a network: a prior learned from the unlabelled scan, an amortised posterior, corrected by importance.

The network proposes, the likelihood decides: every posterior is a weighted sample, exact in the limit of many samples. Its twin
on a dictionary is ``eb``, whose prior it shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import Estimate, Progress, SignalModel
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.learned.scan_prior import PriorChoice, facts, group_rows, reduced, scan_priors
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = NDArray[np.float64]
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
    prior: PriorChoice = "scan",
    labels: ArrayLike | None = None,
    trained: Mapping[int, Any] | None = None,
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
    prior, labels
        As of ``eb``.
    trained : dict of int to krogh.fexi.learned.hierarchy.Trained, optional
        What :func:`prepare` returned, one network per tissue label; default: trained on these voxels.
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
    from krogh.fexi.learned.sampling import posterior_by_sampling

    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    groups = group_rows(scan, labels)
    if trained is None:
        trained = _train(scan, groups, prior, max_components, threads, progress, seed)
    effective, parts = np.full(signals.shape[0], np.nan), []
    for label, rows in groups.items():
        net, part = trained.get(label), _signals(scan, rows)
        if net is None:
            raise InputError("trained", got=f"none for the tissue label {label}", expected="a network for every label")
        if part.inputs().shape[1] != net.encoder.shift.shape[0] or not np.array_equal(net.prior.best.bounds, model.bounds):
            raise UsageError(
                "trained", got="one for another protocol, model or bounds", expected="a network trained for this scan"
            )
        found, effective[rows] = posterior_by_sampling(
            part, net.encoder, net.prior.predictive, n_samples=n_samples, seed=seed, at=None if at is None else at[rows],
            threads=threads, progress=progress,
        )  # fmt: skip
        parts.append((rows, found))
    extra, notes = facts({label: trained[label].prior for label in groups})
    notes = (*scan.notes, *notes)
    if few := int((effective < _FEW).sum()):
        notes = (*notes, f"{few} voxel(s) have fewer than {_FEW:g} effective samples: unlike what the network was trained on")
    n_par = len(model.parameter_names)
    made = assemble_posterior(scan, parts, n_par, "hbayes", {**extra, "trained": trained}, notes, snr_limit=snr_limit)
    return dataclasses.replace(made, extra={**made.extra, "effective": effective})


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
    seed: int = 0,
) -> dict[str, Any]:
    """Return the setting ``trained``: networks and priors learned from `signals`, for fits of the same scan in pieces."""
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    return {"trained": _train(scan, group_rows(scan, labels), prior, max_components, threads, progress, seed)}


def _signals(scan: Scan, rows: Any) -> Any:
    from krogh.fexi.learned.sampling import Signals

    return Signals.of(scan.model, scan.protocol, scan.signals[rows], scan.noise[rows], None if scan.s0 is None else scan.s0[rows])


def _train(
    scan: Scan, groups: Mapping[int, NDArray[np.intp]], prior: PriorChoice, max_components: int, threads: int,
    progress: Progress | None, seed: int,
) -> dict[int, Any]:  # fmt: skip
    """Return the network and the prior of each group."""
    from krogh.fexi.learned.hierarchy import train_on_scan

    def tell(step: int, steps: int, loss: float) -> None:
        if progress is not None:
            progress(step, steps)

    priors = scan_priors(
        scan, scan.dictionary(), groups, prior, max_components=max_components, threads=threads, progress=progress
    )
    small = {k: dataclasses.replace(p, predictive=reduced(p.predictive, p.best)) for k, p in priors.items()}
    return {k: train_on_scan(_signals(scan, rows), small[k], seed=seed, tell=tell) for k, rows in groups.items()}
