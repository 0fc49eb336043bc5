"""Predict FEXI signals: any signal model under its protocol, with S0 of every series at its best value for each tissue.

S0 is a nuisance that enters linearly. For each trial of the tissue parameters it takes the value that the likelihood likes best,
so that profiles, intervals and the information are those of the tissue alone (variable projection, Golub and Pereyra 1973
doi:10.1137/0710036). Sensitivities are exact: those of the signal model, and of S0 by the implicit function theorem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter

__all__ = ["Scan", "Signals"]

_ROUNDS = 60
_CAUTION = 0.3
_DONE = 1e-12


@dataclass(frozen=True)
class Scan:
    """Hold how one curve was measured.

    Attributes
    ----------
    name : str
        As in the column ``dataset`` of the data.
    protocol : Protocol
        All volumes.
    volume : int array (N,)
        Volume of each value of the curve.
    model : SignalModel
        What predicts; all its parameters, free or held.
    held : array (K,)
        Values of the model's parameters, SI; those of free ones are not used.
    place : mapping of str to int
        Name of a parameter -> its place among the model's.
    """

    name: str
    protocol: Protocol
    volume: np.ndarray
    model: SignalModel
    held: np.ndarray
    place: dict[str, int] = field(default_factory=dict)
    solver: str = "fexi"


class Signals:
    """Predict the values of one curve.

    Parameters
    ----------
    setup : Scan
        How it was measured.
    parameters : sequence of Parameter
        What the columns of theta are.
    data : Observations
        Its values; they choose S0.
    """

    exact = True

    def __init__(self, setup: Scan, parameters: Sequence[Parameter], data: Observations) -> None:
        self.setup, self.data = setup, data
        self.free = [setup.place[p.name] for p in parameters]
        _, series = np.unique(setup.protocol.series_index[setup.volume], return_inverse=True)
        self.member = (series[:, None] == np.arange(series.max() + 1)).astype(float)  # (N, series that were measured)

    def tissue(self, theta: np.ndarray) -> np.ndarray:
        """Return all parameters of the model (R, K) from the free ones (R, P)."""
        full = np.repeat(self.setup.held[None], len(theta), axis=0)
        full[:, self.free] = theta
        return full

    def s0(self, shape: np.ndarray) -> np.ndarray:
        """Return the S0 of every value (R, N) that the likelihood likes best for signals (R, N) of S0 = 1."""
        flat = 1.0 / self.data.sd**2
        heavy = (flat * shape**2) @ self.member
        level = ((flat * shape * self.data.value) @ self.member) / heavy  # exact where errors are normal
        for _ in range(_ROUNDS):
            each = level @ self.member.T
            loss = self.data.loss(each * shape)
            pull = (loss.slope * shape) @ self.member
            step = pull / np.maximum((loss.curvature * shape**2) @ self.member, _CAUTION * heavy)
            level = np.maximum(level - step, 1e-12 * level)
            if np.all(np.abs(step) <= _DONE * level):
                break
        return np.asarray(level @ self.member.T)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return predictions (R, N) at parameters (R, P)."""
        shape = self.setup.model.shape(self.tissue(theta), self.setup.protocol)[:, self.setup.volume]
        return self.s0(shape) * shape

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (R, N) and their derivatives by the log-parameters (R, N, P)."""
        full, scan = self.tissue(theta), self.setup
        shape = scan.model.shape(full, scan.protocol)[:, scan.volume]
        s0 = self.s0(shape)
        by_shape = scan.model.shape_jacobian(full, scan.protocol)[:, scan.volume][:, :, self.free] * theta[:, None]
        loss = self.data.loss(s0 * shape)
        # where sum(slope shape) = 0 in each series, S0 moves so that it stays 0
        turn = (loss.curvature * s0 * shape + loss.slope)[..., None] * by_shape
        stiff = (loss.curvature * shape**2) @ self.member
        by_s0 = -np.einsum("rnp,ns->rsp", turn, self.member) / stiff[..., None]
        return s0 * shape, s0[..., None] * by_shape + shape[..., None] * np.einsum("rsp,ns->rnp", by_s0, self.member)

    def levels(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return S0 of the measured series at parameters (P,), and their mixing times [s]: (series,) each."""
        shape = self.setup.model.shape(self.tissue(theta[None]), self.setup.protocol)[:, self.setup.volume]
        first = self.member.argmax(0)
        return self.s0(shape)[0, first], self.setup.protocol.mixing_time_s[self.setup.volume][first]
