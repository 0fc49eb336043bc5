"""Keep whole fields at given times of a march, between the two steps that enclose each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from krogh.transport.march import hermite

__all__ = ["Frames"]


class Frames:
    """Observe a march; see :func:`krogh.transport.integrate.integrate`.

    Parameters
    ----------
    times_s : array
        Times of the frames [s].
    take : callable
        Called with the number of a frame and the state (1, S, N) at its time.
    """

    def __init__(self, times_s: np.ndarray, take: Callable[[int, np.ndarray], None]) -> None:
        self.times_s, self._take = times_s, take
        self._before: tuple[float, np.ndarray, np.ndarray] | None = None

    def __call__(self, t: float, u: np.ndarray, slope: np.ndarray) -> None:
        """Take the frames since the last step."""
        if self._before is not None:
            t0, u0, slope0 = self._before
            for i in np.flatnonzero((self.times_s > t0) & (self.times_s <= t)):
                pair = np.array([t0, t])
                # states may live on another device: they are fetched where a frame needs them
                ends, slopes = (np.stack([np.asarray(a), np.asarray(b)]) for a, b in ((u0, u), (slope0, slope)))
                here = hermite(pair, ends, slopes, slopes, self.times_s[i : i + 1])[0]
                self._take(int(i), here)
        self._before = (t, u, slope)
