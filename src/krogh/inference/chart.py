"""Guess where a constrained minimum lies, from the points that are known: near each of them the objective is a quadratic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.inference.fit import Fit
from krogh.inference.target import Point

__all__ = ["Chart"]

#: Curvature added to every quadratic: a move of a log-parameter by 1 (a factor e) is trusted, one by 5 is charged like a rise.
_DISTRUST = 0.1
_MOST = 10


@dataclass(frozen=True)
class Chart:
    """Hold K points with the objective there: x, gradient (K, P), value (K,), information (K, P, P)."""

    x: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    information: np.ndarray

    @classmethod
    def of(cls, fit: Fit) -> Chart:
        """Return the chart of a fit alone."""
        return cls(fit.x[None], np.array([fit.value]), np.zeros((1, fit.x.size)), np.linalg.inv(fit.covariance)[None])

    @classmethod
    def join(cls, parts: Sequence[Chart]) -> Chart:
        """Return the points of several."""
        return cls(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("x", "value", "gradient", "information")))

    def add(self, at: Point) -> Chart:
        """Return the chart with more points."""
        return Chart.join([self, Chart(at.x, at.value, at.gradient, at.information)])

    def seen_by(self, forward: np.ndarray, back: np.ndarray) -> Chart:
        """Return the same points in the coordinates ``forward x``, whose inverse is `back`."""
        return Chart(self.x @ forward.T, self.value, self.gradient @ back, back.T @ self.information @ back)

    def guesses(self, k: int, value: float, low: np.ndarray, high: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return points (C, P) within the bounds with ``x_k = value`` that the quadratics promise to be low, the lowest first.

        They differ by a factor e at least; along a valley there are several. Points `first` (F, P) are known to be good ones.
        """
        free = np.arange(self.x.shape[1]) != k
        move = np.zeros_like(self.x)
        move[:, k] = value - self.x[:, k]
        curvature = self.information + _DISTRUST * np.eye(free.size)
        pull = self.gradient + np.einsum("kpq,kq->kp", curvature, move)
        step = -np.linalg.solve(curvature[:, free][:, :, free], pull[:, free, None])[..., 0]
        move[:, free] = np.clip(self.x[:, free] + step, low[free], high[free]) - self.x[:, free]
        rise = np.einsum("kp,kp->k", self.gradient, move) + 0.5 * np.einsum("kp,kpq,kq->k", move, curvature, move)
        promised = self.value + rise
        kept = list(np.clip(first, low, high))
        for j in np.argsort(promised):
            x = self.x[j] + move[j]
            if len(kept) < _MOST and all(np.abs(x - other).max() > 1.0 for other in kept):
                kept.append(x)
        return np.array(kept)
