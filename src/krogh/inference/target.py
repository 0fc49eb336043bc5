"""State what is minimised: -log posterior of log-parameters, with slopes from one batch of predictions with common time steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from krogh.errors import InputError
from krogh.inference.observations import Observations

__all__ = ["Point", "Predict", "Slopes", "Target", "contrast", "flat_prior"]

_BEYOND = 3.0
#: From parameters (R, P) to predictions (R, N): rows may be solved together.
Predict = Callable[[np.ndarray], np.ndarray]
#: From parameters (R, P) to predictions (R, N) and their derivatives by the log-parameters (R, N, P).
Slopes = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Point:
    """Hold C points: value (C,), gradient (C, P), information (C, P, P), predictions (C, N), slopes (C, N, P)."""

    x: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    information: np.ndarray
    predicted: np.ndarray
    slopes: np.ndarray

    def take(self, chosen: Sequence[int] | np.ndarray) -> Point:
        """Return some of the points."""
        return Point(*(getattr(self, f.name)[list(chosen)] for f in fields(self)))


@dataclass(frozen=True)
class Target:
    """Join a model, data and a prior.

    Attributes
    ----------
    names : tuple of str
        Parameters.
    predict : callable
        Parameters (R, P) -> predictions (R, N).
    data : Observations
        N values; its values may be (C, N): then point c is held against row c.
    low, high : arrays (P,)
        Bounds of the log-parameters.
    center, precision : arrays (P,), (P, P)
        Normal prior of the log-parameters; a precision of 0 is a flat prior.
    step : float
        Difference of a log-parameter for the slopes (central): its square is their relative error.
    hard : bool array (P, 2), optional
        Which bounds, low and high, are known limits (a share is at most 1) and not just the reach of the search; none by default.
    slopes : callable, optional
        Predictions with exact slopes, for models that have them; else central differences of `predict`.
    """

    names: tuple[str, ...]
    predict: Predict
    data: Observations
    low: np.ndarray
    high: np.ndarray
    center: np.ndarray
    precision: np.ndarray
    step: float = 1e-3
    hard: np.ndarray | None = None
    slopes: Slopes | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that hold nothing."""
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise InputError(f"bounds of {name}", got=f"{np.exp(low):g} to {np.exp(high):g}", expected="0 < low < high")

    def leaning(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return which log-parameters (P,) lie on a bound that is no known limit, and would go on if they could."""
        near, pull = 1e-3, 0.1  # a rise of the deviance by 0.2 for a factor e moves no end by more than 3 % of the interval
        hard = np.zeros((self.size, 2), dtype=bool) if self.hard is None else self.hard
        below = (x <= self.low + near) & ~hard[:, 0] & (gradient > pull)
        return np.asarray(below | ((x >= self.high - near) & ~hard[:, 1] & (gradient < -pull)))

    @property
    def size(self) -> int:
        """Return the number of parameters P."""
        return len(self.names)

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return the objective at points (C, P), without slopes."""
        return self.weigh(x, self.predict(np.exp(x)))

    def weigh(self, x: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the objective at points (C, P) whose predictions (C, N) are known."""
        off = x - self.center
        return self.data.loss(predicted).value.sum(-1) + 0.5 * np.einsum("cp,pq,cq->c", off, self.precision, off)

    def look(self, x: np.ndarray, rows: np.ndarray | None = None) -> Point:
        """Return the objective and its derivatives at points (C, P).

        Parameters
        ----------
        x : array (C, P)
            Log-parameters.
        rows : int array (C,), optional
            Rows of the data that the points belong to, where the data hold several.
        """
        return self._point(x, *self.sensitivities(np.exp(x)), rows)

    def look_and_glance(self, x: np.ndarray, others: np.ndarray, rows: np.ndarray | None = None) -> tuple[Point, np.ndarray]:
        """Return :meth:`look` at points (C, P) and :meth:`value` at `others` (R, P); by differences it is one batch."""
        if self.slopes is not None or not len(others):
            return self.look(x, rows), self.value(others) if len(others) else np.zeros(0)
        shifted = self._shifted(np.exp(x), self.step)
        found = self.predict(np.concatenate([shifted, np.exp(others)]))
        looked, glanced = np.split(found, [len(shifted)])
        return self._point(x, *self._centred(looked, len(x), self.step), rows), self.weigh(others, glanced)

    def _point(self, x: np.ndarray, m: np.ndarray, slopes: np.ndarray, rows: np.ndarray | None) -> Point:
        data = self.data if rows is None else self.data.with_values(self.data.value[rows])
        loss = data.loss(m)
        off = x - self.center
        pull = off @ self.precision
        return Point(
            x, loss.value.sum(-1) + 0.5 * (pull * off).sum(-1), np.einsum("cn,cnp->cp", loss.slope, slopes) + pull,
            np.einsum("cnp,cn,cnq->cpq", slopes, loss.curvature, slopes) + self.precision, m, slopes,
        )  # fmt: skip

    def sensitivities(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (C, N) and slopes (C, N, P) at parameters (C, P): exact where the model has them."""
        return (self.slopes or self.differences)(theta)

    def differences(self, theta: np.ndarray, step: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (C, N) and slopes (C, N, P) at parameters (C, P), by central differences in one batch."""
        h = self.step if step is None else step
        return self._centred(self.predict(self._shifted(theta, h)), len(theta), h)

    def _shifted(self, theta: np.ndarray, h: float) -> np.ndarray:
        shifts = np.concatenate([np.zeros((1, self.size)), h * np.eye(self.size), -h * np.eye(self.size)])
        return np.asarray((theta[:, None] * np.exp(shifts)).reshape(-1, self.size))

    def _centred(self, found: np.ndarray, count: int, h: float) -> tuple[np.ndarray, np.ndarray]:
        p, found = self.size, found.reshape(count, 2 * self.size + 1, found.shape[-1])
        return found[:, 0], np.moveaxis(found[:, 1 : p + 1] - found[:, p + 1 :], 1, 2) / (2 * h)

    def without_prior(self) -> Target:
        """Return the likelihood alone."""
        return replace(self, precision=np.zeros_like(self.precision))

    def in_contrast(self, pivot: int, weights: np.ndarray, name: str) -> Target:
        """Return the same objective with log-parameter `pivot` replaced by ``sum_k weights_k x_k``; its own weight is not 0."""
        forward, back = contrast(pivot, weights)
        low, high = self.low.copy(), self.high.copy()
        ends = np.stack([weights * self.low, weights * self.high])
        low[pivot], high[pivot] = ends.min(0).sum(), ends.max(0).sum()
        names = (*self.names[:pivot], name, *self.names[pivot + 1 :])
        # where the parts of the combination are along the line that leaves it alone is nobody's concern
        hard = np.repeat((np.arange(self.size) != pivot)[:, None], 2, axis=1)

        def natural(theta: np.ndarray) -> np.ndarray:
            # the parts may leave their bounds, but no model is asked for what is far beyond them
            return np.exp(np.clip(np.log(theta) @ back.T, self.low - _BEYOND, self.high + _BEYOND))

        def predict(theta: np.ndarray) -> np.ndarray:
            return self.predict(natural(theta))

        def slopes(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            assert self.slopes is not None
            m, by = self.slopes(natural(theta))
            return m, by @ back

        return replace(
            self, names=names, predict=predict, slopes=slopes if self.slopes else None, low=low, high=high,
            center=forward @ self.center, precision=back.T @ self.precision @ back, hard=hard,
        )  # fmt: skip


def contrast(pivot: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix (P, P) that replaces coordinate `pivot` by ``sum_k weights_k x_k``, and its inverse."""
    forward, back = np.eye(weights.size), np.eye(weights.size)
    forward[pivot] = weights
    back[pivot] = -weights / weights[pivot]
    back[pivot, pivot] = 1.0 / weights[pivot]
    return forward, back


def flat_prior(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return center and precision of no prior."""
    return np.zeros(size), np.zeros((size, size))
