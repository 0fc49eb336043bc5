"""Hold what a comparison with published data found, in a form that a report can show and a script can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from krogh.runs.infer import Inference

__all__ = ["Curve", "Goal", "Row", "Study"]


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one published number beside the model's.

    Attributes
    ----------
    what, matrix, unit : str
        Drug, species and condition; what was measured, by name (unbound interstitium, total brain, lumbar CSF ...); unit.
    observed, predicted : float
        The pair.
    sd : float
        Published SD, NaN where none is given.
    fitted : str
        Which parameters of the prediction were fitted to which data.
    scored : bool
        Whether it counts: a row that something was fitted to does not.
    note : str
        Why the model may miss.
    """

    what: str
    matrix: str
    unit: str
    observed: float
    predicted: float
    sd: float = float("nan")
    fitted: str = "nothing"
    scored: bool = True
    note: str = ""

    @property
    def fold(self) -> float:
        """Return predicted over observed."""
        return self.predicted / self.observed if self.observed > 0 else float("nan")

    @property
    def within_sd(self) -> bool | None:
        """Return whether the prediction lies within the published SD; None without one."""
        return None if np.isnan(self.sd) else abs(self.predicted - self.observed) <= self.sd


@dataclass(frozen=True, slots=True)
class Goal:
    """Hold one number with what it should be."""

    what: str
    value: float
    goal: str
    met: bool | None
    beside: str = ""
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Curve:
    """Hold one time course: measured points and the model's lines by name [s, mol/m3]."""

    title: str
    matrix: str
    t_s: np.ndarray
    observed: np.ndarray
    sd: np.ndarray
    model_t_s: np.ndarray
    models: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """Hold one comparison.

    Attributes
    ----------
    name, title, text : str
        Short name, heading, and how to read it (data, traps, why it misses).
    source : str
        Where the measurements are from.
    rows, goals, curves
        What was found.
    kind : {"observations", "calibration"}
        Whether measurements are predicted, or a calibration is repeated.
    scatter : mapping
        Model -> (measured, predicted), for a picture of one against the other.
    fits : mapping
        Name -> a finished inference, each drawn with its data, bands and residuals.
    """

    name: str
    title: str
    text: str
    source: str
    rows: tuple[Row, ...] = ()
    goals: tuple[Goal, ...] = ()
    curves: tuple[Curve, ...] = ()
    kind: Literal["observations", "calibration"] = "observations"
    scatter: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    fits: Mapping[str, Inference] = field(default_factory=dict)
