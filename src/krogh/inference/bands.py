"""Draw curves through the data: the fit, the band of curves that the parameters allow, and the band in which new values fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from krogh.inference.experiment import Experiment
from krogh.inference.fit import Fit
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.predictors import predictor
from krogh.inference.target import Target

__all__ = ["ERRORS", "Band", "draw_bands", "normal_draws", "series_at"]

_POINTS = 91
#: Standard normal errors of new values: quantiles in place of draws, so that a band has no noise of its own.
ERRORS = norm.ppf((np.arange(80) + 0.5) / 80)
_LARGEST_SD = 1.0


@dataclass(frozen=True)
class Band:
    """Hold one series over time; arrays (T,), SI.

    Attributes
    ----------
    fit : array
        Curve of the best parameters.
    low, high : array
        95 % of the curves.
    value_low, value_high : array
        95 % of new values: curves with the error of a measurement.
    """

    dataset: str
    matrix: str
    t_s: np.ndarray
    fit: np.ndarray
    low: np.ndarray
    high: np.ndarray
    value_low: np.ndarray
    value_high: np.ndarray


def normal_draws(target: Target, fit: Fit, count: int, *, seed: int = 0) -> np.ndarray:
    """Return log-parameters (count, P) from the normal approximation; along directions that are not held, at most a factor e."""
    values, vectors = np.linalg.eigh(fit.covariance)
    sd = np.minimum(np.sqrt(np.maximum(values, 0.0)), _LARGEST_SD)
    noise = np.random.default_rng(seed).standard_normal((count, fit.x.size))
    return np.clip(fit.x + (noise * sd) @ vectors.T, target.low, target.high)


def draw_bands(
    experiments: Mapping[str, Experiment],
    parameters: Sequence[Parameter],
    data: Observations,
    best: np.ndarray,
    draws: np.ndarray,
) -> list[Band]:
    """Return one band for each series of the data.

    Parameters
    ----------
    experiments, parameters, data
        What was fitted.
    best : array (P,)
        Log-parameters of the fit.
    draws : array (R, P)
        Log-parameters of the band: posterior samples.
    """
    keys = list(dict.fromkeys(zip(data.dataset, data.matrix, strict=True)))
    end = {name: max(t for d, t in zip(data.dataset, data.t_s, strict=True) if d == name) for name in experiments}
    shape = np.linspace(0.0, 1.0, _POINTS) ** 1.5  # closer where the curve rises
    joined = Observations.join([series_at(data, d, m, float(end[d]) * shape) for d, m in keys])
    curves = predictor(experiments, parameters, joined)(np.exp(np.concatenate([best[None], draws])))
    values = (curves[1:] + joined.spread(curves[1:]) * ERRORS[:, None, None]).reshape(-1, curves.shape[1])
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    below, above = np.quantile(values, [0.025, 0.975], axis=0)
    parts = np.split(np.stack([joined.t_s, curves[0], low, high, below, above]), len(keys), axis=1)
    return [Band(d, m, *part) for (d, m), part in zip(keys, parts, strict=True)]


def series_at(data: Observations, dataset: str, matrix: str, t_s: np.ndarray) -> Observations:
    """Return a series of `data` at other times (T,), with its errors and limits interpolated; the values are its largest."""
    mine = np.array([d == dataset and m == matrix for d, m in zip(data.dataset, data.matrix, strict=True)])
    rows = np.flatnonzero(mine)
    rows = rows[np.argsort(data.t_s[rows])]
    sd, cv, lloq = (np.interp(t_s, data.t_s[rows], x[rows]) for x in (data.sd, data.cv, data.lloq))
    value = np.full(t_s.size, np.nanmax(np.append(np.nan_to_num(data.value[rows]), data.lloq[rows])))
    return Observations((dataset,) * t_s.size, (matrix,) * t_s.size, t_s, value, sd, cv, lloq, np.zeros(t_s.size, dtype=int))
