"""Follow a measured plasma curve: straight lines between the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError

__all__ = ["CurveBlood", "check_curve"]


def check_curve(t_s: np.ndarray, total_mol_m3: np.ndarray, where: str) -> None:
    """Refuse a curve that is no curve.

    Raises
    ------
    InputError
        If there are fewer than two samples, times do not rise strictly, or a value is negative or not finite; names the row.
    """
    if t_s.size < 2 or t_s.shape != total_mol_m3.shape:
        raise InputError(where, got=f"{t_s.size} samples", expected="at least 2")
    for row, (t, c) in enumerate(zip(t_s, total_mol_m3, strict=True), start=2):
        if not (np.isfinite(t) and np.isfinite(c)):
            raise InputError(f"{where}, line {row}", got=f"time {t}, concentration {c}", expected="finite numbers")
        if t < 0 or c < 0:
            raise InputError(f"{where}, line {row}", got=f"time {t:g} s, concentration {c:g} mol/m3", expected="values >= 0")
    falls = np.flatnonzero(np.diff(t_s) <= 0)
    if falls.size:
        row = int(falls[0]) + 3
        raise InputError(
            f"{where}, line {row}", got="a time not after the one before", expected="times in rising order", hint="sort the rows"
        )


@dataclass(frozen=True)
class CurveBlood:
    """Give the total concentration by linear interpolation; before the first sample it rises from 0, after the last it stays.

    Attributes
    ----------
    t_s : array, shape (sample,)
        Times [s], rising.
    total_mol_m3 : array, shape (sample,)
        Total plasma concentration of the species `index` of the problem.
    fu : array, shape (1, S)
        Unbound fractions; the other species are absent from blood.
    """

    t_s: np.ndarray
    total_mol_m3: np.ndarray
    fu: np.ndarray
    index: int = 0

    def total(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the total plasma concentration (1, S) [mol/m3]."""
        out = np.zeros(self.fu.shape)
        knots = self.t_s if self.t_s[0] == 0 else np.concatenate([[0.0], self.t_s])
        values = self.total_mol_m3 if self.t_s[0] == 0 else np.concatenate([[0.0], self.total_mol_m3])
        out[0, self.index] = np.interp(t_s, knots, values)
        return out

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the free plasma concentration (1, S) [mol/m3]."""
        return self.fu * self.total(t_s, left=left)

    def events(self, t_end_s: float) -> np.ndarray:
        """Return the samples inside (0, t_end_s): the curve has a kink at each."""
        return self.t_s[(self.t_s > 0) & (self.t_s < t_end_s)]

    def auc_total(self, t_end_s: float) -> np.ndarray:
        """Return the exact integral of the interpolated curve from 0 to `t_end_s` (1, S)."""
        grid = np.unique(np.concatenate([[0.0, t_end_s], self.t_s[self.t_s < t_end_s]]))
        curve = np.array([self.total(t)[0] for t in grid])
        return np.trapezoid(curve, grid, axis=0)[None]
