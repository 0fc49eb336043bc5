"""Infer parameters of a compound from observations: data in, estimates with intervals and everything to judge them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from krogh.compounds import Compound
from krogh.errors import InputError
from krogh.inference.bands import Band, draw_bands
from krogh.inference.design import Suggestion, next_times
from krogh.inference.experiment import Experiment, Reader, without_products
from krogh.inference.joint import Joint
from krogh.inference.networks import networks_of
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter, Subject, find_parameter
from krogh.inference.target import Target
from krogh.runs.config import SimulateConfig
from krogh.runs.infer_networks import check_joint_of, fit_by_networks, joint_of
from krogh.runs.infer_notes import notes_of
from krogh.runs.judged import Judged, Known, draw, settle, target_of
from krogh.runs.simulate import plan

__all__ = ["Inference", "build_experiment", "build_target", "infer"]

#: Certificate of the networks where none is asked for.
_TOL = 1e-3

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Inference(Judged):
    """Hold a finished inference of one compound.

    Attributes
    ----------
    experiments : mapping of str to Experiment
        Dosings by name.
    bands : tuple of Band
        Curves with their uncertainty.
    next_times : tuple of Suggestion
        Values that would narrow the parameters most.
    joint : Joint or None
        The minimum of the usual joint loss, where it was asked for: biased, for comparison.
    """

    experiments: Mapping[str, Experiment]
    bands: tuple[Band, ...]
    next_times: tuple[Suggestion, ...]
    joint: Joint | None = None

    @property
    def compound(self) -> str:
        """Return whose parameters these are."""
        return self.name


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
        name, without_products(subject), given, cells=config.cells, rtol=config.rtol, solver=config.solver,
        tol=_TOL if config.tol is None else config.tol, seed=config.seed, readers=readers or {},
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
    step = 1e-2 if any(e.solver == "pinn" for e in experiments.values()) else 1e-3
    found = [find_parameter(name.strip(), subject) for name in free]
    return target_of(experiments, data, found, priors or {}, bounds or {}, step)


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
        Of the scan of starting points, of the sampler and of the curves.
    progress : callable, optional
        Called with the share done.

    Raises
    ------
    InputError, ConvergenceError
        See :func:`build_target` and :func:`krogh.inference.fit.fit`.
    """
    tell = progress or (lambda share: None)
    given, experiments = experiments, {k: _steady(e) for k, e in experiments.items()}

    def build(names: Sequence[str], priors: Known, bounds: Known) -> tuple[tuple[Parameter, ...], Target, np.ndarray]:
        built = build_target(experiments, data, names, priors=priors, bounds=bounds)
        if joint is not None:
            _check_joint_solver(experiments)
            check_joint_of(experiments, *built[:2])
        return built

    s = settle(build, free, priors or {}, bounds or {}, unheld=unheld, level=level, seed=seed, tell=tell)
    said, found, parameters, target = list(s.said), s.fit, s.parameters, s.target
    if any(e.solver == "pinn" for e in given.values()):
        found, word = fit_by_networks(networks_of(given, parameters, data), target, found, max(e.tol for e in given.values()))
        said.append(word)
        s = replace(s, fit=found)
    usual, word = (None, "") if joint is None else joint_of(experiments, parameters, target, found, joint)
    said += [word] if word else []
    samples, reason, draws = draw(s, posterior=posterior, seed=seed)
    tell(0.9)
    bands = tuple(draw_bands(experiments, parameters, data, found.x, draws))
    further = tuple(next_times(experiments, parameters, target, found))
    tell(1.0)
    notes = (*said, *([reason] if reason else []), *notes_of(s.target, found, s.judged, parameters, experiments, data))
    name = next(iter(experiments.values())).subject.compound.name
    return Inference(
        name,
        parameters,
        data,
        target,
        found,
        s.profiles,
        s.judged,
        samples,
        draws,
        level,
        notes,
        experiments,
        bands,
        further,
        usual,
    )


def _steady(e: Experiment) -> Experiment:
    """Return what intervals and bands are computed by: finite volumes in place of networks."""
    return replace(e, solver="fv") if e.solver == "pinn" else e


def _check_joint_solver(experiments: Mapping[str, Experiment]) -> None:
    if any(e.solver == "compartments" for e in experiments.values()):
        raise InputError("--joint", got="solver compartments, which has no equations to penalise", expected="--solver fv or pinn")
