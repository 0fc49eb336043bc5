"""Fit: the most probable parameters, their covariance, and whether the data agree with the model at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from scipy.stats import chi2, norm, qmc

from krogh.errors import ConvergenceError, InputError
from krogh.inference.descend import Descent, descend
from krogh.inference.target import Target
from krogh.inference.walkers import Walkers

__all__ = ["Fit", "covariance", "fit", "slope_error", "wald"]

#: A direction in which the data allow more than this SD of the logarithm is taken as unknown [1].
LARGEST_SD = 1e3
_SCAN_DECADES = 1.0
#: Squared distances from a minimum, in SD: where minima are compared, and where the best one ends. Steps near it converge
#: linearly where errors grow with the values, so that the end is set a little below the 1e-4 SD that is promised.
_ROUGH, _FINE = 1e-2, 1e-9
_GRACE = 4


@dataclass(frozen=True)
class Fit:
    """Hold a fit; log-parameters throughout.

    Attributes
    ----------
    x : array (P,)
        Estimate.
    covariance : array (P, P)
        Inverse information.
    value : float
        -log posterior at the estimate.
    predicted, residual : arrays (N,)
        Prediction of each value, and (value - prediction)/SD (NaN below the limit).
    slopes : array (N, P)
        Sensitivity of the predictions.
    chi2, dof, p_value : float, int, float
        Sum of squared residuals, degrees of freedom, and how often chance alone would exceed it.
    at_bound : bool array (P,)
        Which estimates lie on a bound.
    """

    x: np.ndarray
    covariance: np.ndarray
    value: float
    predicted: np.ndarray
    residual: np.ndarray
    slopes: np.ndarray
    chi2: float
    dof: int
    p_value: float
    at_bound: np.ndarray
    iterations: int

    @property
    def sd(self) -> np.ndarray:
        """Return the standard deviations of the log-parameters (P,)."""
        return np.sqrt(np.diag(self.covariance))


def covariance(information: np.ndarray) -> np.ndarray:
    """Return the inverse of an information matrix; unknown directions get the SD :data:`LARGEST_SD`."""
    values, vectors = np.linalg.eigh(information)
    return (vectors / np.maximum(values, LARGEST_SD**-2)) @ vectors.T


def wald(x: np.ndarray, sd: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return x -+ z SD."""
    z = float(norm.ppf(0.5 + level / 2))
    return x - z * sd, x + z * sd


def fit(target: Target, start: np.ndarray, *, scan: int = 32, seed: int = 0) -> Fit:
    """Return the most probable parameters.

    Parameters
    ----------
    target : Target
        Model, data and prior.
    start : array (P,)
        Log-parameters to begin with.
    scan : int
        Further points, a factor of ten around `start`, from which the best three are followed as well (0: none).
    seed : int
        Seed of these points.

    Raises
    ------
    InputError
        If the model predicts no finite value at the start.
    ConvergenceError
        If no start converges.
    """
    starts = np.clip(np.asarray(start, dtype=float), target.low, target.high)[None]
    if scan:  # roughly from the best of many, then from the lowest to the end
        starts = _lowest(target, np.concatenate([starts, _best(target, starts, scan, seed)]))
    found = descend(target, starts, tol=_FINE)
    if not np.isfinite(found.at.value[0]):
        _no_prediction()
    if not found.converged[0]:
        raise ConvergenceError(
            "fit", got=f"no minimum after {int(found.iterations[0])} evaluations", hint="narrow --bounds, or give a --prior"
        )
    return describe(target, found, 0)


def _no_prediction() -> NoReturn:
    raise InputError("model", got="no finite prediction at the start", hint="check the data and the starting values")


def _best(target: Target, start: np.ndarray, scan: int, seed: int) -> np.ndarray:
    """Return the three lowest of many points around `start` (1, P)."""
    box = qmc.Sobol(target.size, seed=seed).random(scan) - 0.5
    cloud = np.clip(start + 2 * _SCAN_DECADES * np.log(10) * box, target.low, target.high)
    height = target.value(np.concatenate([start, cloud]))
    if not np.isfinite(height[0]):
        _no_prediction()
    return cloud[np.argsort(np.where(np.isfinite(height), height, np.inf)[1:])[:3]]


def _lowest(target: Target, starts: np.ndarray) -> np.ndarray:
    """Return the lowest point (1, P) that is reached from `starts`; once one is at a minimum the others have as long again."""
    walkers = Walkers(target, len(starts), tol=_ROUGH, most=60)
    for place, x in enumerate(starts):
        walkers.send(place, x[None])
    steps, limit = 0, np.inf
    while walkers.walking.any() and steps < limit:
        walkers.step()
        steps += 1
        limit = min(limit, 2 * steps + _GRACE) if walkers.converged.any() else limit
    value = walkers.at.value
    return walkers.at.x[[np.argmin(np.where(np.isfinite(value), value, np.inf))]]


def describe(target: Target, found: Descent, index: int) -> Fit:
    """Return point `index` of a descent as a fit."""
    at = found.at
    x, m = at.x[index], at.predicted[index]
    residual = target.data.residual(m)
    seen = ~np.isnan(residual)
    squares, dof = float((residual[seen] ** 2).sum()), int(seen.sum()) - target.size
    edge = 1e-6 * (target.high - target.low)
    return Fit(
        x=x, covariance=covariance(at.information[index]), value=float(at.value[index]), predicted=m, residual=residual,
        slopes=at.slopes[index], chi2=squares, dof=dof,
        p_value=float(chi2.sf(squares, dof)) if dof > 0 else float("nan"),
        at_bound=(x <= target.low + edge) | (x >= target.high - edge), iterations=int(found.iterations[index]),
    )  # fmt: skip


def slope_error(target: Target, found: Fit) -> float:
    """Return how far the slopes are from differences of twice the step, relative to the largest of each parameter."""
    other = target.differences(np.exp(found.x[None]), 2 * target.step)[1][0]
    return float((np.abs(other - found.slopes).max(0) / np.maximum(np.abs(found.slopes).max(0), 1e-300)).max())
