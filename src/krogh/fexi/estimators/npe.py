"""Amortised posterior: a network trained once on simulations answers for any number of scans of its protocol and SNR range.

Mean, SD and quantiles come from one pass of a summary network. With `n_samples` the flow proposes and the likelihood decides
(importance weights), which is exact in the limit of many samples and also takes another prior than that of the training.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import UsageError
from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.learned.estimate import assemble_posterior, s0_and_squares
from krogh.fexi.learned.posterior import QUANTILES, Posterior
from krogh.fexi.learned.prior import MixturePrior, uniform_prior
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.protocol import Protocol

__all__ = ["fit", "prepare"]

FloatArray = NDArray[np.float64]
_CHUNK = 8192
_FEW = 5.0


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
    n_samples: int = 0,
    prior: MixturePrior | None = None,
    seed: int = 0,
    at: FloatArray | None = None,
    snr_limit: float = 5.0,
) -> Estimate:
    """Fit every voxel by the mean of a posterior that was learned from simulations.

    Parameters
    ----------
    signals : array [voxel, volume]
        Magnitude signals as acquired, any unit.
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel; default: estimated from the residuals of all voxels together.
    s0 : {"per-series", "known"} or array
        As the network was trained.
    weights : krogh.fexi.learned.checkpoint.Checkpoint, optional
        A trained network (``krogh fexi train npe``); default: one is trained for this SNR under a uniform prior.
    vetted : bool, optional
        Whether `prepare` has compared the SNR of the whole scan with that of the training already.
    training : krogh.fexi.learned.flow.NpeSettings, optional
        Shape and length of the training, where there are no `weights`.
    compute : krogh.fexi.learned.practice.Compute, optional
        Where the network is trained; default: on the processor.
    n_samples : int, optional
        0 (default): the summary network. Else: samples of the flow per voxel, weighted by the likelihood.
    prior : MixturePrior, optional
        Another prior than that of the training, for ``n_samples > 0``.
    seed : int, optional
        Of training and samples.
    at : array [voxel, param], optional
        True values, whose posterior ranks go into ``extra["rank"]`` (``n_samples > 0``).
    snr_limit : float, optional
        Unfiltered S0 over noise SD below which a voxel is flagged.

    Returns
    -------
    Estimate
        As of ``eb``. ``extra["outside"]`` [voxel]: unlike anything in the training (flag 7 where nothing else is wrong);
        ``extra["effective"]``: effective number of samples.

    Raises
    ------
    UsageError
        If the network is for another protocol, model or kind of S0.
    InputError
        If the SNR of the scan was not trained, or no voxel is usable.
    """
    from krogh.fexi.learned.train_npe import build

    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    checkpoint = weights or _train(scan, training, compute, progress, seed)
    if prior is not None and not n_samples:
        raise UsageError("prior", got="another prior without samples", expected="n_samples > 0, which can take one")
    rows = scan.usable
    part = scan.part(rows)
    checkpoint.check("npe", part)
    if not vetted:
        checkpoint.check_noise(part)
    x = part.inputs()
    network = build(checkpoint)
    effective = np.full(signals.shape[0], np.nan)
    if n_samples:
        found, effective[rows] = _sampled(
            network, part, x, prior or checkpoint.prior, n_samples, seed, None if at is None else at[rows], threads, progress
        )
    else:
        found = _summarised(network, x, model.bounds, threads, progress)
    outside, by_snr = checkpoint.region.outside(part, x, found.mean)
    return _finish(scan, rows, found, outside, by_snr, effective, checkpoint, snr_limit)


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
    """Return the setting ``weights``: as given, or trained for the SNR of `signals`; refuse early what does not fit."""
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    if weights is None:
        return {"weights": _train(scan, training, compute, progress, seed), "vetted": True}
    strong = scan.part(scan.rows)
    weights.check("npe", strong)
    weights.check_noise(strong)
    return {"weights": weights, "vetted": True}


def _train(scan: Scan, training: Any, compute: Any, progress: Progress | None, seed: int) -> Any:
    from krogh.fexi.learned.conditions import Conditions, snr_range
    from krogh.fexi.learned.practice import PROCESSOR, telling
    from krogh.fexi.learned.train_npe import train_npe

    levels, s0 = snr_range(scan.part(scan.rows)), "per-series" if scan.s0 is None else "known"
    conditions = Conditions(scan.model, scan.protocol, uniform_prior(scan.model.bounds), levels, s0)
    return train_npe(
        conditions,
        settings=training,
        seed=seed,
        compute=compute or PROCESSOR,
        tell=telling(progress),
    )


def _summarised(network: Any, x: FloatArray, bounds: FloatArray, threads: int, progress: Progress | None) -> Posterior:
    n, n_par = x.shape[0], bounds.shape[0]
    low, width = bounds[:, 0], np.ptp(bounds, axis=1)
    out = Posterior(np.empty((n, n_par)), np.empty((n, n_par)), np.empty((n, n_par, len(QUANTILES))), np.full(n, np.nan))

    def work(rows: slice) -> None:
        mean, sd, quantiles = network.summarise(x[rows])
        out.mean[rows], out.sd[rows] = low + width * mean, width * sd
        out.quantiles[rows] = low[:, None] + width[:, None] * quantiles

    run_chunks(work, n, threads=threads, progress=progress, chunk=_CHUNK)
    return out


def _sampled(
    network: Any, part: Any, x: FloatArray, prior: MixturePrior, n_samples: int, seed: int, at: FloatArray | None,
    threads: int, progress: Progress | None,
) -> tuple[Posterior, FloatArray]:  # fmt: skip
    from krogh.fexi.learned.weighing import posterior_by_flow

    return posterior_by_flow(network, part, x, prior, n_samples=n_samples, seed=seed, at=at, threads=threads, progress=progress)


def _finish(
    scan: Scan, rows: NDArray[np.intp], found: Posterior, outside: NDArray[np.bool_], by_snr: NDArray[np.bool_],
    effective: FloatArray, checkpoint: Any, snr_limit: float,
) -> Estimate:  # fmt: skip
    extra = {"prior": checkpoint.prior, "weights": checkpoint, "converged": True}
    made = assemble_posterior(
        scan, [(rows, found)], len(scan.model.parameter_names), "npe", extra, scan.notes, snr_limit=snr_limit
    )
    whole = np.zeros(scan.signals.shape[0], bool)
    whole[rows] = outside
    notes = list(made.notes)
    if whole.any():
        why = f", {int(by_snr.sum())} of them by their SNR" if by_snr.any() else ""
        notes.append(f"{int(whole.sum())} voxel(s) are unlike anything the network was trained on{why} (flag 7)")
    if few := int((effective < _FEW).sum()):
        notes.append(f"{few} voxel(s) have fewer than {_FEW:g} effective samples: do not trust their posterior")
    flag = np.where(whole & (made.flag == Flag.OK), np.uint8(Flag.OUTSIDE_TRAINING), made.flag)
    cost = made.cost
    if np.isnan(found.log_evidence).all():
        with np.errstate(invalid="ignore"):
            cost = 0.5 * s0_and_squares(scan, made.theta())[1] / scan.noise**2
    return dataclasses.replace(
        made, flag=flag, cost=cost, notes=tuple(notes), extra={**made.extra, "outside": whole, "effective": effective}
    )
