"""Learn from the voxels themselves how their rates, ADC and sigma are distributed, for the closed form of ``projection``.

With a uniform sigma a voxel can always trade a high sigma for a fast exchange: rates learned beside it are several 1/s too high.
Here all three are learned: a Gaussian of ADC, one of sigma, and one of the logit of the rate within its bounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from krogh.fexi.learned.hyperprior import WIDTH_SD, WIDTH_SPREAD
from krogh.fexi.learned.projection import FLAT, Tissue, project
from krogh.fexi.learned.sampling import Signals

__all__ = ["learn_rate_prior", "normalised"]

FloatArray = NDArray[np.float64]
_VOXELS = 3000
_NARROWEST = 1e-3  # of the bounds


def normalised(log_p: FloatArray) -> FloatArray:
    """Return the probabilities [voxel, rate] of logarithms up to a constant of the voxel."""
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def learn_rate_prior(signals: Signals, rates: FloatArray, edges: FloatArray, rounds: int) -> tuple[Tissue, FloatArray]:
    """Return the Gaussians of ADC and sigma, and the ln mass of each rate cell [rate], after `rounds` of EM on 3,000 voxels.

    The two Gaussians take the mean and the spread of the posteriors; the rates, of which a voxel says too little for that to end,
    climb to the maximum of the evidence in each round, their logit SD being drawn to 0.35 within a factor of 1.8 as in ``eb``.
    """
    n, bounds = signals.z.shape[0], signals.model.bounds
    some = signals.take(np.linspace(0, n - 1, min(n, _VOXELS)).astype(np.intp))
    u = np.log((rates - edges[0]) / (edges[-1] - rates))
    volume = np.diff(edges) / ((rates - edges[0]) * (edges[-1] - rates))
    at, tissue, log_w = np.array([0.0, 0.0]), FLAT, np.zeros(rates.size)
    for _ in range(rounds):
        found = project(some, rates, tissue)
        at, log_w = _climb(found.log_evidence, u, volume, at)
        p = normalised(found.log_evidence + log_w)
        tissue = Tissue(
            _spread(p, found.adc, found.adc_sd, _NARROWEST * float(np.ptp(bounds[0]))),
            _spread(p, found.sigma, found.sigma_sd, _NARROWEST * float(np.ptp(bounds[1]))),
        )
    return tissue, log_w


def _climb(log_evidence: FloatArray, u: FloatArray, volume: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and ln SD of the logit of the rates with the largest evidence, and the ln mass of each cell."""
    relative = np.exp(log_evidence - log_evidence.max(axis=1, keepdims=True))

    def mass(x: FloatArray) -> FloatArray:
        w = volume * np.exp(-0.5 * ((u - x[0]) / np.exp(x[1])) ** 2) + 1e-12 * volume
        return np.asarray(w / w.sum())

    def cost(x: FloatArray) -> float:
        pull = (x[1] - np.log(WIDTH_SD)) ** 2 / (2 * WIDTH_SPREAD**2)
        return float(pull - np.log(relative @ mass(x) + 1e-300).sum())

    best = minimize(cost, start, method="Nelder-Mead", options={"maxfev": 60, "xatol": 1e-3, "fatol": 0.05}).x
    return best, np.log(mass(best))


def _spread(p: FloatArray, value: FloatArray, inner: FloatArray, least: float) -> tuple[float, float]:
    """Return mean and 1 / SD over voxels of a quantity with conditional means and SDs [voxel, rate]."""
    mean = (p * value).sum(axis=1)
    within = (p * ((value - mean[:, None]) ** 2 + inner**2)).sum(axis=1).mean()
    return float(mean.mean()), 1 / max(float(np.sqrt(within + mean.var())), least)
