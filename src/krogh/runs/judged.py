"""Fit, profile, judge and sample: what every inference does, whatever predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from krogh.errors import InputError, KroghError
from krogh.inference.bands import normal_draws
from krogh.inference.fit import Fit, fit
from krogh.inference.identify import Identifiability, identify
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.posterior import Posterior, sample
from krogh.inference.predictors import Setup, predictor
from krogh.inference.profile import Profile, profile
from krogh.inference.target import Target

__all__ = ["Build", "Judged", "Known", "Settled", "draw", "settle", "target_of"]

_DRAWS = 64
Tell = Callable[[float], None]
#: Name -> (median, SD of the logarithm), or (low, high); SI.
Known = Mapping[str, tuple[float, float]]
#: From names, priors and bounds to parameters, target and start.
Build = Callable[[Sequence[str], Known, Known], tuple[tuple[Parameter, ...], Target, np.ndarray]]


@dataclass(frozen=True)
class Judged:
    """Hold what an inference found; log-parameters inside, natural units through `estimate`, `low` and `high`.

    Attributes
    ----------
    name : str
        Compound, or signal model.
    parameters : tuple of Parameter
        What was free.
    data, target
        What was fitted.
    fit, profiles, identifiability
        What was found.
    posterior : Posterior or None
        Samples, where they were asked for and the data hold every parameter.
    draws : array (R, P)
        Log-parameters of the bands: posterior samples, else the normal approximation.
    level : float
        Of the intervals.
    notes : tuple of str
        What a reader should know.
    """

    name: str
    parameters: tuple[Parameter, ...]
    data: Observations
    target: Target
    fit: Fit
    profiles: tuple[Profile, ...]
    identifiability: Identifiability
    posterior: Posterior | None
    draws: np.ndarray
    level: float
    notes: tuple[str, ...]

    @property
    def estimate(self) -> np.ndarray:
        """Return the most probable values (P,), SI."""
        return np.exp(self.fit.x)

    @property
    def low(self) -> np.ndarray:
        """Return the lower ends of the profile intervals (P,), 0 where open."""
        return np.exp([p.low for p in self.profiles])

    @property
    def high(self) -> np.ndarray:
        """Return the upper ends (P,), inf where open."""
        return np.exp([p.high for p in self.profiles])

    @property
    def unheld(self) -> tuple[str, ...]:
        """Return the names of the parameters that the data do not hold."""
        return tuple(p.name for p, held in zip(self.parameters, self.identifiability.held, strict=True) if not held)


@dataclass(frozen=True)
class Settled:
    """Hold a fit with its judgement; `said` tells what was fixed on the way."""

    parameters: tuple[Parameter, ...]
    target: Target
    fit: Fit
    profiles: tuple[Profile, ...]
    judged: Identifiability
    said: tuple[str, ...]


def target_of(
    setups: Mapping[str, Setup], data: Observations, found: Sequence[Parameter], priors: Known, bounds: Known, step: float = 1e-3
) -> tuple[tuple[Parameter, ...], Target, np.ndarray]:
    """Return parameters with their priors and bounds, what is minimised, and where to start.

    Raises
    ------
    InputError
        If a name is twice there, or has a prior or bounds without being free.
    """
    parameters = list(found)
    names = [p.name for p in parameters]
    twice = [n for n in names if names.count(n) > 1] or (["P and PS"] if {"P", "PS"} <= set(names) else [])
    if not names or twice:
        raise InputError(
            "--free", got=f"{twice[0]} together" if twice else "nothing", expected="different parameters, e.g. P,Vmax"
        )
    keyed = {p.name.lower(): i for i, p in enumerate(parameters)}
    for option, table in (("--prior", priors), ("--bounds", bounds)):
        for name, (a, b) in table.items():
            if name.lower() not in keyed:
                raise InputError(option, got=f"'{name}'", expected="a free parameter: " + ", ".join(names))
            i = keyed[name.lower()]
            changed: dict[str, Any] = {"prior": (a, b)} if option == "--prior" else {"low": a, "high": b, "hard": (True, True)}
            parameters[i] = replace(parameters[i], **changed)
    center = np.log([p.prior[0] if p.prior else p.nominal for p in parameters])
    precision = np.diag([p.prior[1] ** -2 if p.prior else 0.0 for p in parameters])
    low, high = (np.log([getattr(p, k) for p in parameters]) for k in ("low", "high"))
    predict = predictor(setups, parameters, data)
    target = Target(tuple(names), predict, data, low, high, center, precision, step, np.array([p.hard for p in parameters]),
                    predict.slopes if predict.exact else None)  # fmt: skip
    return tuple(parameters), target, np.clip(center, low, high)


def settle(
    build: Build,
    free: Sequence[str],
    priors: Known,
    bounds: Known,
    *,
    unheld: Literal["report", "fix"],
    level: float,
    seed: int,
    tell: Tell,
) -> Settled:
    """Fit, profile and judge; with ``unheld="fix"`` fix what the data do not hold, one by one, the least known first."""
    names, fixed = list(free), list[str]()
    known = [dict(priors), dict(bounds)]
    while True:
        parameters, target, start = build(names, *known)
        found, lines = _fit_and_profile(target, start, level, seed, tell)
        judged = identify(target, found, lines)
        tell(0.8)
        if unheld == "report" or judged.held.all() or len(names) == 1:
            return Settled(parameters, target, found, tuple(lines), judged, tuple(fixed))
        worst = int(np.argmax(np.where(judged.held, -1.0, found.sd)))
        fixed.append(f"{parameters[worst].name} fixed at the library's value: {judged.verdict[worst]}")
        lost = names.pop(worst)
        known = [{n: v for n, v in table.items() if n.lower() != lost.lower()} for table in known]


def _fit_and_profile(target: Target, start: np.ndarray, level: float, seed: int, tell: Tell) -> tuple[Fit, list[Profile]]:
    """Return fit and profiles; where a profile finds a better point, fit again from there."""
    found = fit(target, start, seed=seed)
    for _ in range(3):
        tell(0.4)
        lines = profile(target, found, level=level)
        if lines[0].better is None:
            break
        found = fit(target, lines[0].better, scan=0)
    return found, lines


def draw(settled: Settled, *, posterior: bool, seed: int) -> tuple[Posterior | None, str, np.ndarray]:
    """Return the posterior or the reason why there is none, and the log-parameters (R, P) that bands are drawn with."""
    samples, reason = _sample(settled, seed) if posterior else (None, "")
    draws = normal_draws(settled.target, settled.fit, _DRAWS, seed=seed) if samples is None else samples.x[:_DRAWS]
    return samples, reason, draws


def _sample(settled: Settled, seed: int) -> tuple[Posterior | None, str]:
    if not settled.judged.held.all():
        return None, "no posterior: of what the data do not hold it would be that of the bounds; give a --prior"
    try:
        samples = sample(settled.target, settled.fit, settled.profiles, seed=seed)
    except KroghError as error:
        return None, f"no posterior: {error}"
    cut = f"{100 * samples.edge:.0f} % of the posterior lies at the reach of its surrogate: tails are cut, trust the profiles"
    return samples, cut if samples.edge > 0.01 else ""
