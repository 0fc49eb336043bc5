"""Recognise voxels that are unlike everything a network was trained on: there its answer means nothing.

Three signs, each compared with simulated voxels that went through the same network: inputs further out than any (whitened
distance), a misfit at the estimate larger than any, an SNR that was not trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.learned.conditions import unfiltered_level
from krogh.fexi.learned.sampling import Signals

__all__ = ["Region", "misfit", "survey"]

FloatArray = NDArray[np.float64]
_FLOOR = 1e-6  # of the largest variance: directions without spread in training count sharply
_SLACK = 0.05  # of ln SNR, for the noise of one voxel where S0 is read off the data
_MARGIN = 1.1  # beyond the most extreme simulated voxel
_SCAN_MARGIN = 1.5  # beyond the quantile of a scan


@dataclass(frozen=True)
class Region:
    """Hold what a training filled: ``mean`` [input], ``white`` [input, input], largest distance and misfit, ln SNR range."""

    mean: FloatArray
    white: FloatArray
    distance: float
    misfit: float
    log_snr: tuple[float, float]

    def distances(self, x: FloatArray) -> FloatArray:
        """Return the squared whitened distance of inputs x [voxel, input] from the middle of the training [voxel]."""
        return np.asarray(np.square((x - self.mean) @ self.white).sum(axis=1))

    def outside(self, signals: Signals, x: FloatArray, theta: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which voxels, with estimates theta [voxel, param], are unlike the training, and which by their SNR [voxel]."""
        level = np.log(np.maximum(unfiltered_level(signals), 1e-3))
        noise = 4 * np.exp(-level) + _SLACK if not signals.known else _SLACK
        by_snr = (level < self.log_snr[0] - noise) | (level > self.log_snr[1] + noise)
        inside = (self.distances(x) <= self.distance) & (misfit(signals, theta) <= self.misfit)
        return by_snr | ~inside, by_snr


def misfit(signals: Signals, theta: FloatArray) -> FloatArray:
    """Return the squared distance of signals from the model at theta, in noise SD, with free S0 at its best [voxel]."""
    e = signals.model.shape(theta, signals.protocol)[:, signals.order]
    sizes, first = np.diff(signals.pointer), signals.pointer[:-1]
    if signals.known:
        level = signals.level
    else:
        level = np.add.reduceat(signals.z * e, first, axis=1) / np.add.reduceat(e * e, first, axis=1)
    return np.asarray(np.square(signals.z - np.repeat(level, sizes, axis=1) * e).sum(axis=1))


def survey(
    signals: Signals, estimate: Callable[[FloatArray], FloatArray], snr: tuple[float, float], *, quantile: float = 1.0
) -> Region:
    """Return the region that `signals` fill; `estimate` gives theta [voxel, param] from inputs [voxel, input].

    With `quantile` below 1 the most extreme voxels of a scan are left out, and the rest gets half as much again.
    """
    x = signals.inputs()
    values, vectors = np.linalg.eigh(np.cov(x.T))
    white = vectors / np.sqrt(np.maximum(values, _FLOOR * values[-1]))
    log_snr = (float(np.log(snr[0])), float(np.log(snr[1])))
    found = Region(x.mean(axis=0), white, np.inf, np.inf, log_snr)
    margin = _MARGIN if quantile == 1 else _SCAN_MARGIN
    far = (np.quantile(a, quantile) for a in (found.distances(x), misfit(signals, estimate(x))))
    distance, worst = (margin * float(a) for a in far)
    return Region(found.mean, white, distance, worst, log_snr)
