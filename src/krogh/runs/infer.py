"""Infer parameters of a compound from observations: data in, estimates with intervals and everything to judge them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from krogh.compounds import Compound
from krogh.errors import InputError, KroghError
from krogh.inference.bands import Band, draw_bands, normal_draws
from krogh.inference.design import Suggestion, next_times
from krogh.inference.experiment import Experiment, Reader, without_products
from krogh.inference.fit import Fit, fit
from krogh.inference.identify import Identifiability, identify
from krogh.inference.joint import Joint
from krogh.inference.networks import networks_of
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter, Subject, find_parameter
from krogh.inference.posterior import Posterior, sample
from krogh.inference.predictors import predictor
from krogh.inference.profile import Profile, profile
from krogh.inference.target import Target
from krogh.runs.config import SimulateConfig
from krogh.runs.infer_networks import check_joint_of, fit_by_networks, joint_of
from krogh.runs.infer_notes import notes_of
from krogh.runs.simulate import plan

__all__ = ["Inference", "build_experiment", "build_target", "infer"]

_DRAWS = 64
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Inference:
    """Hold a finished inference; log-parameters inside, natural units through :attr:`estimate`, :attr:`low` and :attr:`high`.

    Attributes
    ----------
    parameters : tuple of Parameter
        What was free.
    data, experiments, target
        What was fitted.
    fit, profiles, identifiability
        What was found.
    posterior : Posterior or None
        Samples, where they were asked for and the data hold every parameter.
    draws : array (R, P)
        Log-parameters of the bands: posterior samples, else the normal approximation.
    bands : tuple of Band
        Curves with their uncertainty.
    next_times : tuple of Suggestion
        Values that would narrow the parameters most.
    level : float
        Of the intervals.
    notes : tuple of str
        What a reader should know.
    joint : Joint or None
        The minimum of the usual joint loss, where it was asked for: biased, for comparison.
    """

    compound: str
    parameters: tuple[Parameter, ...]
    data: Observations
    experiments: Mapping[str, Experiment]
    target: Target
    fit: Fit
    profiles: tuple[Profile, ...]
    identifiability: Identifiability
    posterior: Posterior | None
    draws: np.ndarray
    bands: tuple[Band, ...]
    next_times: tuple[Suggestion, ...]
    level: float
    notes: tuple[str, ...]
    joint: Joint | None = None

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


def build_experiment(
    name: str,
    config: SimulateConfig,
    *,
    own: Mapping[str, Compound] | None = None,
    plasma: Curve | None = None,
    readers: Mapping[str, Reader] | None = None,
) -> Experiment:
    """Return the dosing that the settings of a simulation describe.

    Raises
    ------
    InputError
        If they ask for more than one compound or another geometry than the slab.
    """
    if len(config.compounds) != 1:
        raise InputError("compounds", got=f"{len(config.compounds)}", expected="one")
    if config.geometry != "slab":
        raise InputError("geometry", got=config.geometry, expected="slab")
    case = plan(config, own=own, plasma=plasma)[0]
    subject = Subject(case.members[0].compound, case.physiology, case.state, config.permeability_method)
    dose = case.doses[0]
    given: Any = plasma if dose is None else dose
    return Experiment(
        name, without_products(subject), given, cells=config.cells, rtol=config.rtol, solver=config.solver, tol=config.tol,
        seed=config.seed, readers=readers or {},
    )  # fmt: skip


def build_target(
    experiments: Mapping[str, Experiment],
    data: Observations,
    free: Sequence[str],
    *,
    priors: Mapping[str, tuple[float, float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[tuple[Parameter, ...], Target, np.ndarray]:
    """Return the parameters, what is minimised, and where to start.

    Parameters
    ----------
    experiments, data
        Dosings by name, and what was measured.
    free : sequence of str
        Names of the unknowns.
    priors : mapping, optional
        Name -> (median, SD of the logarithm), SI.
    bounds : mapping, optional
        Name -> (low, high), SI.

    Raises
    ------
    InputError
        If a name is unknown, twice there, or has a prior or bounds without being free.
    """
    subject = next(iter(experiments.values())).subject
    parameters = [find_parameter(name.strip(), subject) for name in free]
    names = [p.name for p in parameters]
    twice = [n for n in names if names.count(n) > 1] or (["P and PS"] if {"P", "PS"} <= set(names) else [])
    if not names or twice:
        raise InputError(
            "--free", got=f"{twice[0]} together" if twice else "nothing", expected="different parameters, e.g. P,Vmax"
        )
    keyed = {p.name.lower(): i for i, p in enumerate(parameters)}
    for option, table in (("--prior", priors or {}), ("--bounds", bounds or {})):
        for name, (a, b) in table.items():
            if name.lower() not in keyed:
                raise InputError(option, got=f"'{name}'", expected="a free parameter: " + ", ".join(names))
            i = keyed[name.lower()]
            changed: dict[str, Any] = {"prior": (a, b)} if option == "--prior" else {"low": a, "high": b, "hard": (True, True)}
            parameters[i] = replace(parameters[i], **changed)
    center = np.log([p.prior[0] if p.prior else p.nominal for p in parameters])
    precision = np.diag([p.prior[1] ** -2 if p.prior else 0.0 for p in parameters])
    low, high = (np.log([getattr(p, k) for p in parameters]) for k in ("low", "high"))
    step = 1e-2 if any(e.solver == "pinn" for e in experiments.values()) else 1e-3
    predict = predictor(experiments, parameters, data)
    target = Target(tuple(names), predict, data, low, high, center, precision, step, np.array([p.hard for p in parameters]),
                    predict.slopes if predict.exact else None)  # fmt: skip
    return tuple(parameters), target, np.clip(center, low, high)


def infer(
    experiments: Mapping[str, Experiment],
    data: Observations,
    free: Sequence[str],
    *,
    priors: Mapping[str, tuple[float, float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    unheld: Literal["report", "fix"] = "report",
    level: float = 0.95,
    posterior: bool = True,
    joint: float | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Inference:
    """Infer the parameters `free` and judge which of them the data hold.

    Parameters
    ----------
    experiments, data, free, priors, bounds
        See :func:`build_target`.
    unheld : {"report", "fix"}
        Leave parameters that the data do not hold in the result, marked; or fix them at the library's value one by one, the least
        known first, and fit again.
    level : float
        Of the intervals.
    posterior : bool
        Sample the posterior as well (extra ``infer``); a reason is noted where it cannot be.
    joint : float, optional
        Minimise the usual joint loss as well, with this weight of the data (see :mod:`krogh.inference.joint`).
    seed : int
        Of the scan of starting points, of the sampler and of the bands.
    progress : callable, optional
        Called with the share done.

    Raises
    ------
    InputError, ConvergenceError
        See :func:`build_target` and :func:`krogh.inference.fit.fit`.
    """
    tell = progress or (lambda share: None)
    names, fixed = list(free), []
    given, experiments = experiments, {k: _steady(e) for k, e in experiments.items()}
    known = {"priors": dict(priors or {}), "bounds": dict(bounds or {})}
    while True:
        parameters, target, start = build_target(experiments, data, names, **known)
        if joint is not None:
            _check_joint_solver(experiments)
            check_joint_of(experiments, parameters, target)
        found, lines = _fit_and_profile(target, start, level, seed, tell)
        judged = identify(target, found, lines)
        tell(0.8)
        if unheld == "report" or judged.held.all() or len(names) == 1:
            break
        worst = int(np.argmax(np.where(judged.held, -1.0, found.sd)))
        fixed.append(f"{parameters[worst].name} fixed at the library's value: {judged.verdict[worst]}")
        lost = names.pop(worst)
        known = {k: {n: v for n, v in table.items() if n.lower() != lost.lower()} for k, table in known.items()}
    if any(e.solver == "pinn" for e in given.values()):
        found, said = fit_by_networks(networks_of(given, parameters, data), target, found, max(e.tol for e in given.values()))
        fixed.append(said)
    usual, said = (None, "") if joint is None else joint_of(experiments, parameters, target, found, joint)
    fixed += [said] if said else []
    samples, reason = _sample(target, found, lines, judged, seed) if posterior else (None, "")
    tell(0.9)
    draws = normal_draws(target, found, _DRAWS, seed=seed) if samples is None else samples.x[:_DRAWS]
    bands = tuple(draw_bands(experiments, parameters, data, found.x, draws, seed=seed))
    further = tuple(next_times(experiments, parameters, target, found))
    tell(1.0)
    subject = next(iter(experiments.values())).subject
    return Inference(
        subject.compound.name, parameters, data, experiments, target, found, tuple(lines), judged, samples, draws, bands, further,
        level, (*fixed, *([reason] if reason else []), *notes_of(found, judged, parameters, experiments, data)), usual,
    )  # fmt: skip


def _steady(e: Experiment) -> Experiment:
    """Return what intervals and bands are computed by: finite volumes in place of networks."""
    return replace(e, solver="fv") if e.solver == "pinn" else e


def _check_joint_solver(experiments: Mapping[str, Experiment]) -> None:
    if any(e.solver == "compartments" for e in experiments.values()):
        raise InputError("--joint", got="solver compartments, which has no equations to penalise", expected="--solver fv or pinn")


def _fit_and_profile(
    target: Target, start: np.ndarray, level: float, seed: int, tell: Callable[[float], None]
) -> tuple[Fit, list[Profile]]:
    """Return fit and profiles; where a profile finds a better point, fit again from there."""
    found = fit(target, start, seed=seed)
    for _ in range(3):
        tell(0.4)
        lines = profile(target, found, level=level)
        if lines[0].better is None:
            break
        found = fit(target, lines[0].better, scan=0)
    return found, lines


def _sample(
    target: Target, found: Fit, lines: Sequence[Profile], judged: Identifiability, seed: int
) -> tuple[Posterior | None, str]:
    """Return the posterior, or the reason why there is none."""
    if not judged.held.all():
        return None, "no posterior: of what the data do not hold it would be that of the bounds; give a --prior"
    try:
        samples = sample(target, found, lines, seed=seed)
    except KroghError as error:
        return None, f"no posterior: {error}"
    cut = f"{100 * samples.edge:.0f} % of the posterior lies at the reach of its surrogate: tails are cut, trust the profiles"
    return samples, cut if samples.edge > 0.01 else ""
