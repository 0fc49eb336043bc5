"""Name every number of a problem, and ask how much a metric depends on each: derivatives and elasticities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from krogh.barrier.model import Barrier
from krogh.errors import InputError, nearest
from krogh.transport.adjoint.laws import constants, with_constant
from krogh.transport.adjoint.run import Differentiable, Run, differentiable_run
from krogh.transport.block.parts import draw
from krogh.transport.march import BloodSource

__all__ = ["Sensitivity", "parameters", "scaled", "sensitivities"]

_SHEET = ("diffusivity_m2_s", "capacity", "loss_per_s")
_CELLS = ("capacity", "exchange_per_s", "trapping")


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Say how a metric depends on one number.

    Attributes
    ----------
    name : str
        As :func:`parameters` gives it; the unit is in the last word.
    value : float
        The number (the mean of a map).
    derivative : float
        d(metric)/d(value), a map scaled as a whole.
    elasticity : float
        d(ln metric)/d(ln value): the per cent by which the metric changes for one per cent more.
    """

    name: str
    value: float
    derivative: float
    elasticity: float


@dataclass(frozen=True)
class _ScaledBlood:
    """The same total in blood with another unbound fraction."""

    whole: BloodSource
    factor: float

    @property
    def fu(self) -> np.ndarray:
        """Return the unbound fraction."""
        return np.asarray(getattr(self.whole, "fu", 1.0)) * self.factor

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the free concentration."""
        return self.factor * self.whole.free(t_s, left=left)

    def events(self, t_end_s: float) -> np.ndarray:
        """Return the times of doses."""
        return self.whole.events(t_end_s)


class _Names:
    """Walk through a barrier; every number that was asked for is multiplied by its factor, every other one is left alone."""

    def __init__(self, species: tuple[str, ...], factors: Mapping[str, float]) -> None:
        self.species, self.factors = species, factors
        self.values: dict[str, float] = {}

    def number(self, name: str, value: Any, *, per_species: bool = True) -> Any:
        """Return `value` (any shape that broadcasts to species on axis 1) with its factor, and note it under `name`."""
        array = np.asarray(value, dtype=float)
        count = len(self.species)
        if count == 1 or not per_species or array.ndim < 2 or array.shape[1] == 1:
            return self._one(name, array, value)  # one number for all
        before = [array[:, [i]] for i in range(count)]
        after = [self._one(f"{s} {name}", x, x) for s, x in zip(self.species, before, strict=True)]
        same = all(a is b for a, b in zip(before, after, strict=True))
        return value if same else np.concatenate(after, axis=1)

    def _one(self, name: str, array: np.ndarray, value: Any) -> Any:
        if np.any(array != 0) and np.all(np.isfinite(array)):  # nothing can be said of what is absent
            self.values.setdefault(name, float(array.mean()))
        factor = self.factors.get(name)
        return value if factor is None else array * factor

    def law(self, prefix: str, law: Any) -> Any:
        """Return a route or a reaction with its factors."""
        for name, value in constants(law):
            plain = value if value.ndim in (0, 3) else value.reshape(*value.shape, 1)
            changed = self.number(f"{prefix} {name.removeprefix('route.')}", plain)
            if changed is not plain:
                law = with_constant(law, name, np.asarray(changed)[..., None] if np.ndim(changed) == 2 else changed)
        return law

    def barrier(self, b: Barrier, *, boxed: bool) -> Barrier:
        """Return a barrier with its factors; the last layer of a network is a box of tissue, without a thickness."""
        layers, cells = [], []
        for layer in b.layers:
            sheet = _SHEET if boxed and layer is b.layers[-1] else (*_SHEET, "thickness_m")
            own = {f: self.number(f"{layer.name} {f}", getattr(layer, f)) for f in sheet}
            own |= {"thickness_m": float(own["thickness_m"])} if "thickness_m" in own else {}
            laws = tuple(self.law(f"{layer.name} {x.name}", x) for x in layer.reactions)
            layers.append(replace(layer, reactions=laws, **own))
        for cell in b.cells:
            own = {f: self.number(f"{cell.name} {f}", getattr(cell, f)) for f in _CELLS}
            laws = tuple(self.law(f"{cell.name} {x.name}", x) for x in cell.reactions)
            cells.append(replace(cell, reactions=laws, **own))
        walls = tuple(replace(m, routes=tuple(self.law(f"{m.name} {r.name}", r) for r in m.routes)) for m in b.membranes)
        past = tuple(replace(x, route=self.law(f"blood-brain {x.route.name}", x.route)) for x in b.bypasses)
        return replace(b, layers=tuple(layers), cells=tuple(cells), membranes=walls, bypasses=past)


def _walk(problem: Any, factors: Mapping[str, float]) -> tuple[Any, dict[str, float]]:
    names = _Names(problem.barrier.species, factors)
    changed: dict[str, Any] = {"barrier": names.barrier(problem.barrier, boxed=hasattr(problem, "flow"))}
    fu = np.asarray(problem.fu_plasma, dtype=float)
    names.values["fu_plasma"] = float(fu.mean())
    if "fu_plasma" in factors:
        changed |= {"fu_plasma": fu * factors["fu_plasma"], "blood": _ScaledBlood(problem.blood, factors["fu_plasma"])}
    for place in ("capillary", "lumen"):
        part = getattr(problem, place, None)
        if part is None:
            continue
        own = {f.name: names.number(f"{place} {f.name}", getattr(part, f.name), per_species=False) for f in fields(part)}
        own = {k: float(v) if np.ndim(v) == 0 else v for k, v in own.items()}
        changed[place] = replace(part, **own)
    moved = replace(problem, **changed)
    if getattr(problem, "parts", ()):
        moved = _with_parts(moved, names)
    return moved, names.values


def _with_parts(problem: Any, names: _Names) -> Any:
    """Return a block with the factors on what its tissue was drawn from; a tissue of plane layers stays one."""
    listed = [part for part in problem.parts if part.even or not problem.tissue.uniform]
    values = {part.name: names.number(part.name, part.value, per_species=False) for part in listed}
    parts = tuple(replace(part, value=float(values.get(part.name, part.value))) for part in problem.parts)
    if all(new.value == old.value for new, old in zip(parts, problem.parts, strict=True)):
        return problem
    return replace(problem, tissue=draw(problem.model(), parts), parts=parts)


def parameters(problem: Any) -> dict[str, float]:
    """Return the name and value of every number that a problem's metrics can be differentiated by.

    A name says where, what and in which unit: ``luminal passive permeability_m_s``, ``interstitium diffusivity_m2_s``,
    ``fu_plasma`` (free drug at the same total). What differs between species starts with the species. What is zero or endless is
    not listed.

    Parameters
    ----------
    problem : Problem, BlockProblem or NetworkProblem
        The problem.
    """
    return _walk(problem, {})[1]


def scaled(problem: Any, factors: Mapping[str, float]) -> Any:
    """Return `problem` with some of its :func:`parameters` multiplied.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    known = parameters(problem)
    for name in factors:
        if name not in known:
            raise InputError("parameter", got=f"'{name}'", hint=nearest(name, known))
    return _walk(problem, factors)[0]


def sensitivities(
    problem: Any,
    metric: Callable[[Run], torch.Tensor],
    names: Sequence[str] | None = None,
    **settings: Any,
) -> tuple[float, list[Sensitivity]]:
    """Return a metric of a run and how it depends on many numbers, for about the price of two runs.

    Parameters
    ----------
    problem : Problem, BlockProblem or NetworkProblem
        The problem; e.g. ``krogh.runs.simulate.plan(config)[0].problem``.
    metric : callable
        Returns a scalar tensor of a :class:`~krogh.transport.adjoint.run.Run`, e.g. ``lambda run: run.kp_uu()``.
    names : sequence of str, optional
        Some of :func:`parameters`; all by default.
    **settings
        Of :func:`~krogh.transport.adjoint.run.differentiable_run`.

    Returns
    -------
    value : float
    sensitivities : list of Sensitivity
        The largest elasticity first.

    Raises
    ------
    InputError
        If a name is unknown, or the metric is no scalar.
    """
    known = parameters(problem)
    chosen = list(known) if names is None else list(names)
    scaled(problem, dict.fromkeys(chosen, 1.0))  # refuses unknown names

    def build(factors: np.ndarray) -> Differentiable:
        moved = {n: float(f) for n, f in zip(chosen, factors, strict=True) if f != 1.0}
        return _walk(problem, moved)[0] if moved else problem

    theta = torch.ones(len(chosen), dtype=torch.float64, requires_grad=True)
    value = metric(differentiable_run(build, theta, **settings))
    if value.ndim != 0:
        raise InputError("metric", got=f"a tensor of shape {tuple(value.shape)}", expected="one number")
    (gradient,) = torch.autograd.grad(value, theta)
    number = float(value.detach())
    found = [
        Sensitivity(n, known[n], float(g) / known[n], float(g) / number if number != 0 else float("nan"))
        for n, g in zip(chosen, gradient, strict=True)
    ]
    return number, sorted(found, key=lambda s: -abs(s.elasticity))
