"""Test an inference on itself: simulate data from known parameters, infer them back, count bias and covered truths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binom, norm

from krogh.inference.descend import descend
from krogh.inference.fit import covariance
from krogh.inference.target import Target

__all__ = ["Calibration", "calibrate"]

_TOGETHER = 20


@dataclass(frozen=True)
class Calibration:
    """Hold a simulation study of D draws.

    Attributes
    ----------
    names : tuple of str
        Parameters.
    z : array (D, P)
        (estimate - truth)/SD of the log-parameters.
    root : array (D, P)
        Signed root of the profile likelihood at the truth: within -+1.96 where the profile interval holds it.
    x, sd : arrays (D, P)
        Estimates and their standard deviations.
    converged : bool array (D,)
        Which fits converged.
    """

    names: tuple[str, ...]
    z: np.ndarray
    root: np.ndarray
    x: np.ndarray
    sd: np.ndarray
    converged: np.ndarray

    @property
    def bias(self) -> np.ndarray:
        """Return the mean error in standard deviations (P,)."""
        return self.z.mean(0)

    def coverage(self, *, wald: bool = False, level: float = 0.95) -> np.ndarray:
        """Return the share of intervals that hold the truth (P,): profile intervals, or estimate -+ 1.96 SD."""
        return np.mean(np.abs(self.z if wald else self.root) <= norm.ppf(0.5 + level / 2), axis=0)

    def expected(self, level: float = 0.95, sure: float = 0.999) -> tuple[float, float]:
        """Return the range in which the share lies with probability `sure` if the intervals are right."""
        n, tail = len(self.z), (1 - sure) / 2
        return float(binom.ppf(tail, n, level)) / n, float(binom.ppf(1 - tail, n, level)) / n


def calibrate(target: Target, truth: np.ndarray, draws: int, *, seed: int = 0) -> Calibration:
    """Simulate `draws` data sets from log-parameters `truth` (P,) by the design of `target` and infer each of them.

    Fits start a factor of two from the truth. Many are followed at once: their predictions share the time steps.
    """
    rng = np.random.default_rng(seed)
    expected = target.predict(np.exp(truth)[None])[0]
    seen = target.data.draw(np.broadcast_to(expected, (draws, expected.size)), rng)
    study = replace(target, data=target.data.with_values(seen))
    parts = [_infer(study, truth, rows, rng) for rows in np.array_split(np.arange(draws), -(-draws // _TOGETHER))]
    x, sd, root, done = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Calibration(target.names, (x - truth) / sd, root, x, sd, done)


def _infer(study: Target, truth: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    p = study.size
    start = truth + np.log(2.0) * rng.choice([-1.0, 1.0], (rows.size, p))
    best = descend(study, start, rows=rows)
    x, sd = best.at.x, np.array([np.sqrt(np.diag(covariance(h))) for h in best.at.information])
    root = np.zeros_like(x)
    for k in range(p):
        held = np.zeros_like(x, dtype=bool)
        held[:, k] = True
        guess = x.copy()
        guess[:, k] = truth[k]
        there = descend(study, guess, rows=rows, held=held)
        root[:, k] = np.sign(x[:, k] - truth[k]) * np.sqrt(2 * np.maximum(there.at.value - best.at.value, 0.0))
    return x, sd, root, best.converged
