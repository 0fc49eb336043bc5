"""Keep what a method with fixed steps leaves behind: at most a thousand states, and how well mass was kept between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from krogh.transport.march import March

if TYPE_CHECKING:
    from krogh.transport.system import System

__all__ = ["Records"]


class Records:
    """Fill a march.

    Parameters
    ----------
    system : System
        What is marched.
    reduce : callable
        What to keep of a state (B, S, N).
    observe : callable or None
        Called with (t, u, slope), for results that are too large to be kept.
    """

    def __init__(
        self,
        system: System,
        reduce: Callable[[np.ndarray], np.ndarray],
        observe: Callable[[float, np.ndarray, np.ndarray], None] | None,
    ) -> None:
        self.out, self._reduce, self._observe = March(), reduce, observe
        self._capacity = system.capacity
        self._signs = np.array([sign for _, sign in system.ledger_names], dtype=float)
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def take(self, t: float, u: np.ndarray, ledger: np.ndarray, new: np.ndarray, dt: float) -> None:
        """Keep a state, its slope from `new`, where it goes in `dt`, and the cumulative ledger; the arrays may be used again."""
        out, kept = self.out, np.array(self._reduce(u))
        out.t_s.append(t)
        out.u.append(kept)
        out.slope.append((self._reduce(new) - kept) / dt)
        out.slope_before.append(out.slope[-1])
        out.ledger.append(ledger.copy())
        self._weigh(u, ledger)
        if self._observe is not None:
            self._observe(t, u.copy(), (new - u) / dt)

    def _weigh(self, u: np.ndarray, ledger: np.ndarray) -> None:
        """Note the defect since the state before, over what is held or moved, and the deepest undershoot."""
        held = np.einsum("...n,...n->...", np.broadcast_to(self._capacity, u.shape), u)
        if self._before is not None:
            change = ledger - self._before[1]
            size = np.maximum(np.maximum(np.abs(held), np.abs(self._before[0])), np.abs(change).max(-1, initial=0.0)) + 1e-300
            defect = np.abs(held - self._before[0] - change @ self._signs) / size
            self.out.worst_defect = max(self.out.worst_defect, float(defect.max()))
        self.out.most_negative = min(self.out.most_negative, float(u.min() / max(float(u.max()), 1e-300)))
        self._before = held, ledger.copy()
