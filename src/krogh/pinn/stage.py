"""Say how far a training is, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """Hold the stretch of time that is trained, its best certificate so far (None: not known yet), and the step with its loss.

    Without a step the stretch is done.
    """

    begin_s: float
    end_s: float
    certificate: float | None
    step: int | None = None
    steps: int = 0
    loss: float = 0.0
