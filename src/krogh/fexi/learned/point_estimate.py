"""Fit scans with networks that give one value per parameter: what ``selfsup`` and ``supervised`` share."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.fexi.estimators._assemble import assemble
from krogh.fexi.interface import Estimate, Flag
from krogh.fexi.learned.checkpoint import Checkpoint
from krogh.fexi.learned.novelty import misfit
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.scan import Scan, prepare_scan
from krogh.fexi.learned.train_points import build
from krogh.fexi.protocol import Protocol

__all__ = ["apply_network", "scan_signals"]

FloatArray = NDArray[np.float64]
_NORMAL_95 = 1.959964


def scan_signals(
    model: Any, protocol: Protocol, signals: FloatArray, noise_sd: float | FloatArray | None, s0: str | ArrayLike
) -> tuple[Scan, Signals]:
    """Return the checked scan and its strong voxels, to learn from."""
    scan = prepare_scan(model, protocol, signals, noise_sd, s0)
    return scan, scan.part(scan.rows)


def apply_network(
    scan: Scan, checkpoint: Checkpoint, name: str, *, interval_words: str, note: str, snr_limit: float, vetted: bool
) -> Estimate:
    """Return the estimate of every usable voxel.

    SDs come from the network where it states the SD of its error, else from the Fisher matrix at the estimate. Interval ends
    beyond the bounds are infinite.
    """
    rows = scan.usable
    part = scan.part(rows)
    checkpoint.check(name, part)
    if not vetted:
        checkpoint.check_noise(part)
    x, bounds = part.inputs(), scan.model.bounds
    low, width = bounds[:, 0], np.ptp(bounds, axis=1)
    fraction, error = build(checkpoint).estimate(x)
    n, n_par = scan.signals.shape[0], width.size
    theta, own = np.full((n, n_par), np.nan), np.full((n, n_par), np.nan)
    theta[rows] = low + width * np.clip(fraction, 1e-7, 1 - 1e-7)  # float32 can round to a bound
    outside, by_snr = checkpoint.region.outside(part, x, theta[rows])
    squares = np.full(n, np.nan)
    squares[rows] = misfit(part, theta[rows])
    s0 = _levels(scan, theta)
    flag = np.where(np.isfinite(theta[:, 0]), np.uint8(Flag.OK), scan.flag)
    made = assemble(
        scan.model, scan.protocol, scan.signals, theta, s0, squares, flag, scan.noise, np.ones(scan.protocol.n_volumes), name,
        scan.s0 is None, snr_limit=snr_limit,
    )  # fmt: skip
    if error is not None:
        own[rows] = width * error
        made = dataclasses.replace(made, sd={p: own[:, j] for j, p in enumerate(scan.model.parameter_names)})
    return _flagged(made, scan, rows, outside, by_snr, checkpoint, interval_words, note)


def _levels(scan: Scan, theta: FloatArray) -> FloatArray:
    """Return S0 [voxel, series]: as known, or least squares at theta."""
    if scan.s0 is not None:
        return scan.s0.copy()
    series = scan.protocol.series_index
    member = (series[:, None] == np.arange(scan.protocol.n_series)).astype(float)
    e = scan.model.shape(theta, scan.protocol)
    with np.errstate(invalid="ignore"):
        return ((scan.signals * e) @ member) / ((e * e) @ member)


def _flagged(
    made: Estimate, scan: Scan, rows: NDArray[np.intp], outside: NDArray[np.bool_], by_snr: NDArray[np.bool_],
    checkpoint: Checkpoint, interval_words: str, note: str,
) -> Estimate:  # fmt: skip
    whole = np.zeros(scan.signals.shape[0], bool)
    whole[rows] = outside
    flag = made.flag.copy()
    flag[scan.flag == Flag.LOW_SNR] = Flag.LOW_SNR
    flag[whole & (flag == Flag.OK)] = Flag.OUTSIDE_TRAINING
    notes = [*scan.notes, *made.notes, note]
    if whole.any():
        why = f", {int(by_snr.sum())} of them by their SNR" if by_snr.any() else ""
        notes.append(f"{int(whole.sum())} voxel(s) are unlike anything the network was trained on{why} (flag 7)")
    interval = {}
    for j, p in enumerate(scan.model.parameter_names):
        ends = made.parameters[p] - _NORMAL_95 * made.sd[p], made.parameters[p] + _NORMAL_95 * made.sd[p]
        interval[p] = (
            np.where(ends[0] < scan.model.bounds[j, 0], -np.inf, ends[0]),
            np.where(ends[1] > scan.model.bounds[j, 1], np.inf, ends[1]),
        )
    extra = {**made.extra, "outside": whole, "weights": checkpoint, "interval_words": interval_words}
    return dataclasses.replace(made, flag=flag, notes=tuple(notes), interval=interval, extra=extra)
