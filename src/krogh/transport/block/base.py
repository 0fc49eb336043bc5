"""Share what every block has, however its stages are solved: unknowns, right-hand side, membrane fluxes for given cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import ConvergenceError
from krogh.transport.block.flows import Flows
from krogh.transport.block.laws import Laws, LawValues
from krogh.transport.block.model import BlockModel
from krogh.transport.system import Stage

if TYPE_CHECKING:
    from krogh.transport.adjoint.system import AdjointSystem

__all__ = ["BlockBase", "Known"]


@dataclass(frozen=True)
class Known:
    """A state with the membrane fluxes that belong to it."""

    u: np.ndarray
    flux: np.ndarray
    values: LawValues


class BlockBase(ABC):
    """Serve a block to the steppers; a subclass solves the stages.

    Parameters
    ----------
    model : BlockModel
        The layered coefficients.
    laws, flows : Laws, Flows
        What crosses membranes, and everything else that flows.
    tolerance : float
        Largest error of a membrane flux over the largest flux; mass is kept to round-off whatever it is.
    """

    looks_ahead = False

    def __init__(self, model: BlockModel, laws: Laws, flows: Flows, tolerance: float) -> None:
        self.model, self.laws, self.flows, self.tolerance = model, laws, flows, tolerance
        self.shape = (1, len(model.species), model.unknowns)
        self.ledger_names = flows.names
        self._known: Known | None = None
        #: Newton iterations and products of the last stage.
        self.work = (0, 0)

    @property
    @abstractmethod
    def capacity(self) -> np.ndarray:
        """Return the amount per free concentration (1, S, N) [m3]."""

    @abstractmethod
    def stage(self, gh: float, r: np.ndarray, guess: np.ndarray, blood: np.ndarray) -> Stage:
        """Solve ``C U - gh F(U) = r``."""

    @abstractmethod
    def filter(self, gh: float, u: np.ndarray, blood: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Return one linear solve, as well as an error estimate needs it."""

    @abstractmethod
    def refresh(self) -> None:
        """Forget whatever is kept between stages."""

    @abstractmethod
    def adjoint(self) -> AdjointSystem:
        """Return the transposed derivatives of F, for gradients."""

    @cached_property
    def parent_plane(self) -> np.ndarray:
        """Return the next plane towards the blood, -1 for the first."""
        model = self.model
        planes = [np.arange(-1, model.grid[0] - 1), *(np.arange(leaf.start, leaf.stop) for leaf in model.leaves)]
        return np.concatenate(planes)

    @cached_property
    def parent(self) -> np.ndarray:
        """Return the next unknown towards the blood."""
        plane, faces = self.parent_plane, self.model.faces
        return np.where(plane[:, None] >= 0, plane[:, None] * faces + np.arange(faces), -1).ravel().astype(np.int64)

    def planes_of(self, u: np.ndarray) -> np.ndarray:
        """Return a state (1, S, N) as planes (S, plane, F): x cells first, then the leaves'."""
        return u.reshape(self.shape[1], -1, self.model.faces)

    @property
    def plane_capacity(self) -> np.ndarray:
        """Return the capacity of the planes per barrier area (S, plane) [m]."""
        return np.concatenate([self.model.mass, *(leaf.mass for leaf in self.model.leaves)], axis=1)

    def plane_means(self, u: np.ndarray) -> np.ndarray:
        """Return the means over each plane, weighted by capacity, of a state: (1, S, plane)."""
        area = self.model.area_m2.ravel()
        return (self.planes_of(u) @ (area / area.sum()))[None]

    def consistent(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return `u`: a block has no unknown without storage."""
        return u

    def start(self, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F and the ledger rates, with every law solved face by face."""
        known = self._fluxes(u, blood[0])
        f = self.flows.rate(self.planes_of(u), blood[0], known.flux)
        flows = self.flows.ledger(self.planes_of(u), blood[0], known.flux, self._ports_of(known, u))
        return f.reshape(self.shape), flows[None]

    def stability_limit_s(self) -> float:
        """Return min C / (sum of conductances out): Gershgorin's bound; a membrane is bounded by the half cell behind it."""
        return self.flows.stability_limit_s()

    def _ports_of(self, known: Known, u: np.ndarray) -> np.ndarray:
        cells = self.planes_of(u)[:, self.model.port_cell].transpose(1, 0, 2)
        return self.laws.traces(cells, known.flux)

    def _fluxes(self, u: np.ndarray, blood: np.ndarray) -> Known:
        cells = self.planes_of(u)[:, self.model.port_cell].transpose(1, 0, 2)
        guess = self._known.flux if self._known is not None else np.zeros((self.laws.count, self.shape[1], self.model.faces))
        flux, values, good = self.laws.solve_traces(cells, blood, guess)
        if not good:
            flux, values, good = self.laws.solve_traces(cells, blood, np.zeros_like(guess))
        if not good:
            raise ConvergenceError("membrane faces", got="no balance of the fluxes", hint="check the kinetics of the routes")
        self._known = Known(u, flux, values)
        return self._known
