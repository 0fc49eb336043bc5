"""Regress by a Gaussian process: a straight line and what departs from it smoothly, with the spread of every prediction.

``y = a + b . x_line + g(x) + noise``; ``g`` has the covariance ``A^2 exp(-|x - x'|^2 / (2 l^2))`` over scaled descriptors, the
line a wide normal prior. Amplitude, length and noise maximise the marginal likelihood under weak normal priors. Nothing here
knows what is regressed.

References
----------
Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, ch. 2 and 5 (leave-one-out: eq. 5.10-5.12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

__all__ = ["GaussianProcess", "conformal_factor", "fit_process"]

_LINE_VARIANCE = 25.0
_PRIOR_MEAN = np.array([-1.0, 1.0, -1.0])  # of log amplitude, log length (in scaled descriptors), log noise


@dataclass(frozen=True)
class GaussianProcess:
    """Hold a fitted process; everything that predicting needs, no observations.

    Attributes
    ----------
    features : tuple of str
        Names of the columns of `x`.
    line : tuple of int
        Columns that enter the straight line.
    mean, scale : array, shape (feature,)
        Columns are shifted and scaled by these.
    x : array, shape (n, feature)
        Scaled descriptors of the training compounds.
    weight : array, shape (n,)
        ``K^-1 (y - offset)``.
    offset : float
        Mean of the observations.
    amplitude, length, noise : float
        Of the covariance, in units of y, scaled descriptors, y.
    factor : float
        Multiple of the standard deviation that held 90 % of the leave-one-out residuals.
    """

    features: tuple[str, ...]
    line: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    offset: float
    amplitude: float
    length: float
    noise: float
    factor: float

    def covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the prior covariance (without noise) of two sets of scaled descriptors, shape (len(a), len(b))."""
        return _covariance(a, b, self.line, self.amplitude, self.length)

    @cached_property
    def _factor(self) -> Any:
        k = self.covariance(self.x, self.x)
        return cho_factor(k + self.noise**2 * np.eye(len(k)), lower=True)

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (noise included) for raw descriptors, shape (m, feature)."""
        scaled = (np.asarray(x, dtype=float) - self.mean) / self.scale
        k = self.covariance(scaled, self.x)
        own = _LINE_VARIANCE * (1 + (scaled[:, self.line] ** 2).sum(1)) + self.amplitude**2
        variance = own - (k * cho_solve(self._factor, k.T).T).sum(1)
        return self.offset + k @ self.weight, np.sqrt(np.maximum(variance, 0.0) + self.noise**2)

    def as_record(self) -> dict[str, Any]:
        """Return the process as plain numbers, for a JSON file."""
        return {
            "features": list(self.features), "line": list(self.line), "mean": self.mean.tolist(), "scale": self.scale.tolist(),
            "x": self.x.tolist(), "weight": self.weight.tolist(), "offset": self.offset,
            "amplitude": self.amplitude, "length": self.length, "noise": self.noise, "factor": self.factor,
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> GaussianProcess:
        """Return the process that :meth:`as_record` wrote."""
        arrays: dict[str, Any] = {k: np.array(record[k], dtype=float) for k in ("mean", "scale", "x", "weight")}
        scalars: dict[str, Any] = {k: float(record[k]) for k in ("offset", "amplitude", "length", "noise", "factor")}
        return cls(tuple(record["features"]), tuple(record["line"]), **arrays, **scalars)


def _covariance(a: np.ndarray, b: np.ndarray, line: Sequence[int], amplitude: float, length: float) -> np.ndarray:
    straight = 1.0 + a[:, line] @ b[:, line].T
    distance = ((a[:, None] - b[None]) ** 2).sum(-1)
    return _LINE_VARIANCE * straight + amplitude**2 * np.exp(-0.5 * distance / length**2)


def conformal_factor(residual_over_sd: np.ndarray, level: float = 0.90) -> float:
    """Return the multiple of the standard deviation that holds `level` of held-out residuals, by the rank (n + 1) level."""
    ordered = np.sort(np.abs(residual_over_sd))
    rank = min(int(np.ceil((ordered.size + 1) * level)), ordered.size)
    return float(ordered[rank - 1])


def fit_process(x: np.ndarray, y: np.ndarray, features: Sequence[str], line: Sequence[int]) -> tuple[GaussianProcess, np.ndarray]:
    """Fit a process and return it with its leave-one-out predictions (hyperparameters of the full fit).

    Parameters
    ----------
    x : array, shape (n, feature)
        Raw descriptors.
    y : array, shape (n,)
        Observations.
    features, line
        See :class:`GaussianProcess`.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    mean, scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
    scaled, offset, unit = (x - mean) / scale, float(y.mean()), np.eye(len(y))
    line = tuple(line)

    def negative_evidence(log: np.ndarray) -> float:
        amplitude, length, noise = np.exp(log)
        factor = cho_factor(_covariance(scaled, scaled, line, amplitude, length) + noise**2 * unit, lower=True)
        fit = 0.5 * (y - offset) @ cho_solve(factor, y - offset) + np.log(np.diag(factor[0])).sum()
        return float(fit + 0.5 * ((log - _PRIOR_MEAN) ** 2).sum())

    best = minimize(negative_evidence, _PRIOR_MEAN, method="L-BFGS-B", bounds=[(-5, 3)] * 3)
    amplitude, length, noise = (float(v) for v in np.exp(best.x))
    inverse = np.linalg.inv(_covariance(scaled, scaled, line, amplitude, length) + noise**2 * unit)
    weight = inverse @ (y - offset)
    residual, sd = weight / np.diag(inverse), np.sqrt(1.0 / np.diag(inverse))
    process = GaussianProcess(
        tuple(features), line, mean, scale, scaled, weight, offset, amplitude, length, noise, conformal_factor(residual / sd)
    )
    return process, y - residual
