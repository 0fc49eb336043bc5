"""Hold the trained networks of a block so that whatever reads a finite-volume block reads them too."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from krogh.pinn.block.lateral import cosines
from krogh.pinn.block.sampling import fields, march_of, plane_modes
from krogh.pinn.march import Trained
from krogh.pinn.solution import ByWindows
from krogh.transport.block.problem import BlockProblem, BlockSolution
from krogh.transport.march import March

__all__ = ["BlockNetworks"]


class BlockNetworks(ByWindows, BlockSolution):
    """Hold the windows of a block: cosines along the barrier, networks in depth and time.

    The cells of the problem only say where the networks are sampled; :meth:`at` evaluates them anywhere.
    """

    def __init__(self, problem: BlockProblem, windows: tuple[Trained, ...], tol: float) -> None:
        for name, value in (("problem", problem), ("system", problem.system(1e-6)), ("windows", windows), ("tol", tol)):
            object.__setattr__(self, name, value)

    @cached_property
    def march(self) -> March:  # type: ignore[override]
        """Return plane means, ledger and AUC on the mesh of the problem."""
        return march_of(self.system, self.problem, [w.window for w in self.windows])

    @cached_property
    def fields(self) -> np.ndarray:
        """Return whole fields at ``problem.frames_s``, (frame, S, plane, ny, nz), float32."""
        return self.whole(self.problem.frames_s).astype(np.float32)

    @property
    def auc(self) -> np.ndarray:
        """Return the time integral of the plane means (1, S, plane)."""
        assert self.march.auc is not None
        return self.march.auc

    @property
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S) [mol/m2]."""
        return np.asarray((self.capacity * self.march.final).sum(-1))

    @property
    def unknowns(self) -> int:
        """Return the number of trained weights."""
        return sum(c.size for w in self.windows for of in w.window.groups for g in of for c in g.coefficients)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return the plane means at the times `t_s`, (time, B, S, plane), straight from the networks."""
        t = np.asarray(t_s, dtype=float)
        out = np.zeros((t.size, *self.capacity.shape))
        for w, here in self._split(t):
            out[here, 0] = plane_modes(self.problem, w, np.maximum(t[here] - w.clock.start_s, 0.0))[..., 0]
        return out

    def whole(self, t_s: np.ndarray) -> np.ndarray:
        """Return the cell means at the times `t_s`, (time, S, plane, ny, nz)."""
        t = np.asarray(t_s, dtype=float)
        grid = self.system.model.grid[1:]
        out = np.zeros((t.size, *self.capacity.shape[1:], *grid))
        for w, here in self._split(t):
            out[here] = fields(self.problem, w, np.maximum(t[here] - w.clock.start_s, 0.0))
        return out

    def at(self, layer: int, x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray, t_s: np.ndarray, species: int = 0) -> np.ndarray:
        """Return the free concentration at depths `x_m` in a layer, places along the barrier and times (points) [mol/m3]."""
        x, y, z, t = (np.asarray(v, dtype=float) for v in np.broadcast_arrays(x_m, y_m, z_m, t_s))
        out = np.zeros(x.shape)
        for w, here in self._split(t):
            lateral = w.lateral
            of_y = cosines(y[here] / lateral.y.edge_m[-1], lateral.along_y)
            of_z = cosines(z[here] / lateral.z.edge_m[-1], lateral.along_z)
            modes = w.evaluate(species, layer, x[here], np.maximum(t[here] - w.clock.start_s, 0.0))[0]
            grid = modes.reshape(-1, lateral.along_y, lateral.along_z)
            out[here] = np.einsum("nkl,nk,nl->n", grid, of_y, of_z)
        return out
