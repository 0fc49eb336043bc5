"""Hold any compartment kinetics with any doses as one sum of exponentials that start at given times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ExponentialBlood"]


@dataclass(frozen=True)
class ExponentialBlood:
    """Give c(t) = sum_j [t >= start_j] coefficient_j exp(-rate_j (t - start_j)).

    Constant input is a term with rate 0; an infusion is a rising pair at its start and the negative pair at its end.

    Attributes
    ----------
    start_s, rate_per_s, coefficient : arrays, shape (B, S, J)
        Padded with zeros where a compound has fewer terms. Coefficients in mol/m3 of total drug in plasma.
    fu : array, shape (B, S)
        Unbound fraction in plasma; only fu * total drives a flux.
    """

    start_s: np.ndarray
    rate_per_s: np.ndarray
    coefficient: np.ndarray
    fu: np.ndarray

    def total(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the total plasma concentration (B, S) [mol/m3] at `t_s`; with `left`, just before the doses given then."""
        age = t_s - self.start_s
        on = age > 0 if left else age >= 0
        return (self.coefficient * np.where(on, np.exp(-self.rate_per_s * np.maximum(age, 0.0)), 0.0)).sum(-1)

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the free plasma concentration fu * total (B, S) [mol/m3]."""
        return self.fu * self.total(t_s, left=left)

    def events(self, t_end_s: float) -> np.ndarray:
        """Return the times in (0, t_end_s) at which a term starts."""
        used = np.unique(self.start_s[self.coefficient != 0])
        return used[(used > 0) & (used < t_end_s)]

    def auc_total(self, t_end_s: float) -> np.ndarray:
        """Return the exact integral of the total concentration from 0 to `t_end_s` (B, S) [mol s/m3]."""
        age = np.maximum(t_end_s - self.start_s, 0.0)
        x = self.rate_per_s * age
        mean = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
        return (self.coefficient * age * mean).sum(-1)
