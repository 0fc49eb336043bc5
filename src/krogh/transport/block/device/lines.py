"""Solve one tridiagonal system along x per mode of (y, z), all modes at once; see :mod:`krogh.transport.block.planes`.

Each row of the elimination is one operation on a whole plane of modes. Pivots are formed in float64, where the sums of large
couplings and small capacities keep their digits; rounded to float32 afterwards, each still has its own seven.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["Lines"]


class Lines:
    """Hold the inverse pivots (nx, F) of ``diagonal_i + spread_i modes_f`` with off-diagonals ``-lower, -upper``.

    Rows before the window w0..w1 are eliminated downwards, those behind it upwards; the window itself downwards.
    """

    def __init__(
        self, diagonal: np.ndarray, spread: np.ndarray, modes: torch.Tensor, lower: np.ndarray, upper: np.ndarray,
        window: tuple[int, int], work: torch.dtype,
    ) -> None:  # fmt: skip
        self.lower, self.upper = lower.tolist(), upper.tolist()
        (self.w0, self.w1), self.nx = window, diagonal.size
        d, w = (torch.tensor(x, device=modes.device)[:, None] for x in (diagonal, spread))
        pivots = torch.addcmul(d, w, modes[None])
        for i in range(self.nx - 1, self.w1, -1):
            if i < self.nx - 1:
                pivots[i].sub_(pivots[i + 1], alpha=self.upper[i] * self.lower[i + 1])
            pivots[i].reciprocal_()
        for i in range(self.w1 + 1):
            if i > 0:
                pivots[i].sub_(pivots[i - 1], alpha=self.lower[i] * self.upper[i - 1])
            if i == self.w1 and i < self.nx - 1:
                pivots[i].sub_(pivots[i + 1], alpha=self.upper[i] * self.lower[i + 1])
            pivots[i].reciprocal_()
        self.inverse = pivots.to(work)

    def eliminate(self, y: torch.Tensor) -> None:
        """Carry the right-hand side (nx, F) from both ends to the window, in place."""
        inverse = self.inverse
        for i in range(1, self.w0 + 1):
            y[i].addcmul_(inverse[i - 1], y[i - 1], value=self.lower[i])
        for i in range(self.nx - 2, self.w1 - 1, -1):
            y[i].addcmul_(inverse[i + 1], y[i + 1], value=self.upper[i])

    def solve_window(self, y: torch.Tensor) -> None:
        """Solve inside the window, in place; ``y`` (window, F)."""
        inverse, w0 = self.inverse[self.w0 : self.w1 + 1], self.w0
        for k in range(1, y.shape[0]):
            y[k].addcmul_(inverse[k - 1], y[k - 1], value=self.lower[w0 + k])
        y.mul_(inverse)
        for k in range(y.shape[0] - 2, -1, -1):
            y[k].addcmul_(inverse[k], y[k + 1], value=self.upper[w0 + k])

    def substitute(self, y: torch.Tensor) -> None:
        """Go from the solved window outwards to both ends, in place."""
        inverse, w0, w1 = self.inverse, self.w0, self.w1
        y[:w0].mul_(inverse[:w0])
        y[w1 + 1 :].mul_(inverse[w1 + 1 :])
        for i in range(w0 - 1, -1, -1):
            y[i].addcmul_(inverse[i], y[i + 1], value=self.upper[i])
        for i in range(w1 + 1, self.nx):
            y[i].addcmul_(inverse[i], y[i - 1], value=self.lower[i])

    def answer(self, unit: Sequence[tuple[int, float]], rows: Sequence[int]) -> torch.Tensor:
        """Return what `rows` (all in the window) answer to (row, amount) in every mode, (row, F)."""
        y = self.inverse.new_zeros(self.w1 - self.w0 + 1, self.inverse.shape[1])
        for row, amount in unit:
            y[row - self.w0] += amount
        self.solve_window(y)
        return y[[row - self.w0 for row in rows]]
