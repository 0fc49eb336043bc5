"""Profile the likelihood: how far each parameter can go while the others follow, and where the data stop it.

The signed root ``r(psi) = sign(psi - best) sqrt(2 (l(psi) - l(best)))`` is nearly straight and nearly standard normal, so the
ends of the 95 % interval are where it reaches -+1.96 (Raue 2009 doi:10.1093/bioinformatics/btp358). An end that reaches the
reach of the search first, its own or that of another parameter, is open: the data do not stop the parameter on that side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from krogh.inference.descend import descend
from krogh.inference.fit import Fit
from krogh.inference.target import Target

__all__ = ["Profile", "profile"]

_ROUNDS = 24
_CLOSE = 0.02
_ROOM = 1e-6


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
    better : array (P,) or None
        A point of a smaller objective than the fit, where one was found: the fit was no global minimum.
    """

    name: str
    x: np.ndarray
    root: np.ndarray
    path: np.ndarray
    low: float
    high: float
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
        self.target, self.known = target, bool(target.hard is not None and target.hard[k, (sign + 1) // 2])
        self.end: float | None = self.edge if self.width < _ROOM else None
        slope = fit.covariance[:, k] / fit.covariance[k, k]
        self.tangent = slope if fit.sd[k] < 10 else np.eye(fit.x.size)[k]

    def ask(self) -> float:
        """Return the next distance to look at."""
        d, r = np.array(self.distance), np.array(self.root)
        if d.size == 1:
            return min(self.q * self.sd, self.width)
        if r.max() >= self.q:  # crossed: straight in the root between the neighbours
            i = int(np.argmax(r >= self.q))
            if r[i] > 2 * self.q:  # too steep to be straight
                return float(0.5 * (d[i - 1] + d[i]))
            return float(d[i - 1] + (self.q - r[i - 1]) / (r[i] - r[i - 1]) * (d[i] - d[i - 1]))
        rise = (r[-1] - r[-2]) / (d[-1] - d[-2])
        ahead = 1.1 * (self.q - r[-1]) / rise if rise > 0 else np.inf
        return float(min(d[-1] + min(ahead, max(2 * d[-1], 0.3 * self.sd)), self.width))

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

    def tell(self, distance: float, root: float, x: np.ndarray, gradient: np.ndarray) -> None:
        """Note a point, and whether the end is found."""
        order = int(np.searchsorted(self.distance, distance))
        self.distance.insert(order, distance)
        self.root.insert(order, root)
        self.path.insert(order, x)
        if abs(root - self.q) <= _CLOSE:
            near = max(i for i in range(len(self.root)) if i != order and self.distance[i] < distance)
            steep = (root - self.root[near]) / (distance - self.distance[near])
            self.end = distance + (self.q - root) / steep if steep > 0 else distance
            if np.any(self.target.leaning(x, gradient) & (np.arange(x.size) != self.k)):  # only the reach of another one stops it
                self.end = np.inf
        elif root < self.q and distance >= self.width - _ROOM:
            self.end = self.edge


def profile(target: Target, fit: Fit, which: Sequence[int] | None = None, *, level: float = 0.95) -> list[Profile]:
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
    """
    q = float(norm.ppf(0.5 + level / 2))
    chosen = list(range(target.size)) if which is None else list(which)
    sides = [_Side(target, fit, k, sign, q) for k in chosen for sign in (-1, 1)]
    lowest, better = fit.value, None
    for _ in range(_ROUNDS):
        open_ = [s for s in sides if s.end is None]
        if not open_:
            break
        asked = [s.ask() for s in open_]
        starts = np.array([_start(s, d) for s, d in zip(open_, asked, strict=True)])
        held = np.array([np.arange(target.size) == s.k for s in open_])
        found = descend(target, starts, held=held, tol=1e-5, most=40)
        for i, (side, d) in enumerate(zip(open_, asked, strict=True)):
            rise = 2 * float(found.at.value[i] - fit.value)
            if found.at.value[i] < lowest - 1e-3:
                lowest, better = float(found.at.value[i]), found.at.x[i]
            side.tell(d, np.sqrt(max(rise, 0.0)), found.at.x[i], found.at.gradient[i])
    pairs = zip(chosen, sides[::2], sides[1::2], strict=True)
    return [_joined(target.names[k], fit, k, low, high, better) for k, low, high in pairs]


def _start(side: _Side, distance: float) -> np.ndarray:
    """Return a guess on the profile: from the nearest known point along the tangent of the fit."""
    near = int(np.argmin(np.abs(np.array(side.distance) - distance)))
    x = side.path[near] + side.sign * (distance - side.distance[near]) * side.tangent
    x[side.k] = side.path[0][side.k] + side.sign * distance
    return x


def _joined(name: str, fit: Fit, k: int, low: _Side, high: _Side, better: np.ndarray | None) -> Profile:
    x = np.concatenate([fit.x[k] - np.array(low.distance[:0:-1]), fit.x[k] + np.array(high.distance)])
    root = np.concatenate([-np.array(low.root[:0:-1]), np.array(high.root)])
    path = np.array([*low.path[:0:-1], *high.path])
    ends = [fit.x[k] + side.sign * side.stop for side in (low, high)]
    return Profile(name, x, root, path, float(ends[0]), float(ends[1]), better)
