"""State the equations inside one layer as rows of a least-squares problem, each in units of concentration error.

With ``th = 1 / (kappa/(t + t0) + P/(s L) + loss)``, the concentration that one unit of lost mass is worth at time t::

    total mass   th (kappa u_t + loss u + sum R(u) + sum_c (kappa_c v_t + R_c(v)) + q_x / s) = 0
    Fick         (L q / (s D) + L u_x) / (1 + L P / (s D)) = 0
    cells        (kappa_c v_t - E (u - v / trapping) + R_c(v)) / (kappa_c/(t + t0) + E / trapping) = 0
    start        3 (u - u_before) = 0,   3 (v - v_before) = 0

P is the smallest permeability of a face. No second derivative appears, and no D / L^2 multiplies a network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.barrier.reactions import MichaelisMenten
from krogh.pinn.basis import Clock, Columns, chebyshev
from krogh.pinn.physics import Sheet

__all__ = ["START", "LayerRows", "law_terms"]

#: Weight of the start and of the faces against the equations inside.
START = 3.0


def law_terms(laws: Sequence[MichaelisMenten], s: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the laws take from species `s` less what they form of it, and its slope; `values` is (S, point)."""
    net, slope = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for law in laws:
        taken, by_own = law.rate(values[None])
        taken, by_own = np.broadcast_to(taken, (1, *values.shape))[0], np.broadcast_to(by_own, (1, *values.shape))[0]
        net += taken[s]
        slope += by_own[s]
        for source, product in enumerate(law.product):
            if product == s:
                net -= taken[source]
    return net, slope


class LayerRows:
    """Hold the rows of one species in one layer and time window.

    Parameters
    ----------
    sheet : Sheet
        The layer's coefficients.
    s : int
        The species.
    columns : Columns
        Its features.
    slowest : float
        The smallest permeability of a face [m/s].
    level : float
        Size of the concentration, where the slope of a saturable law is taken for the weight [mol/m3].
    points : (int, int) or None
        Depths and times of the tensor grid of Chebyshev points.
    """

    def __init__(
        self, sheet: Sheet, s: int, columns: Columns, slowest: float, level: float, x: np.ndarray, t: np.ndarray
    ) -> None:
        self.sheet, self.s, self.columns, self.x, self.t = sheet, s, columns, x, t
        # what is lost inside leaves through the face, but no faster than it diffuses to it
        slowest = 1.0 / (1.0 / slowest + sheet.thickness / (sheet.spread * float(sheet.diffusivity[s])))
        self.n = x.size
        self.x0 = columns.depths(chebyshev(2 * max(8, round(np.sqrt(self.n / 2)))))
        self.pools = len(sheet.pools)
        self._weights(slowest, level)
        self._assemble()

    @property
    def laws(self) -> bool:
        """Tell whether a saturable law acts here."""
        return bool(self.sheet.laws) or any(p.laws for p in self.sheet.pools)

    def _weights(self, slowest: float, level: float) -> None:
        sheet, s, since = self.sheet, self.s, self.t + self.columns.clock.offset_s
        held, taken = sheet.capacity[s], sheet.loss[s]
        size = np.full((sheet.capacity.size, 1), level)
        taken = taken + law_terms(sheet.laws, s, size)[1][0]
        self.cell_weight = []
        for pool in sheet.pools:
            back = pool.exchange[s] / pool.trapping[s]
            # cells count as storage as far as they exchange within t
            held = held + pool.capacity[s] * pool.trapping[s] * back * since / (pool.capacity[s] + back * since)
            self.cell_weight.append(1.0 / (pool.capacity[s] / since + back + law_terms(pool.laws, s, size)[1][0]))
        self.mass_weight = 1.0 / (held / since + slowest / (sheet.spread * sheet.thickness) + taken)
        across = sheet.spread * sheet.diffusivity[s]
        self.fick_weight = sheet.thickness / (1.0 + sheet.thickness * slowest / across)

    def _assemble(self) -> None:
        """Fill the linear part."""
        sheet, s, col, n = self.sheet, self.s, self.columns, self.n
        at_u, at_q, *at_v, at_k = col.parts
        xi, dxi, tau, dtau = (v[:, None] for v in col.mapped(self.x, self.t))
        u, u_xi, u_tau = col.u(xi[:, 0], tau[:, 0])
        q, q_xi, _ = col.q(xi[:, 0], tau[:, 0])
        b = np.zeros((n * (2 + self.pools) + self.x0.size * (1 + self.pools), col.size))
        area = sheet.area(self.x)[:, None]
        across = area * sheet.diffusivity[s]
        th = self.mass_weight[:, None]
        b[:n, at_u] = th * (sheet.capacity[s] * u_tau * dtau + sheet.loss[s] * u)
        b[:n, at_q] = th * q_xi * dxi / area
        b[n : 2 * n, at_u] = self.fick_weight * u_xi * dxi
        b[n : 2 * n, at_q] = self.fick_weight / across * q
        self.u_at = np.zeros((n, col.size))
        self.u_at[:, at_u] = u
        if col.kernels.orders:
            self.u_at[:, at_k], slope, _ = col.kernels(self.x, self.t)
            b[:n, at_k] = -th * (sheet.growth * sheet.diffusivity[s]) * slope / (1.0 + sheet.growth * self.x)[:, None]
        self.v_at = []
        for k, (pool, at) in enumerate(zip(sheet.pools, at_v, strict=True)):
            v, _, v_tau = col.pools[k](xi[:, 0], tau[:, 0])
            weight, rows = self.cell_weight[k][:, None], slice((2 + k) * n, (3 + k) * n)
            b[:n, at] = th * pool.capacity[s] * v_tau * dtau
            b[rows] = -weight * pool.exchange[s] * self.u_at
            b[rows, at] = weight * (pool.capacity[s] * v_tau * dtau + pool.exchange[s] / pool.trapping[s] * v)
            full = np.zeros((n, col.size))
            full[:, at] = v
            self.v_at.append(full)
        first = np.full_like(self.x0, col.clock.a_s)
        for k in range(1 + self.pools):
            self._start_rows(b[(2 + self.pools) * n + k * self.x0.size :][: self.x0.size], k, first)
        self.base = b

    def _start_rows(self, b: np.ndarray, k: int, first: np.ndarray) -> None:
        col = self.columns
        xi, _, tau, _ = col.mapped(self.x0, first)
        parts = col.parts
        if k == 0:
            b[:, parts[0]] = START * col.u.value(xi, tau)
            if col.kernels.orders:
                b[:, parts[-1]] = START * col.kernels(self.x0, first)[0]
        else:
            b[:, parts[1 + k]] = START * col.pools[k - 1].value(xi, tau)

    def matrix(self, values: Sequence[np.ndarray], start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and right-hand side, the laws linearised at `values`.

        Parameters
        ----------
        values : sequence of arrays (S, point)
            u and every v of all species at the points.
        start : array (1 + cells, point of the start)
            u and v at the beginning of the window.
        """
        if not self.laws:
            return self.base, self.right((), start)
        taken = self.taken(values)
        rest = [net - slope * values[k][self.s] for k, (net, slope) in enumerate(taken)]
        return self.linear([slope for _, slope in taken]), self.right(rest, start)

    def taken(self, values: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return what the laws take in the layer and in each cell compartment, with the slope; `values` as in `matrix`."""
        laws = [self.sheet.laws, *(p.laws for p in self.sheet.pools)]
        return [law_terms(x, self.s, v) for x, v in zip(laws, values, strict=True)]

    def linear(self, slopes: Sequence[np.ndarray]) -> np.ndarray:
        """Return the rows with laws of these slopes, in the layer and in each cell compartment."""
        b, n = self.base.copy(), self.n
        b[:n] += (self.mass_weight * slopes[0])[:, None] * self.u_at
        for k, slope in enumerate(slopes[1:]):
            for rows, weight in ((slice(0, n), self.mass_weight), (slice((2 + k) * n, (3 + k) * n), self.cell_weight[k])):
                b[rows] += (weight * slope)[:, None] * self.v_at[k]
        return b

    def right(self, rest: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
        """Return the right-hand side for a `start` and what the laws take beside their slopes."""
        f, n = np.zeros(self.base.shape[0]), self.n
        f[(2 + self.pools) * n :] = START * start.ravel()
        for k, net in enumerate(rest):
            f[:n] -= self.mass_weight * net
            if k:
                f[(1 + k) * n : (2 + k) * n] -= self.cell_weight[k - 1] * net
        return f

    def residual(self, coefficients: np.ndarray, values: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
        """Return the residual of every row."""
        taken = [net for net, _ in self.taken(values)] if self.laws else []
        return self.base @ coefficients - self.right(taken, start)


def grid(clock: Clock, columns: Columns, nx: int, nt: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tensor grid of Chebyshev points in depth and in the logarithm of time."""
    x, t = np.meshgrid(columns.depths(chebyshev(nx)), clock.at(chebyshev(nt)), indexing="ij")
    return x.ravel(), t.ravel()
