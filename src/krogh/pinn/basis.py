"""Build the columns of one layer in one time window: frozen random features, and the exact singular parts after a jump.

``u(x, t) = sum_j a_j tanh(w_j . (xi, tau) + b_j) + sum_n s_n S_n(x, t)``, the flux q and every cell compartment v alike with
their own features (q has the heat kernels' flux). xi is the depth, or its logarithm where a front is thin; tau is the logarithm
of time. The hidden weights are drawn once and stay: the unknowns are linear.

``S_n = (4 D t)^(n/2) i^n erfc(x / sqrt(4 D t)) exp(-k t)`` solves the heat equation and carries the t^(n/2) corner that a dose
leaves at the face towards the blood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy.special import erfc

__all__ = ["Clock", "Columns", "Depth", "Feature", "Joined", "Kernels", "Tanh", "chebyshev"]


def chebyshev(count: int) -> np.ndarray:
    """Return the Chebyshev points in (0, 1)."""
    return 0.5 * (1 - np.cos(np.pi * (np.arange(count) + 0.5) / count))


@dataclass(frozen=True, slots=True)
class Clock:
    """Map one time window (a, b], counted from the last event at `start_s`, to tau in [-1, 1] by the logarithm.

    `ages_s` says how long before `start_s` earlier events were: their fronts are still in the layers.
    """

    start_s: float
    a_s: float
    b_s: float
    ages_s: tuple[float, ...] = ()

    @property
    def offset_s(self) -> float:
        """Return t0 of log(t + t0): a twentieth of the first window, 0 after."""
        return self.b_s / 20 if self.a_s == 0 else 0.0

    def _ends(self) -> tuple[float, float]:
        return math.log(self.a_s + self.offset_s), math.log(self.b_s + self.offset_s)

    def tau(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tau and d tau/dt at the times `t` since the event."""
        low, high = self._ends()
        s = t + self.offset_s
        return 2 * (np.log(s) - low) / (high - low) - 1, 2 / ((high - low) * s)

    def at(self, share: np.ndarray) -> np.ndarray:
        """Return the times at the shares 0..1 of the window, evenly spread in the logarithm."""
        low, high = self._ends()
        return np.clip(np.exp(low + (high - low) * share) - self.offset_s, self.a_s, self.b_s)


@dataclass(frozen=True, slots=True)
class Depth:
    """Map the depth x in a layer to xi in [-1, 1]; by log(1 + x/front) where `front_m` is set."""

    thickness_m: float
    front_m: float | None

    def xi(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return xi and d xi/dx."""
        if self.front_m is None:
            return 2 * x / self.thickness_m - 1, np.full_like(x, 2 / self.thickness_m)
        span = math.log1p(self.thickness_m / self.front_m)
        return 2 * np.log1p(x / self.front_m) / span - 1, 2 / (span * (x + self.front_m))

    def at(self, share: np.ndarray) -> np.ndarray:
        """Return the depths at the shares 0..1 of xi."""
        if self.front_m is None:
            return self.thickness_m * share
        return self.front_m * np.expm1(share * math.log1p(self.thickness_m / self.front_m))


class Feature(Protocol):
    """Give the last hidden values of one network, by whatever means they were found."""

    @property
    def count(self) -> int:
        """Return how many there are."""
        ...

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values and their derivatives by xi and tau, each (point, feature)."""
        ...

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Return the values alone."""
        ...


class Tanh:
    """Evaluate `count` frozen features tanh(w . (xi, tau) + b); their planes pass through random points of the window."""

    def __init__(self, count: int, reach_x: float, reach_t: float, rng: np.random.Generator) -> None:
        self.reach = reach_x, reach_t
        self.w = rng.uniform(-1, 1, (count, 2)) * np.array(self.reach)
        self.b = -(self.w * rng.uniform(-1, 1, (count, 2))).sum(1)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return int(self.b.size)

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values and their derivatives by xi and tau, each (point, feature)."""
        value = np.tanh(np.multiply.outer(xi, self.w[:, 0]) + np.multiply.outer(tau, self.w[:, 1]) + self.b)
        slope = 1 - value * value
        return value, slope * self.w[:, 0], slope * self.w[:, 1]

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Return the values alone."""
        return np.tanh(np.multiply.outer(xi, self.w[:, 0]) + np.multiply.outer(tau, self.w[:, 1]) + self.b)


class Joined:
    """Put features of several depth maps side by side: a new front is thin, and what earlier doses left is not."""

    def __init__(self, depth: Depth, parts: tuple[tuple[Depth, Tanh], ...]) -> None:
        self.depth, self.parts = depth, parts
        self.reach = parts[0][1].reach

    @property
    def count(self) -> int:
        """Return how many there are."""
        return sum(f.count for _, f in self.parts)

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values and their derivatives by xi and tau, each (point, feature)."""
        x = self.depth.at((xi + 1) / 2)
        by_x = self.depth.xi(x)[1]
        out = []
        for depth, feature in self.parts:
            other, slope = depth.xi(x)
            value, by_xi, by_tau = feature(other, tau)
            out.append((value, by_xi * (slope / by_x)[:, None], by_tau))
        value, by_xi, by_tau = (np.concatenate(v, 1) for v in zip(*out, strict=True))
        return value, by_xi, by_tau

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Return the values alone."""
        x = self.depth.at((xi + 1) / 2)
        return np.concatenate([f.value(depth.xi(x)[0], tau) for depth, f in self.parts], 1)


class Kernels:
    """Evaluate S_n for n in `orders`, scaled to order one at `b_s`; 0 columns where `orders` is empty."""

    def __init__(self, orders: range, diffusivity: float, decay: float, b_s: float) -> None:
        self.orders, self.diffusivity, self.decay, self.b_s = orders, diffusivity, decay, b_s

    def __call__(self, x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return S_n, dS_n/dx and d2S_n/dx2, each (point, order)."""
        d = self.diffusivity
        reach = np.sqrt(4 * d * np.maximum(t, 1e-14 * self.b_s))
        eta = np.minimum(x / reach, 25.0)
        # i^n erfc for n = -2 ..: 2n i^n = i^(n-2) - 2 eta i^(n-1)
        gauss = 2 / math.sqrt(math.pi) * np.exp(-(eta**2))
        table = {-2: 2 * eta * gauss, -1: gauss, 0: erfc(eta)}
        for n in range(1, max(self.orders, default=0) + 1):
            table[n] = (0.5 * table[n - 2] - eta * table[n - 1]) / n
        fade = np.exp(-self.decay * t)
        out = np.zeros((3, x.size, len(self.orders)))
        for column, n in enumerate(self.orders):
            size = (4 * d * self.b_s) ** (-n / 2) * fade
            for order in range(3):
                power = reach ** (n - order) * table[n - order] * (-1) ** order * size
                out[order, :, column] = np.where(t > 0, power, 0.0) if n < order else power
        return out[0], out[1], out[2]


@dataclass(frozen=True)
class Columns:
    """Hold the features of one layer and species; columns in the order u, q, each cell compartment, kernels."""

    clock: Clock
    depth: Depth
    u: Feature
    q: Feature
    pools: tuple[Feature, ...]
    kernels: Kernels
    conductance: float  # s D: q = -s D u_x for the kernels
    carried: tuple[Depth, ...] = ()  # maps on which earlier doses lie
    growth: float = 0.0  # of the area with depth: s D (1 + growth x)
    ridge: np.ndarray | float = 1e-13  # holds columns back, over their root mean square

    def depths(self, shares: np.ndarray) -> np.ndarray:
        """Return the depths at the shares 0..1 of every map, in order."""
        return np.sort(np.concatenate([d.at(shares) for d in (self.depth, *self.carried)]))

    @property
    def parts(self) -> list[slice]:
        """Return the column ranges of u, q, the cells, and the kernels."""
        sizes = [f.count for f in (self.u, self.q, *self.pools)] + [len(self.kernels.orders)]
        ends = np.cumsum([0, *sizes])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    @property
    def size(self) -> int:
        """Return the number of columns."""
        return self.parts[-1].stop

    def mapped(self, x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return xi, d xi/dx, tau, d tau/dt."""
        return *self.depth.xi(x), *self.clock.tau(t)

    def trace(self, x: float, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of u and q at one depth, each (time, column)."""
        depth = np.full_like(t, x)
        xi, _, tau, _ = self.mapped(depth, t)
        u, q = np.zeros((t.size, self.size)), np.zeros((t.size, self.size))
        at_u, at_q, *_, at_k = self.parts
        u[:, at_u], q[:, at_q] = self.u.value(xi, tau), self.q.value(xi, tau)
        if self.kernels.orders:
            value, slope, _ = self.kernels(depth, t)
            u[:, at_k], q[:, at_k] = value, -self.conductance * (1.0 + self.growth * x) * slope
        return u, q

    def values(self, coefficients: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return u and every v, shape (1 + cells, point)."""
        xi, _, tau, _ = self.mapped(x, t)
        at_u, _, *at_v, at_k = self.parts
        out = [self.u.value(xi, tau) @ coefficients[at_u]]
        if self.kernels.orders:
            out[0] = out[0] + self.kernels(x, t)[0] @ coefficients[at_k]
        out += [f.value(xi, tau) @ coefficients[p] for f, p in zip(self.pools, at_v, strict=True)]
        return np.array(out)
