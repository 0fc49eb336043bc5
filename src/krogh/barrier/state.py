"""Say in which state the barrier is: healthy, leaky, with pumps blocked, with pericytes lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from krogh.errors import InputError

__all__ = ["BarrierState"]

#: Leak without any pericytes over healthy leak, and share of blood flow lost with them. Assumed: pericyte-deficient
#: mice leak several fold more (Armulik 2010 doi:10.1038/nature09522) and have less flow (Bell 2010
#: doi:10.1016/j.neuron.2010.09.043); no dose-response found.
_LEAK_WITHOUT_PERICYTES = 10.0
_FLOW_LOST_WITHOUT_PERICYTES = 0.2


@dataclass(frozen=True, slots=True)
class BarrierState:
    """Modify the healthy barrier.

    Attributes
    ----------
    leak_factor : float
        Open area of the tight junctions over healthy, >= 0.
    pericyte_coverage : float
        Share of the healthy coverage, 0..1: less raises the leak and lowers the flow.
    efflux_activity : mapping of str to float
        Share of a pump that works, by name (``P-gp``) or for ``all``; 0 blocks it.
    amino_acids : float
        Plasma amino acids over fasting: they compete at LAT1 (a protein meal: about 2).
    volumetric_efflux : bool
        Spread luminal pumps through the endothelium as early models did; for comparison only.
    """

    leak_factor: float = 1.0
    pericyte_coverage: float = 1.0
    efflux_activity: Mapping[str, float] = field(default_factory=dict)
    amino_acids: float = 1.0
    volumetric_efflux: bool = False

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        checks = {"leak factor": self.leak_factor, "amino acids": self.amino_acids}
        checks |= {f"activity of {name}": value for name, value in self.efflux_activity.items()}
        for name, value in checks.items():
            if not (math.isfinite(value) and value >= 0):
                raise InputError(name, got=value, expected="a finite value >= 0 (1 = healthy)")
        if not 0 <= self.pericyte_coverage <= 1:
            raise InputError("pericyte coverage", got=self.pericyte_coverage, expected="0 to 1 (1 = healthy)")

    @property
    def total_leak(self) -> float:
        """Return the leak factor with what missing pericytes add, linear in their loss."""
        return self.leak_factor * (1 + (_LEAK_WITHOUT_PERICYTES - 1) * (1 - self.pericyte_coverage))

    @property
    def flow_factor(self) -> float:
        """Return the blood flow over healthy."""
        return 1 - _FLOW_LOST_WITHOUT_PERICYTES * (1 - self.pericyte_coverage)

    def activity(self, pump: str) -> float:
        """Return the share of `pump` that works."""
        return self.efflux_activity.get(pump, self.efflux_activity.get("all", 1.0))
