"""Speed up a fixed-point iteration by what its last steps have shown (Anderson, 1965, doi:10.1145/321296.321305)."""

from __future__ import annotations

import numpy as np

__all__ = ["Anderson"]

_DEPTH = 8


class Anderson:
    """Mix iterates: the combination of the last steps whose residual is smallest."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.residuals: list[np.ndarray] = []

    def mix(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Return the next point, given a point and its image."""
        self.points.append(x.ravel())
        self.residuals.append((g - x).ravel())
        del self.points[: -_DEPTH - 1], self.residuals[: -_DEPTH - 1]
        if len(self.points) == 1:
            return g
        dx, df = (np.diff(np.array(v), axis=0).T for v in (self.points, self.residuals))
        weight = np.linalg.lstsq(df, self.residuals[-1], rcond=1e-10)[0]
        return (g.ravel() - (dx + df) @ weight).reshape(x.shape)
