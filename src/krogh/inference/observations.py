"""Hold what was measured, with its errors; say how likely it is under a prediction, also below the limit of quantification.

With the prediction m of one value y and its standard deviation ``s(m)^2 = sd^2 + (cv m)^2``::

    quantified         -log L = (y - m)^2 / (2 s^2) + log s
    below the limit L  -log L = -log Phi((L - m) / s)                 (method M3, Beal 2001 doi:10.1023/A:1012299115260)

The second is what was seen: a value somewhere below L. Leaving such values out, or putting L/2 in their place, biases
the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from krogh.errors import InputError

__all__ = ["Loss", "Observations"]

_ROOT_2PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True)
class Loss:
    """Hold -log L of each value, its slope by the prediction, and a curvature that is never negative; shape (..., N)."""

    value: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray


@dataclass(frozen=True)
class Observations:
    """Hold N values, in SI.

    Attributes
    ----------
    dataset, matrix : tuple of str
        Experiment that each belongs to, and what was measured (``interstitium``, ``brain total``, ``plasma`` ...).
    t_s : array (N,)
        Times after the first dose [s], >= 0.
    value : array (N,)
        Measured values [mol/m3]; NaN where only "below the limit" is known.
    sd, cv : arrays (N,)
        Standard deviation of each value [mol/m3] and relative to the prediction [1]; at least one of them > 0.
    lloq : array (N,)
        Lower limit of quantification [mol/m3]; 0 where none.
    line : array (N,)
        Line of the file, for messages.
    """

    dataset: tuple[str, ...]
    matrix: tuple[str, ...]
    t_s: np.ndarray
    value: np.ndarray
    sd: np.ndarray
    cv: np.ndarray
    lloq: np.ndarray
    line: np.ndarray

    def __post_init__(self) -> None:
        """Refuse what no likelihood can be computed for; names the line."""
        if not len(self.t_s):
            raise InputError("observations", got="none", expected="at least one row")
        checks = (
            ("time", self.t_s, "finite, >= 0", lambda v: v >= 0),
            ("SD", self.sd, "finite, >= 0", lambda v: v >= 0),
            ("CV", self.cv, "0 to 10", lambda v: (v >= 0) & (v <= 10)),
            ("limit of quantification", self.lloq, "finite, >= 0", lambda v: v >= 0),
            ("error", self.sd + self.cv, "an SD or a CV > 0", lambda v: v > 0),
            ("value below an unknown limit", np.where(self.censored, self.lloq, 1.0), "a limit > 0", lambda v: v > 0),
            ("value", np.where(self.censored, 0.0, self.value), "a finite number", lambda v: np.isfinite(v)),
        )  # fmt: skip
        for what, values, expected, good in checks:
            bad = np.flatnonzero(~(np.isfinite(values) & good(values)))
            if bad.size:
                i = int(bad[0])
                raise InputError(f"line {int(self.line[i])}, {what}", got=f"{values[i]:g}", expected=expected)

    @property
    def censored(self) -> np.ndarray:
        """Return which values are known only to lie below their limit (N,)."""
        return np.isnan(self.value) | (self.value < self.lloq)

    def with_values(self, value: np.ndarray) -> Observations:
        """Return the same design with other values (..., N): simulated data of studies."""
        return replace(self, value=np.asarray(value, dtype=float))

    def take(self, chosen: np.ndarray) -> Observations:
        """Return the rows where the mask `chosen` (N,) is true."""
        keep = np.flatnonzero(chosen)
        dataset, matrix = (tuple(x[i] for i in keep) for x in (self.dataset, self.matrix))
        numbers = (x[..., keep] for x in (self.t_s, self.value, self.sd, self.cv, self.lloq, self.line))
        return type(self)(dataset, matrix, *numbers)

    @classmethod
    def join(cls, parts: Sequence[Observations]) -> Observations:
        """Return all rows of several."""
        numbers = (np.concatenate([getattr(p, f) for p in parts]) for f in ("t_s", "value", "sd", "cv", "lloq", "line"))
        return cls(tuple(d for p in parts for d in p.dataset), tuple(m for p in parts for m in p.matrix), *numbers)

    def spread(self, m: np.ndarray) -> np.ndarray:
        """Return the standard deviation s(m) of values whose prediction is `m`; never below a millionth of the largest value."""
        floor = 1e-6 * np.nanmax(np.maximum(np.abs(np.nan_to_num(self.value)), self.lloq), axis=-1, keepdims=True)
        return np.sqrt(self.sd**2 + (self.cv * m) ** 2 + floor**2)

    def loss(self, m: np.ndarray) -> Loss:
        """Return -log L and its derivatives for the predictions `m` (..., N)."""
        s = self.spread(m)
        ds = self.cv**2 * m / s
        below = self.censored
        r = (np.where(below, 0.0, self.value) - m) / s
        value = 0.5 * r**2 + np.log(s)
        slope = -r / s - r**2 * ds / s + ds / s
        curvature = 1 / s**2 + 2 * (ds / s) ** 2
        z = (self.lloq - m) / s
        dz = -(1 + z * ds) / s
        log_phi = log_ndtr(z)
        ratio = np.exp(-0.5 * z**2 - log_phi) / _ROOT_2PI
        return Loss(
            np.where(below, -log_phi, value), np.where(below, -ratio * dz, slope),
            np.where(below, np.maximum(ratio * (z + ratio), 0.0) * dz**2, curvature),
        )  # fmt: skip

    def residual(self, m: np.ndarray) -> np.ndarray:
        """Return (y - m)/s (..., N); NaN below the limit."""
        return (np.where(self.censored, np.nan, self.value) - m) / self.spread(m)

    def draw(self, m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return simulated values (..., N) around the predictions `m`; those below their limit are NaN."""
        drawn = m + self.spread(m) * rng.standard_normal(m.shape)
        return np.where(drawn < self.lloq, np.nan, drawn)
