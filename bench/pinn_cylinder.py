"""The Krogh cylinder by networks beside Chebyshev lines in r and z: tissue around a vessel with a pump at its wall."""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from bench.pinn import timed
from krogh import pinn
from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.blood.exponentials import ExponentialBlood
from krogh.transport.cylinder import Capillary
from krogh.transport.problem import Problem

#: um, s, concentrations over that of blood.
INNER, OUTER, LENGTH, SPEED, D, LOSS, P, VMAX, KM, T_END = 4.0, 25.0, 400.0, 1000.0, 500.0, 0.02, 1.0, 0.5, 0.5, 60.0


def problem() -> Problem:
    """Return the cylinder with blood that rises smoothly at the inlet: (1 - exp(-t/2))^2 exp(-t/60)."""
    coefficient = np.array([[[1.0, -2.0, 1.0]]])
    rate = np.array([[[0.0, 0.5, 1.0]]]) + 1 / 60
    blood = ExponentialBlood(np.zeros_like(coefficient), rate, coefficient, np.ones((1, 1)))
    tissue = Layer("tissue", (OUTER - INNER) * 1e-6, D * 1e-12, 1.0, loss_per_s=LOSS)
    wall = Membrane("luminal", 0, (Passive(P * 1e-6), Efflux(VMAX * 1e-6, KM)))
    vessel = Capillary(INNER * 1e-6, LENGTH * 1e-6, SPEED * 1e-6)
    return Problem(Barrier(("drug",), (tissue,), (wall,)), blood, T_END, capillary=vessel, cells=60, cells_along=24)


def _chebyshev(n: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return n + 1 points from low to high and the differentiation matrix."""
    x = -np.cos(np.pi * np.arange(n + 1) / n)
    c = np.concatenate([[2.0], np.ones(n - 1), [2.0]]) * (-1.0) ** np.arange(n + 1)
    d = np.outer(c, 1 / c) / (x[:, None] - x + np.eye(n + 1))
    d -= np.diag(d.sum(1))
    return low + (high - low) * (x + 1) / 2, d * 2 / (high - low)


class _Lines:
    """March tissue at the inner radii and blood behind the inlet; wall and outer edge follow from them."""

    def __init__(self, n_r: int, n_z: int) -> None:
        self.n_r, self.n_z = n_r, n_z
        self.r, self.dr = _chebyshev(n_r, INNER, OUTER)
        self.z, self.dz = _chebyshev(n_z, 0.0, LENGTH)
        self.across = self.dr @ self.dr + np.diag(1 / self.r) @ self.dr
        closed = np.eye(n_z + 1)
        closed[0, 0] = closed[-1, -1] = 0.0
        self.along = self.dz @ closed @ self.dz

    def full(self, y: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Return tissue (r, z) and blood (z)."""
        cut = (self.n_r - 1) * (self.n_z + 1)
        inner = y[:cut].reshape(self.n_r - 1, self.n_z + 1)
        blood = np.concatenate([[(1 - np.exp(-t / 2)) ** 2 * np.exp(-t / 60)], y[cut:]])
        first, last = self.dr[0], self.dr[-1]
        f, g = first[1:-1] @ inner, last[1:-1] @ inner
        a, b = first[0] - first[-1] * last[0] / last[-1], f - first[-1] * g / last[-1]
        straight, rest = -D * a + P, -D * b - P * blood  # straight c + rest + Vmax c / (Km + c) = 0 at the wall
        half = straight * KM + rest + VMAX
        wall = (-half + np.sqrt(half**2 - 4 * straight * rest * KM)) / (2 * straight)
        return np.vstack([wall, inner, -(g + last[0] * wall) / last[-1]]), blood

    def rate(self, t: float, y: np.ndarray) -> np.ndarray:
        c, blood = self.full(y, t)
        flux = P * (blood - c[0]) - VMAX * c[0] / (KM + c[0])
        tissue = D * (self.across @ c + c @ self.along.T) - LOSS * c
        return np.concatenate([tissue[1:-1].ravel(), (-SPEED * self.dz @ blood - 2 / INNER * flux)[1:]])

    def solve(self, times: np.ndarray) -> np.ndarray:
        """Return the tissue (time, r, z)."""
        start = np.zeros((self.n_r - 1) * (self.n_z + 1) + self.n_z)
        found = solve_ivp(self.rate, (0, times[-1]), start, "BDF", t_eval=times, rtol=1e-8, atol=1e-11)
        return np.array([self.full(y, t)[0] for y, t in zip(found.y.T, found.t, strict=True)])


def run() -> None:
    """Print error, time and mass defect beside the goals."""
    times = np.linspace(0, T_END, 61)[1:]
    lines = _Lines(12, 18)
    exact = lines.solve(times)
    spent, found = timed(lambda: pinn.solve(problem(), strict=False))
    t, r, z = np.meshgrid(times, lines.r, lines.z, indexing="ij")
    ours = found.at(0, (r - INNER).clip(0) * 1e-6, t, z_m=z * 1e-6)
    error = float(np.sqrt(((ours - exact) ** 2).sum() / (exact**2).sum()))
    print(
        f"pinn  Krogh cylinder, tol {found.tol:.0e}: error {error:.1e} at the nodes of Chebyshev lines (goal <= 5e-4, better "
        f"1e-4), {spent:.1f} CPU s (<= 15, better 10), certificate {found.certificate:.0e}, mass defect {found.mass_defect:.0e} "
        "(<= 1e-5)"
    )


if __name__ == "__main__":
    run()
