"""Hold trained networks so that whatever reads a finite-volume solution reads them too."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from krogh.pinn.march import Trained
from krogh.pinn.physics import Slab
from krogh.pinn.sampling import march_of, states
from krogh.transport.march import March
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem, Solution

__all__ = ["ByWindows", "PinnSolution"]


class ByWindows:
    """Share what every geometry's solution knows of its windows.

    Attributes
    ----------
    windows : tuple of Trained
        One per time window, in order.
    tol : float
        What the certificate was asked to reach.
    """

    windows: tuple[Trained, ...]
    tol: float

    @property
    def certificate(self) -> float:
        """Return the residual on fresh points in units of concentration, over the size of each layer: the worst window."""
        return max(w.certificate for w in self.windows)

    @property
    def solver(self) -> str:
        """Return in words what solved the problem."""
        return f"networks, certificate {self.certificate:.0e}"

    @property
    def converged(self) -> bool:
        """Tell whether the certificate is within the tolerance."""
        return self.certificate <= self.tol

    def _split(self, t: np.ndarray) -> list[tuple[Any, np.ndarray]]:
        """Return each window with a mask of the times that lie in it; round-off beyond the end belongs to the last."""
        out = []
        for k, w in enumerate(self.windows):
            clock = w.window.clock
            low, high = clock.start_s + clock.a_s, clock.start_s + clock.b_s
            here = (t > low) & (t <= high) if k else t <= high
            if k == len(self.windows) - 1:
                here |= t > high
            if np.any(here):
                out.append((w.window, here))
        return out


class PinnSolution(ByWindows, Solution):
    """Hold the trained networks; everything that reads a finite-volume :class:`Solution` reads this one too.

    The cells of ``problem.mesh`` only say where the networks are sampled; :meth:`at` evaluates them anywhere.

    """

    def __init__(self, problem: Problem, slab: Slab, windows: tuple[Trained, ...], tol: float) -> None:
        for name, value in (
            ("problem", problem),
            ("operator", Operator(problem.graph())),
            ("slab", slab),
            ("windows", windows),
            ("tol", tol),
        ):
            object.__setattr__(self, name, value)

    slab: Slab

    @cached_property
    def march(self) -> March:  # type: ignore[override]
        """Return states, ledger and AUC on the mesh of the problem."""
        return march_of(self.operator, self.problem, self.windows)

    @property
    def unknowns(self) -> int:
        """Return the number of trained weights."""
        return sum(w.window.hidden + sum(c.size for of in w.window.coefficients for c in of) for w in self.windows)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return u at the times `t_s` on the nodes of the mesh, shape (time, B, S, N), straight from the networks."""
        t = np.asarray(t_s, dtype=float)
        out = np.zeros((t.size, *self.operator.graph.shape))
        for w, here in self._split(t):
            out[here] = states(self.operator, self.problem, w, t[here] - w.clock.start_s)
        return out

    def at(self, layer: int, x_m: np.ndarray, t_s: np.ndarray, species: int = 0) -> np.ndarray:
        """Return the free concentration in a layer at depths `x_m` and times `t_s` (points) [mol/m3]."""
        x, t = np.broadcast_arrays(np.asarray(x_m, dtype=float), np.asarray(t_s, dtype=float))
        out = np.zeros(x.shape)
        for w, here in self._split(t):
            out[here] = w.evaluate(species, layer, x[here], np.maximum(t[here] - w.clock.start_s, 0.0))[0]
        return out
