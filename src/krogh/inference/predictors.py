"""Predict data by whatever solves a setup. A new predictor is one file with a class and one line of :data:`PREDICTORS`.

A predictor is built from a setup (who was dosed with what; which protocol was scanned), the parameters and its part of the data,
and gives the predictions of these rows; where it has exact sensitivities, it gives them as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from krogh.errors import InputError, nearest
from krogh.inference.observations import Observations

__all__ = ["PREDICTORS", "Joined", "Predictor", "Setup", "predictor"]

#: Solver of a setup -> (module, class).
PREDICTORS: dict[str, tuple[str, str]] = {
    "fv": ("krogh.inference.experiment", "Solved"),
    "pinn": ("krogh.inference.experiment", "Solved"),
    "compartments": ("krogh.inference.compartments", "Chain"),
    "fexi": ("krogh.inference.signals", "Signals"),
}


class Setup(Protocol):
    """What a data set was measured on; ``solver`` names its predictor."""

    @property
    def solver(self) -> str:
        """Return a key of :data:`PREDICTORS`."""
        ...


class Predictor(Protocol):
    """Predict the rows of one data set. ``exact`` tells whether it has sensitivities of its own."""

    exact: bool

    def __init__(self, setup: Any, parameters: Sequence[Any], data: Observations) -> None: ...

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return predictions (R, N) at parameters (R, P)."""
        ...

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (R, N) and their derivatives by the log-parameters (R, N, P)."""
        ...


@dataclass(frozen=True)
class Joined:
    """Predict all rows of some data.

    Attributes
    ----------
    parts : tuple of (Predictor, rows)
        One a data set, and its rows.
    count : int
        Rows of the data.
    """

    parts: tuple[tuple[Predictor, np.ndarray], ...]
    count: int

    @property
    def exact(self) -> bool:
        """Tell whether all data sets have exact sensitivities."""
        return all(part.exact for part, _ in self.parts)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return predictions (R, N) at parameters (R, P)."""
        out = np.full((len(theta), self.count), np.nan)
        for part, rows in self.parts:
            out[:, rows] = part(theta)
        return out

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (R, N) and their derivatives by the log-parameters (R, N, P)."""
        m, by = np.full((len(theta), self.count), np.nan), np.full((len(theta), self.count, theta.shape[1]), np.nan)
        for part, rows in self.parts:
            m[:, rows], by[:, rows] = part.slopes(theta)
        return m, by


def predictor(setups: Mapping[str, Setup], parameters: Sequence[Any], data: Observations) -> Joined:
    """Return what predicts `data` from parameters (R, P).

    Raises
    ------
    InputError
        If the data name a data set or a matrix that is not known; names the line.
    """
    parts = []
    for name in dict.fromkeys(data.dataset):
        mine = np.array([d == name for d in data.dataset])
        if name not in setups:
            line = int(data.line[np.flatnonzero(mine)[0]])
            raise InputError(f"line {line}, dataset", got=f"'{name}'", hint=nearest(name, setups))
        module, kind = PREDICTORS[setups[name].solver]
        build: type[Predictor] = getattr(importlib.import_module(module), kind)
        parts.append((build(setups[name], parameters, data.take(mine)), np.flatnonzero(mine)))
    return Joined(tuple(parts), len(data.t_s))
