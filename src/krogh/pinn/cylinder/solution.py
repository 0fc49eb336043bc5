"""Hold the trained networks of a cylinder so that whatever reads a finite-volume solution reads them too."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from krogh.pinn.cylinder.axial import Axial
from krogh.pinn.cylinder.sampling import Sampler, march_of
from krogh.pinn.march import Trained
from krogh.pinn.physics import Slab
from krogh.pinn.solution import PinnSolution
from krogh.transport.march import March
from krogh.transport.problem import Problem

__all__ = ["CylinderSolution"]


class CylinderSolution(PinnSolution):
    """Hold the windows of a cylinder: u of the time since the blood arrived, in modes along the vessel."""

    def __init__(self, problem: Problem, slab: Slab, windows: tuple[Trained, ...], tol: float, fu: np.ndarray) -> None:
        super().__init__(problem, slab, windows, tol)
        object.__setattr__(self, "sampler", Sampler(self.operator, problem, tuple(w.window for w in windows), fu))

    sampler: Sampler

    @property
    def axial(self) -> Axial:
        """Return the modes along the vessel."""
        return self.windows[0].window.axial

    @cached_property
    def _march(self) -> tuple[March, np.ndarray]:
        return march_of(self.sampler)

    @property
    def march(self) -> March:  # type: ignore[override]
        """Return states, ledger and AUC on the mesh of the problem."""
        return self._march[0]

    @property
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S), the blood by its exact mean."""
        return self._march[1]

    @property
    def unknowns(self) -> int:
        """Return the number of trained weights."""
        return sum(c.size for w in self.windows for of in w.window.coefficients for mode in of for c in mode)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return u at the times `t_s` on the nodes of the mesh, shape (time, B, S, N), straight from the networks."""
        return self.sampler.states(np.asarray(t_s, dtype=float))

    def at(self, layer: int, x_m: np.ndarray, t_s: np.ndarray, species: int = 0, z_m: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the free concentration in a layer at depths `x_m`, times `t_s` and distances `z_m` from the inlet [mol/m3]."""
        x, t, z = np.broadcast_arrays(np.asarray(x_m, dtype=float), np.asarray(t_s, dtype=float), np.asarray(z_m, dtype=float))
        return self.sampler.tissue(species, layer, x.ravel(), z.ravel(), t.ravel())[0].reshape(x.shape)
