"""Read a march: concentrations at any time, means over media, ledgers, the mass balance; the same for every geometry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from krogh.transport.march import March

__all__ = ["LedgerSolution"]


class LedgerSolution(ABC):
    """Give results and metrics one view of a march; B batch, S species, K kept values of a state.

    Amounts are per square metre of barrier in slab and block, per capillary or network elsewhere.
    """

    march: March

    @property
    @abstractmethod
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the rows of the ledger with their sign in the mass balance."""

    @property
    @abstractmethod
    def capacity(self) -> np.ndarray:
        """Return the capacity of the kept values (B, S, K)."""

    @property
    @abstractmethod
    def auc(self) -> np.ndarray:
        """Return the time integral of the kept values (B, S, K), by the weights of the stepper."""

    @property
    @abstractmethod
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S)."""

    @property
    @abstractmethod
    def cell_nodes(self) -> np.ndarray:
        """Return the kept values along the path from blood to tissue."""

    @property
    @abstractmethod
    def tissue_volume(self) -> float:
        """Return the volume of end-feet and interstitium, in the measure of the amounts."""

    @abstractmethod
    def nodes(self, name: str) -> np.ndarray:
        """Return the kept values that belong to a medium."""

    @property
    def ledger_scale(self) -> float:
        """Return what the amounts of the march are divided by."""
        return 1.0

    @property
    def solver(self) -> str:
        """Return in words what solved the problem."""
        return "finite volumes"

    @property
    def t_s(self) -> np.ndarray:
        """Return the times of the accepted steps [s]."""
        return np.array(self.march.t_s)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return the kept values at the times `t_s`, (time, B, S, K): cubic between the steps (``march.hermite``)."""
        return self.march.at(t_s)

    def ledger(self, name: str) -> np.ndarray:
        """Return the cumulative amount of one ledger row at the steps, shape (step, B, S)."""
        names = [n for n, _ in self.ledger_names]
        return np.array([entry[..., names.index(name)] for entry in self.march.ledger]) / self.ledger_scale

    def medium(self, name: str, u: np.ndarray) -> np.ndarray:
        """Return the mean free concentration of a medium, weighted by its capacity: (..., B, S) from (..., B, S, K)."""
        nodes = self.nodes(name)
        weight = self.capacity[..., nodes]
        return (u[..., nodes] * weight).sum(-1) / weight.sum(-1)

    def amount(self, names: Sequence[str], u: np.ndarray) -> np.ndarray:
        """Return the amount in several media: (..., B, S) from (..., B, S, K)."""
        nodes = np.concatenate([self.nodes(n) for n in names])
        return (u[..., nodes] * self.capacity[..., nodes]).sum(-1)

    @property
    def mass_defect(self) -> float:
        """Return (stored - in + out + lost - formed) / throughput over the whole run, worst species."""
        signs = np.array([s for _, s in self.ledger_names], dtype=float)
        last = self.march.ledger[-1] / self.ledger_scale
        stored = self.stored
        through = np.maximum((last * (signs > 0)).sum(-1), np.abs(stored)) + 1e-300
        return float((np.abs(stored - last @ signs) / through).max())
