"""Say which parameters the data hold, and which combination of the others they hold instead.

A parameter is held where its profile is closed and its standard deviation, by the data alone, is below :data:`LARGEST_SD_HELD`.
Where its profile is flattest, the information tells how the others follow a parameter; two that move together with slopes a and b
leave ``theta_1^b / theta_2^a`` fixed: far below Km, Vmax and Km move together and Vmax/Km is what the data hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from krogh.inference.chart import Chart
from krogh.inference.fit import Fit, covariance
from krogh.inference.profile import LARGEST_SD_HELD, Profile, profile
from krogh.inference.target import Target, contrast

__all__ = ["LARGEST_SD_HELD", "Combination", "Identifiability", "identify"]

_FOLLOWS = 0.2
#: Rise of the objective, half of that of the deviance, within which a point is allowed.
_ALLOWED = 2.0
_SIMPLE = np.array([1 / 3, 1 / 2, 1.0, 2.0, 3.0])


@dataclass(frozen=True)
class Combination:
    """Hold a product of powers of two parameters that the data do hold; natural units.

    Attributes
    ----------
    name : str
        ``Vmax/Km``.
    first, second : int
        Parameters.
    power : float
        Exponent of the second; the first has 1.
    """

    name: str
    first: int
    second: int
    power: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Identifiability:
    """Hold what the data say about each parameter.

    Attributes
    ----------
    held : bool array (P,)
        Whether data, or data and prior, bound it.
    by_prior : bool array (P,)
        Whether that is the prior's doing.
    verdict : tuple of str
        In words.
    combinations : tuple of Combination
        What the data hold of those that they do not.
    correlation : array (P, P)
        Of the log-parameters, by the data alone.
    """

    held: np.ndarray
    by_prior: np.ndarray
    verdict: tuple[str, ...]
    combinations: tuple[Combination, ...]
    correlation: np.ndarray


def identify(target: Target, fit: Fit, profiles: Sequence[Profile]) -> Identifiability:
    """Judge every parameter; `profiles` are those of :func:`krogh.inference.profile.profile` for all of them."""
    alone = covariance(np.linalg.inv(fit.covariance) - target.precision)
    sd = np.sqrt(np.diag(alone))
    with_prior = np.diag(target.precision) > 0
    by_prior = with_prior & (sd > 2.0 * fit.sd)  # three quarters of the information are the prior's
    held = np.array([p.closed for p in profiles]) & ((fit.sd <= LARGEST_SD_HELD) | with_prior)
    verdicts = tuple(_verdict(p, h, b) for p, h, b in zip(profiles, held, by_prior, strict=True))
    found = [] if held.all() else _combinations(target, fit, profiles, held)
    scale = np.maximum(sd, 1e-300)
    return Identifiability(held, by_prior & held, verdicts, tuple(found), alone / np.outer(scale, scale))


def _verdict(p: Profile, held: bool, by_prior: bool) -> str:
    if held:
        return "held by the prior, not by the data" if by_prior else "held by the data"
    low, high = np.isfinite(p.low), np.isfinite(p.high)
    if low and high:
        return f"not held: known to a factor of {np.exp(0.5 * (p.high - p.low)):.2g} only"
    if low or high:
        return f"not held: the data give {'a lower' if low else 'an upper'} bound only"
    return "not held: no bound on either side"


def _combinations(target: Target, fit: Fit, profiles: Sequence[Profile], held: np.ndarray) -> list[Combination]:
    """Return the combinations of two parameters that are not held, each with its own profile."""
    found, chart = [], profiles[0].chart
    ways = {k: _direction(target, fit, chart, k) for k in np.flatnonzero(~held).tolist()}
    for i, j in itertools.combinations(ways, 2):
        along = max(ways[i], ways[j], key=lambda way: way.spread).move
        if min(abs(along[i]), abs(along[j])) < _FOLLOWS:
            continue
        first, second = (i, j) if target.names[i] >= target.names[j] else (j, i)  # Vmax/Km, not Km/Vmax
        power = _simple(-along[first] / along[second])
        weights = np.zeros(target.size)
        weights[first], weights[second] = 1.0, power
        name = _name(target.names[first], target.names[second], power)
        view = target.in_contrast(first, weights, name)
        forward, back = contrast(first, weights)
        x = forward @ fit.x
        moved = replace(fit, x=x, covariance=covariance(back.T @ np.linalg.inv(fit.covariance) @ back))
        (line,) = profile(view, moved, [first], chart=chart.seen_by(forward, back))
        if line.closed:
            value, low, high = (float(np.exp(v)) for v in (x[first], line.low, line.high))
            found.append(Combination(name, first, second, power, value, low, high))
    return found


@dataclass(frozen=True)
class _Way:
    """Hold how all parameters (P,) move when one moves by 1, and how far it can, as an SD."""

    move: np.ndarray
    spread: float


def _direction(target: Target, fit: Fit, chart: Chart, k: int) -> _Way:
    """Return the way of `k` at that of the points which the data allow where its profile is the flattest."""
    allowed = np.flatnonzero(chart.value <= fit.value + _ALLOWED)
    spreads = [covariance(chart.information[i] - target.precision) for i in allowed]
    flattest = max(spreads, key=lambda c: float(c[k, k]))
    return _Way(flattest[:, k] / flattest[k, k], float(np.sqrt(flattest[k, k])))


def _simple(power: float) -> float:
    """Return a simple fraction within 10 %, else two digits."""
    near = _SIMPLE[np.argmin(np.abs(np.log(abs(power) / _SIMPLE)))]
    size = float(near) if abs(abs(power) / near - 1) < 0.1 else round(abs(power), 2)
    return float(np.sign(power)) * size


def _name(first: str, second: str, power: float) -> str:
    mark = "/" if power < 0 else "*"
    size = abs(power)
    return f"{first}{mark}{second}" if size == 1 else f"{first}{mark}{second}^{size:.3g}"
