"""Profile the likelihood: how far each parameter can go while the others follow, and where the data stop it.

The signed root ``r(psi) = sign(psi - best) sqrt(2 (l(psi) - l(best)))`` is nearly straight and nearly standard normal, so the
ends of the 95 % interval are where it reaches -+1.96 (Raue 2009 doi:10.1093/bioinformatics/btp358). An end that reaches the
reach of the search first, its own or that of another parameter, is open: the data do not stop the parameter on that side.

Parameters that the information at the fit already calls unknown go first: their profiles run along the valley in which the
objective hardly rises. All others, and combinations, then start from points of that valley.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq
from scipy.stats import norm

from krogh.inference.chart import Chart
from krogh.inference.fit import Fit
from krogh.inference.target import Point, Target
from krogh.inference.walkers import REACH_PRECISION, Walkers

__all__ = ["LARGEST_SD_HELD", "Profile", "profile"]

#: SD of a logarithm beyond which a parameter counts as unknown: its 95 % interval spans a factor of 50.
LARGEST_SD_HELD = 1.0
_ROUNDS = 24
#: Longest move of a log-parameter from one look to the next.
_LONGEST = 5.0
#: From a root this near to the quantile its slope leads to the end, within this share of the distance; the cubic through the
#: neighbour must agree to this.
_CLOSE, _NEXT, _AGREE = 0.1, 0.1, 0.005
_ROOM = 1e-6
#: A root that jumps across the quantile within this share of an SD has its end there.
_SAME = 1e-3
#: A root below this is not told from 0: the slope of the root is that of the objective over it.
_SMALL = 0.05
#: A point is good enough when the deviance is said to fall by this at most, and that much is then taken off.
_TOL = 1e-2
#: Log-parameters that follow by less than this share of the move do not end it; a room shorter than the other is none.
_FOLLOWS, _NEAR = 0.2, 0.1


@dataclass(frozen=True)
class Profile:
    """Hold the profile of one log-parameter.

    Attributes
    ----------
    name : str
        Parameter.
    x, root : arrays (K,)
        Values from low to high, and the signed root there.
    path : array (K, P)
        All parameters along the profile.
    low, high : float
        Ends of the interval; -inf or inf where open.
    chart : Chart
        All points that were looked at, by which other profiles can start.
    better : array (P,) or None
        A point of a smaller objective than the fit, where one was found: the fit was no global minimum.
    """

    name: str
    x: np.ndarray
    root: np.ndarray
    path: np.ndarray
    low: float
    high: float
    chart: Chart
    better: np.ndarray | None = None

    @property
    def closed(self) -> bool:
        """Tell whether the data bound the parameter on both sides."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


class _Side:
    """Follow one parameter to one side."""

    def __init__(self, target: Target, fit: Fit, k: int, sign: int, quantile: float) -> None:
        self.k, self.sign, self.q = k, sign, quantile
        self.bound = target.high[k] if sign > 0 else target.low[k]
        self.width = abs(self.bound - fit.x[k])
        self.sd = min(max(float(fit.sd[k]), 1e-4), 1.0)
        self.distance, self.root, self.path = [0.0], [0.0], [fit.x]
        self.slope = [1.0 / max(float(fit.sd[k]), 1e-9)]
        self.along = [np.zeros(fit.x.size)]
        hard = np.zeros((target.size, 2), dtype=bool) if target.hard is None else target.hard
        self.target, self.known = target, bool(hard[k, (sign + 1) // 2])
        self.reach = np.where(hard, [-np.inf, np.inf], np.stack([target.low, target.high], 1))
        self.end: float | None = self.edge if self.width < _ROOM else None

    def ask(self) -> float:
        """Return the next distance to look at."""
        d, r = np.array(self.distance), np.array(self.root)
        if d.size == 1:
            return min(self.q * self.sd, self.width)
        if r.max() >= self.q:  # crossed: on the cubic between the neighbours
            i = int(np.argmax(r >= self.q))
            cubic = CubicHermiteSpline(d[i - 1 : i + 1], r[i - 1 : i + 1] - self.q, self.slope[i - 1 : i + 1])
            inside = 0.05 * (d[i] - d[i - 1])  # at a kink a cubic would creep
            return float(np.clip(brentq(cubic, d[i - 1], d[i], xtol=1e-9), d[i - 1] + inside, d[i] - inside))
        lack, steep = 1.05 * (self.q - r[-1]), self.slope[-1]
        bend = max((steep - self.slope[-2]) / (d[-1] - d[-2]), 0.0)
        ahead = 2 * lack / max(steep + np.sqrt(steep**2 + 2 * bend * lack), 1e-12)
        return float(min(d[-1] + min(ahead, self.room(), _LONGEST), self.width))

    def between(self, d: float) -> np.ndarray:
        """Return the points (0 or 1, P) at distance `d` on the cubic path between two neighbours that were looked at."""
        i = int(np.searchsorted(self.distance, d))
        if i == len(self.distance) or i < 2:  # beyond the last one; at the fit nobody told how the others follow
            return np.zeros((0, self.path[0].size))
        path = CubicHermiteSpline(*(np.array(x[i - 1 : i + 1]) for x in (self.distance, self.path, self.along)))
        return np.asarray(path(d))[None]

    def room(self) -> float:
        """Return how much further the reach of the search, no known limit, lets the parameter and those that follow it go."""
        along = self.along[-1]
        ends = np.where(along > 0, self.reach[:, 1], self.reach[:, 0])
        follows = np.abs(along) > _FOLLOWS
        return float(np.min((ends - self.path[-1])[follows] / along[follows]))

    def stuck(self) -> bool:
        """Tell whether one that follows, or the parameter itself, is at the reach of the search."""
        along, left = self.along[-1], np.abs(self.reach - self.path[-1][:, None])
        return bool(np.any((np.abs(along) > _FOLLOWS) & (np.where(along > 0, left[:, 1], left[:, 0]) < _NEAR)))

    def near_end(self, i: int) -> tuple[float, float]:
        """Return where the cubic of the root beside point `i` meets the quantile, and how far, in roots, its slope disagrees."""
        j = i + 1 if self.root[i] < self.q and i + 1 < len(self.root) else i - 1
        pair = sorted((i, j))
        steep = max(self.slope[i], 1e-12)
        cubic = CubicHermiteSpline(*([x[k] for k in pair] for x in (self.distance, self.root, self.slope)))
        straight = end = self.distance[i] + (self.q - self.root[i]) / steep
        for _ in range(2):
            end += (self.q - float(cubic(end))) / steep
        return end, abs(end - straight) * steep

    @property
    def edge(self) -> float:
        """Return the end where the bound is reached: there, if it is a known limit, else nowhere."""
        return self.width if self.known else np.inf

    @property
    def stop(self) -> float:
        """Return the distance to the end of the interval."""
        if self.end is not None:
            return self.end
        return self.ask() if max(self.root) >= self.q else np.inf

    def tell(self, root: float, at: Point) -> None:
        """Note the `root` of the profile at a point, and whether the end is found."""
        x, gradient, information = at.x[0], at.gradient[0], at.information[0]
        distance = self.sign * float(x[self.k] - self.path[0][self.k])
        order = int(np.searchsorted(self.distance, distance))
        self.distance.insert(order, distance)
        self.root.insert(order, root)
        self.path.insert(order, x)
        steepness = self.sign * float(gradient @ _along(information, self.k, (x > self.target.low) & (x < self.target.high)))
        self.slope.insert(order, max(steepness, 0.0) / max(root, _SMALL))
        self.along.insert(order, self.sign * _along(information, self.k, np.ones(x.size, dtype=bool)))
        i = int(np.argmax(np.array(self.root) >= self.q))
        jumps = i > 0 and self.distance[i] - self.distance[i - 1] < _SAME * self.sd
        end, doubt = self.near_end(order)
        near = abs(root - self.q) <= _CLOSE and abs(end - distance) <= _NEXT * distance and end <= self.width
        if jumps or (near and doubt <= _AGREE):
            self.end = distance if jumps else end
            if np.any(self.target.leaning(x, gradient) & (np.arange(x.size) != self.k)):  # only the reach of another one stops it
                self.end = np.inf
        elif root < self.q and distance >= self.width - _ROOM:
            self.end = self.edge
        elif max(self.root) < self.q and self.stuck():
            self.end = np.inf  # below the quantile as far as the search reaches


def profile(
    target: Target, fit: Fit, which: Sequence[int] | None = None, *, level: float = 0.95, chart: Chart | None = None
) -> list[Profile]:
    """Return the profiles of the parameters `which` (all by default); both sides of all of them are followed in one batch.

    Parameters
    ----------
    target : Target
        What was fitted.
    fit : Fit
        Its fit.
    which : sequence of int, optional
        Parameters.
    level : float
        Of the intervals.
    chart : Chart, optional
        Points that are known already.
    """
    q = float(norm.ppf(0.5 + level / 2))
    chosen = list(range(target.size)) if which is None else list(which)
    sides = {k: [_Side(target, fit, k, sign, q) for sign in (-1, 1)] for k in chosen}
    chart = Chart.of(fit) if chart is None else Chart.join([Chart.of(fit), chart])
    unknown = [k for k in chosen if fit.sd[k] > LARGEST_SD_HELD]
    for group in (unknown, [k for k in chosen if k not in unknown]):
        chart = _follow(target, fit, [s for k in group for s in sides[k]], chart, q)
    lowest = int(np.argmin(chart.value))
    better = chart.x[lowest] if chart.value[lowest] < fit.value - 1e-3 else None
    return [_joined(target.names[k], fit, k, sides[k], chart, better) for k in chosen]


def _follow(target: Target, fit: Fit, sides: Sequence[_Side], chart: Chart, quantile: float) -> Chart:
    """Look along all `sides` until the end of each is found; return the chart with the points seen."""
    walkers = Walkers(target, len(sides), tol=_TOL, most=40, level=fit.value + 0.5 * quantile**2)
    looks = np.zeros(len(sides), dtype=int)
    ready = [i for i, s in enumerate(sides) if s.end is None]
    while True:
        for i in ready:
            side, looks[i] = sides[i], looks[i] + 1
            distance = side.ask()
            at = fit.x[side.k] + side.sign * distance
            guesses = chart.guesses(side.k, at, target.low, target.high, first=side.between(distance))
            walkers.send(i, guesses, np.arange(target.size) == side.k)
        if not walkers.walking.any():
            return chart
        arrived = walkers.step().tolist()
        for i in arrived:
            point = walkers.at.take([i])
            chart = chart.add(point)
            missing = walkers.decrease[i] if walkers.converged[i] else min(float(walkers.decrease[i]), _TOL)
            sides[i].tell(np.sqrt(max(2 * float(point.value[0] - fit.value) - missing, 0.0)), point)
        ready = [i for i in arrived if sides[i].end is None and looks[i] < _ROUNDS]


def _along(information: np.ndarray, k: int, free: np.ndarray) -> np.ndarray:
    """Return how all parameters (P,) move when `k` moves by 1 and the others that are `free` follow, within the reach."""
    out = np.zeros(free.size)
    out[k] = 1.0
    others = free & (np.arange(free.size) != k)
    h = information[others][:, others] + REACH_PRECISION * np.eye(int(others.sum()))
    out[others] = -np.linalg.solve(h, information[others, k])
    return out


def _joined(name: str, fit: Fit, k: int, sides: Sequence[_Side], chart: Chart, better: np.ndarray | None) -> Profile:
    low, high = sides
    x = np.concatenate([fit.x[k] - np.array(low.distance[:0:-1]), fit.x[k] + np.array(high.distance)])
    root = np.concatenate([-np.array(low.root[:0:-1]), np.array(high.root)])
    path = np.array([*low.path[:0:-1], *high.path])
    ends = [fit.x[k] + side.sign * side.stop for side in (low, high)]
    return Profile(name, x, root, path, float(ends[0]), float(ends[1]), chart, better)
