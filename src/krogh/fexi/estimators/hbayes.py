"""Hierarchical Bayes with a network: a prior learned from the unlabelled scan, an amortised posterior, corrected by importance.

The network proposes, the likelihood decides: every posterior is a weighted sample, exact in the limit of many samples. Its twin
on a dictionary is ``eb``, whose prior it shares.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.estimate import assemble_posterior
from krogh.fexi.learned.neighbours import Neighbours
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.learned.scan_prior import PriorChoice, facts, group_rows
from krogh.fexi.learned.smooth import check_smooth, smooth_priors
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
    weights: Any = None,
    vetted: bool = False,
    training: Any = None,
    compute: Any = None,
    max_components: int = 5,
    n_samples: int = 128,
    seed: int | None = None,
    at: FloatArray | None = None,
    snr_limit: float = 5.0,
    smooth: Neighbours | None = None,
) -> Estimate:
    """Fit every voxel by its posterior mean under a prior learned from all of them.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit; no volume may be below about 3 noise SD (flagged).
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        Free S0 per series (integrated out over a prior ~ 1 / S0), S0 = 1, or values [voxel, series].
    prior, labels, smooth
        As of ``eb``.
    weights : krogh.fexi.learned.checkpoint.Checkpoint, optional
        Networks and priors of another fit, or of ``krogh fexi train hbayes``; default: learned from these voxels.
    vetted : bool, optional
        Whether `prepare` has compared the SNR of the whole scan with that of the training already.
    training : krogh.fexi.learned.encoder.HbayesSettings, optional
        Shape and length of the training, where there are no `weights`.
    compute : krogh.fexi.learned.practice.Compute, optional
        Where the network is trained; default: on the processor.
    max_components : int, optional
        Largest number of Gaussians of the prior.
    n_samples : int, optional
        Weighted samples of each posterior.
    seed : int, optional
        Of training and samples (default: 0, or that of `weights`); the same seed gives the same bytes on the same machine.
    at : array [voxel, param], optional
        True values, whose posterior ranks go into ``extra["rank"]``.
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        As of ``eb``; ``extra["effective"]`` [voxel] is the effective number of samples, ``extra["outside"]`` [voxel] as of
        ``npe`` (flag 7), ``extra["weights"]`` what `weights` takes.

    Raises
    ------
    InputError
        If no voxel is usable, the noise is neither given nor estimable, the SNR of the scan was not trained, a label has no
        network, or the protocol cannot tell the parameters apart.
    UsageError
        If `weights` is for another model or protocol, or given together with a prior; if `smooth` meets a prior that is not of
        a scan.
    """
    from krogh.fexi.learned.sampling import posterior_by_sampling
    from krogh.fexi.learned.train_hbayes import build

    check_smooth(smooth, prior)
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    if weights is None or not vetted:
        weights = _network(scan, weights, prior, labels, training, compute, max_components, threads, progress, seed)
    groups, networks = _groups(scan, labels, weights), build(weights)
    extra, notes = facts({label: weights.priors[label] for label in groups})
    priors: Any = {label: weights.priors[label].predictive for label in groups}
    if smooth is not None:
        chosen = {label: weights.priors[label] for label in groups}
        priors, shared, words = smooth_priors(scan, scan.dictionary(), groups, chosen, smooth, threads=threads)
        extra, notes = {**extra, "sharing": shared}, (*notes, *words)
    n = signals.shape[0]
    effective, outside, by_snr, parts = np.full(n, np.nan), np.zeros(n, bool), np.zeros(n, bool), []
    for label, rows in groups.items():
        part = scan.part(rows)
        found, effective[rows] = posterior_by_sampling(
            part, networks[label], priors[label], n_samples=n_samples,
            seed=int(weights.training["seed"]) if seed is None else seed, at=None if at is None else at[rows],
            threads=threads, progress=progress,
        )  # fmt: skip
        outside[rows], by_snr[rows] = weights.region.outside(part, part.inputs(), found.mean)
        parts.append((rows, found))
    extra |= {"weights": weights, "effective": effective, "outside": outside}
    made = assemble_posterior(
        scan, parts, len(model.parameter_names), "hbayes", extra, (*scan.notes, *notes), snr_limit=snr_limit
    )
    flag = np.where(outside & (made.flag == Flag.OK), np.uint8(Flag.OUTSIDE_TRAINING), made.flag)
    return dataclasses.replace(made, flag=flag, notes=(*made.notes, *_warnings(effective, outside, by_snr)))


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
    weights: Any = None,
    training: Any = None,
    compute: Any = None,
    max_components: int = 5,
    seed: int | None = None,
    smooth: Neighbours | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Return the setting ``weights``: as given, or networks and priors learned from `signals`; refuse early what does not fit."""
    check_smooth(smooth, prior)
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    found = _network(scan, weights, prior, labels, training, compute, max_components, threads, progress, seed)
    _groups(scan, labels, found)
    return {"weights": found, "vetted": True}


def _network(
    scan: Scan, weights: Any, prior: PriorChoice, labels: ArrayLike | None, training: Any, compute: Any, max_components: int,
    threads: int, progress: Progress | None, seed: int | None,
) -> Any:  # fmt: skip
    """Return `weights` if they are for this scan, or networks that are trained on it."""
    from krogh.fexi.learned.practice import PROCESSOR, telling
    from krogh.fexi.learned.train_hbayes import learn_hierarchy

    if weights is None:
        return learn_hierarchy(
            scan, labels=labels, prior=prior, max_components=max_components, settings=training, seed=seed or 0,
            compute=compute or PROCESSOR, threads=threads, progress=progress,
            tell=telling(progress),
        )  # fmt: skip
    if prior != "scan":
        raise UsageError("prior", got="also weights", expected="one of them", hint="weights hold the prior that they are for")
    strong = scan.part(scan.rows)
    weights.check("hbayes", strong)
    weights.check_noise(strong)
    return weights


def _groups(scan: Scan, labels: ArrayLike | None, weights: Any) -> dict[int, NDArray[np.intp]]:
    """Return the voxels of each tissue label; every one must have a network.

    Raises
    ------
    InputError
        If one has none.
    """
    groups = group_rows(scan, labels)
    if missing := sorted(set(groups) - set(weights.priors)):
        raise InputError(
            "labels", got="none" if labels is None else f"the tissue label {missing[0]}",
            expected=f"the tissue labels of the training: {', '.join(map(str, sorted(weights.priors)))}",
            hint="give --labels as in training, or train on this scan",
        )  # fmt: skip
    return groups


def _warnings(effective: FloatArray, outside: NDArray[np.bool_], by_snr: NDArray[np.bool_]) -> list[str]:
    notes = []
    if outside.any():
        why = f", {int(by_snr.sum())} of them by their SNR" if by_snr.any() else ""
        notes.append(f"{int(outside.sum())} voxel(s) are unlike anything the network was trained on{why} (flag 7)")
    if few := int((effective < _FEW).sum()):
        notes.append(f"{few} voxel(s) have fewer than {_FEW:g} effective samples: do not trust their posterior")
    return notes
