"""Choose when to sample next: the times whose values would narrow the parameters most (D-optimal, one after the other).

A value adds ``curvature * s s^T`` to the information, with its sensitivity s at the present estimate. Each step takes the
candidate that raises the determinant of the information most, the prior included. It is a local design: right if the present
estimate is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from krogh.inference.bands import series_at
from krogh.inference.experiment import Experiment
from krogh.inference.fit import Fit
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.predictors import predictor
from krogh.inference.target import Target

__all__ = ["Suggestion", "next_times"]

_CANDIDATES = 40


@dataclass(frozen=True)
class Suggestion:
    """Hold one more value to measure, and the SD of each log-parameter (P,) once it and the ones before are there."""

    dataset: str
    matrix: str
    t_s: float
    sd: np.ndarray
    gain: float


def next_times(
    experiments: Mapping[str, Experiment],
    parameters: Sequence[Parameter],
    target: Target,
    fit: Fit,
    *,
    count: int = 3,
) -> list[Suggestion]:
    """Return the best `count` further values of the series that were measured; ``gain`` is the rise of log det / 2."""
    data = target.data
    keys = list(dict.fromkeys(zip(data.dataset, data.matrix, strict=True)))
    ends = {d: max(t for e, t in zip(data.dataset, data.t_s, strict=True) if e == d) for d, _ in keys}
    grids = [series_at(data, d, m, ends[d] * np.linspace(0.0, 1.25, _CANDIDATES + 1)[1:]) for d, m in keys]
    joined = Observations.join(grids)
    predict = predictor(experiments, parameters, joined)
    there = replace(target, predict=predict, slopes=predict.slopes if predict.exact else None, data=joined)
    (m,), (slopes,) = there.sensitivities(np.exp(fit.x)[None])
    as_seen = joined.with_values(np.where(m < joined.lloq, np.nan, m))
    weight = as_seen.loss(m).curvature
    information = np.linalg.inv(fit.covariance)
    out = []
    for _ in range(count):
        trial = information + np.einsum("np,n,nq->npq", slopes, weight, slopes)
        gains = np.linalg.slogdet(trial)[1]
        best = int(np.argmax(gains))
        gain = 0.5 * float(gains[best] - np.linalg.slogdet(information)[1])
        information = trial[best]
        sd = np.sqrt(np.diag(np.linalg.inv(information)))
        out.append(Suggestion(joined.dataset[best], joined.matrix[best], float(joined.t_s[best]), sd, gain))
    return out
