"""Take a step of forward Euler in one pass over the cells of a layered block: state, area under the curve and plane sums.

Membranes are planes, evaluated route by route before the pass. Their fluxes start from where the last two steps lead and are
corrected by kept derivatives; Newton's method takes over where that is not near enough, as after a dose. Each flux leaves
one cell and enters another, so the tolerance never shows in the ledger.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from krogh.errors import ConvergenceError
from krogh.transport.block.flows import Flows
from krogh.transport.block.kernels import add_uptake
from krogh.transport.block.laws import Laws, apply_faces, invert_faces
from krogh.transport.block.ledger import Ways
from krogh.transport.block.model import BLOOD, BlockModel

__all__ = ["Forward"]

#: Largest miss of a flux, over the largest flux, that the last correction by kept derivatives is trusted with.
_NEAR = 1e-7
#: Corrections before Newton's method takes over.
_CORRECTIONS = 4
#: Steps after which derivatives are computed anew.
_FRESH = 200


class Forward:
    """Hold what the steps share.

    Parameters
    ----------
    model, laws, flows
        A layered block, what crosses its membranes, and everything else that flows.
    """

    def __init__(self, model: BlockModel, laws: Laws, flows: Flows) -> None:
        self.model, self.flows, self.faces = model, flows, _Faces(laws, flows.area)
        planes, nx = model.unknowns // model.faces, model.grid[0]
        self._shape = (len(model.species), planes, *model.grid[1:])
        self._states = [np.empty(self._shape) for _ in range(2)]
        self._inverse = 1.0 / np.concatenate([model.mass, *(leaf.mass for leaf in model.leaves)], axis=1)
        self._leaf_plane = np.full((len(model.leaves), nx), -1)
        self._exchange = np.zeros((len(model.species), len(model.leaves), nx))
        for i, leaf in enumerate(model.leaves):
            own, x = flows.planes(i), slice(leaf.start, leaf.stop)
            self._leaf_plane[i, x] = np.arange(own.start, own.stop)
            self._exchange[:, i, x] = leaf.exchange
        behind = np.unique(model.port_cell)
        self._row = np.full(nx, -1)
        self._row[behind] = np.arange(behind.size)
        self._gain = np.zeros((len(model.species), behind.size, *model.grid[1:]))

    def step(self, dt: float, u: np.ndarray, blood: np.ndarray, auc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u + dt F / C, and the ledger rates (1, S, row); adds dt u to `auc`.

        The returned state is valid until the step after the next.

        Parameters
        ----------
        dt : float
            Step [s], > 0.
        u, auc : array (1, S, N)
            State, and its time integral.
        blood : array (1, S)
            Free concentration in blood.

        Raises
        ------
        ConvergenceError
            If the membranes find no balance.
        """
        model, c = self.model, blood[0]
        old, area = u.reshape(self._shape), auc.reshape(self._shape)
        new = self._states[1] if np.shares_memory(old, self._states[0]) else self._states[0]
        planes = old.reshape(*self._shape[:2], -1)
        flux, ways = self.faces.solve(planes[:, model.port_cell].transpose(1, 0, 2), c)
        sums = np.zeros((self._shape[0], model.grid[0]))
        for s in range(self._shape[0]):
            euler_pass(
                old[s], new[s], area[s], dt, self._inverse[s], model.link[s], model.lateral[s], model.loss[s], model.inflow[s],
                float(c[s]), model.y.width_m, model.z.width_m, model.y.link_1_m, model.z.link_1_m, self._row,
                self._through(s, flux), self._leaf_plane, self._exchange[s],
                np.array([1.0 / leaf.trapping[s] for leaf in model.leaves]), sums[s],
            )  # fmt: skip
        self._react(dt, planes, new.reshape(planes.shape))
        return new.reshape(u.shape), self.flows.rows(planes, c, flux, ways, sums)[None]

    def _through(self, s: int, flux: np.ndarray) -> np.ndarray:
        """Return what the membranes bring to the planes behind their ports, per area, of species `s`."""
        gain = self._gain[s]
        gain[:] = 0.0
        for k, law in enumerate(self.model.laws):
            own = flux[k, s].reshape(gain.shape[1:])
            gain[self._row[self.model.port_cell[law.head]]] += own
            if law.tail != BLOOD:
                gain[self._row[self.model.port_cell[law.tail]]] -= own
        return gain

    def _react(self, dt: float, u: np.ndarray, new: np.ndarray) -> None:
        ones = np.ones(self.model.faces)
        for term in self.model.reactions:
            own = self.flows.range_of(term)
            for s, product in enumerate(term.law.product):
                if not np.any(term.rate[s] > 0):
                    continue
                for target, sign in ((s, -dt), (product, dt)):
                    if target is not None:
                        add_uptake(
                            u[s, own], term.rate[s] * self._inverse[target, own], term.inverse_km[s], ones, sign, new[target, own]
                        )


class _Faces:
    """Solve the laws face by face for cells that change little from call to call."""

    def __init__(self, laws: Laws, area: np.ndarray) -> None:
        self.laws, self.area = laws, area
        self._last: list[np.ndarray] = []
        self._inverse: np.ndarray | None = None
        self._age = 0

    def solve(self, cells: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, Ways]:
        """Return the fluxes (K, S, F) and the sums of the routes' one-way flows, for cells (P, S, F) and blood (S,)."""
        laws = self.laws
        if not laws.count:
            return np.zeros((0, *cells.shape[1:])), []
        guess = 2 * self._last[-1] - self._last[-2] if len(self._last) == 2 else np.zeros((laws.count, *cells.shape[1:]))
        self._age += 1
        if self._inverse is None or self._age >= _FRESH:
            return self._newton(cells, blood, guess)
        for _ in range(_CORRECTIONS):
            flux, ways, size = self._evaluate(laws.traces(cells, guess), blood)
            miss = flux - guess
            scale = max(float(np.abs(flux).max()), 1e-3 * size, 1e-300)
            worst = float(np.abs(miss).max())
            guess += apply_faces(self._inverse, miss.reshape(-1, miss.shape[-1])).reshape(miss.shape)
            if worst <= _NEAR * scale:
                self._last = [self._last[-1], guess]
                return guess, ways
        return self._newton(cells, blood, guess)

    def _newton(self, cells: np.ndarray, blood: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, Ways]:
        laws = self.laws
        flux, values, good = laws.solve_traces(cells, blood, guess)
        if not good:
            flux, values, good = laws.solve_traces(cells, blood, np.zeros_like(guess))
        if not good:
            raise ConvergenceError("membrane faces", got="no balance of the fluxes", hint="check the kinetics of the routes")
        self._inverse = invert_faces(np.eye(flux.shape[0] * flux.shape[1])[None] - laws.matrix(values, laws.own_weight))
        self._last, self._age = [self._last[-1] if self._last else flux, flux], 0
        return flux, self._evaluate(laws.traces(cells, flux), blood)[1]

    def _evaluate(self, traces: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, Ways, float]:
        flux, ways, size = np.zeros((self.laws.count, *traces.shape[1:])), [], 0.0
        for k, law in enumerate(self.laws.model.laws):
            tail = np.broadcast_to(blood[:, None], traces.shape[1:]) if law.tail == BLOOD else traces[law.tail]
            for route in law.routes:
                there, back = (np.asarray(x)[0] for x in route.flux(tail[None], traces[law.head][None])[:2])
                flux[k] += there
                flux[k] -= back
                size = max(size, float(there.max()), float(back.max()))
                ways.append((there @ self.area, back @ self.area))
        return flux, ways, size


@njit(cache=True, nogil=True)
def euler_pass(  # type: ignore[no-untyped-def]
    u, new, auc, dt, inverse, link, lateral, loss, inflow, blood, dy, dz, ty, tz, row_of, gain, leaf_plane, exchange, escape, sums
) -> None:
    """Write ``new = u + dt F / C`` of one species without reactions; add ``dt u`` to `auc`, ``sum u area`` to `sums` (nx,)."""
    nx, ny, nz = link.size + 1, dy.size, dz.size
    acc, along, total, narrow = np.empty(nz), np.zeros(nz + 1), np.empty(nz), 1.0 / dz
    for i in range(nx):
        above, below = max(i - 1, 0), min(i + 1, nx - 1)
        back = link[i - 1] if i > 0 else 0.0
        ahead = link[i] if i < nx - 1 else 0.0
        given, taken, d, step = inflow[i] * blood, loss[i] + inflow[i], lateral[i], dt * inverse[i]
        total[:] = 0.0
        for j in range(ny):  # whole indices and few temporaries: half the time of rows taken out as arrays
            left, right, h = max(j - 1, 0), min(j + 1, ny - 1), dy[j]
            cl, cr = d * ty[j] / h, d * ty[j + 1] / h
            for k in range(1, nz):
                along[k] = d * tz[k] * (u[i, j, k] - u[i, j, k - 1])
            for k in range(nz):
                c = u[i, j, k]
                acc[k] = (
                    given - taken * c + back * (u[above, j, k] - c) + ahead * (u[below, j, k] - c)
                    + cl * (u[i, left, k] - c) + cr * (u[i, right, k] - c) + narrow[k] * (along[k + 1] - along[k])
                )  # fmt: skip
                total[k] += h * c
                auc[i, j, k] += dt * c
            if row_of[i] >= 0:
                for k in range(nz):
                    acc[k] += gain[row_of[i], j, k]
            for n in range(leaf_plane.shape[0]):
                p = leaf_plane[n, i]
                if p >= 0:
                    g, back_share, leaf_step = exchange[n, i], escape[n], dt * inverse[p]
                    for k in range(nz):
                        held = u[p, j, k]
                        flow = g * (u[i, j, k] - held * back_share)
                        acc[k] -= flow
                        new[p, j, k] = held + leaf_step * flow
                        auc[p, j, k] += dt * held
            for k in range(nz):
                new[i, j, k] = u[i, j, k] + step * acc[k]
        for k in range(nz):
            sums[i] += total[k] * dz[k]
