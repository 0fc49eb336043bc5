"""Keep the factors of the last step sizes: making one costs as much as hundreds of solves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

__all__ = ["KeptFactors"]

F = TypeVar("F")


class KeptFactors(Generic[F]):
    """Hold at most `most` factors of C + gh L, by gh and the capacity array that C is made of; the oldest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[tuple[float, int], F] = OrderedDict()

    def get(self, capacity: np.ndarray, gh: float, make: Callable[[], F]) -> F:
        """Return the factor, made where there is none."""
        key = (gh, id(capacity))
        if key not in self._held:
            self._held[key] = make()
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return self._held[key]

    def clear(self) -> bool:
        """Drop all; tell whether there were any."""
        held = bool(self._held)
        self._held.clear()
        return held

    def forget(self, capacity: np.ndarray) -> None:
        """Drop those of one capacity."""
        for key in [key for key in self._held if key[1] == id(capacity)]:
            del self._held[key]
