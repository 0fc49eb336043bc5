"""Solve one slab again and again with other membranes or blood: windows, networks and factors of the first solve are kept.

A layer asks the same of its networks whatever its faces do, so the factor of all rows inside is computed once
(:mod:`krogh.pinn.frozen`). The derivative of the answer by a parameter p is one more right-hand side of the same system::

    [R; F] dw/dp = [lift du_start/dp; -dr_F/dp],     r_F = F w - f_F
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.pinn.certificate import certificate
from krogh.pinn.frozen import FrozenWindow
from krogh.pinn.march import Trained
from krogh.pinn.physics import Slab, slab_of
from krogh.pinn.sampling import states
from krogh.pinn.solution import PinnSolution
from krogh.pinn.solve import solve
from krogh.pinn.threads import one_thread
from krogh.transport.problem import Problem

__all__ = ["Again", "Rates", "Repeat"]

#: For every parameter: the problem with more and with less of it, and the difference of the parameter between the two.
Rates = Sequence[tuple[Problem, Problem, float]]


@dataclass(frozen=True)
class Again:
    """Hold one more solution: its problem, the weights of every window (n,), and their derivatives by P parameters (n, P)."""

    problem: Problem
    slab: Slab
    weights: tuple[np.ndarray, ...]
    slopes: tuple[np.ndarray, ...]


class Repeat:
    """Train networks for one problem, then solve others of the same layers.

    Parameters
    ----------
    problem : Problem
        A slab with one species and no saturable law inside a layer.
    tol, seed
        As in :func:`krogh.pinn.solve.solve`.

    Raises
    ------
    InputError
        For several species, or a law inside a layer.
    ConvergenceError
        If the certificate stays above `tol`.
    """

    def __init__(self, problem: Problem, *, tol: float = 1e-3, seed: int = 0) -> None:
        self.tol = tol
        self.first = solve(problem, tol=tol, seed=seed)
        slab = self.first.slab
        if slab.species != 1 or problem.capillary is not None or any(s.laws or any(p.laws for p in s.pools) for s in slab.sheets):
            raise InputError(
                "repeated solve", got="several species, a cylinder, or uptake that saturates inside a layer",
                expected="one species in a slab, saturable at its faces only",
            )  # fmt: skip
        with one_thread():
            self.windows = [FrozenWindow(w.window) for w in self.first.windows]
        for before, after in zip(self.windows[:-1], self.windows[1:], strict=True):
            after.at_start = _hand_over(before, after)
        self._blood: list[tuple[Any, list[np.ndarray]]] = []

    def fits(self, problem: Problem) -> bool:
        """Tell whether `problem` has the same layers and dosing times."""
        same_time = problem.t_end_s == self.first.problem.t_end_s and np.array_equal(
            problem.blood.events(problem.t_end_s), self.first.problem.blood.events(problem.t_end_s)
        )
        return same_time and problem.capillary is None and _same(slab_of(problem.barrier).sheets, self.first.slab.sheets)

    def blood(self, problem: Problem) -> list[np.ndarray]:
        """Return the free concentration in blood at the face points of every window, (1, time) each."""
        for held, values in self._blood:
            if _same(held, problem.blood):
                return values
        values = []
        for w in self.windows:
            clock = w.window.clock
            t = np.minimum(clock.start_s + w.window.t, clock.start_s + clock.b_s)
            values.append(np.array([problem.blood.free(float(x), left=True)[0] for x in t]).T)
        self._blood = [(problem.blood, values), *self._blood[:3]]
        return values

    def solve(self, problem: Problem, rates: Rates = ()) -> Again:
        """Return the solution of `problem`, with its derivatives by the parameters of `rates`.

        Raises
        ------
        InputError
            If the problem has other layers or dosing times.
        """
        if not all(self.fits(p) for p in (problem, *(p for pair in rates for p in pair[:2]))):
            raise InputError("repeated solve", got="other layers or dosing times", expected="those of the first problem")
        slab, blood = slab_of(problem.barrier), self.blood(problem)
        moved = [[(slab_of(p.barrier), self.blood(p)) for p in pair[:2]] for pair in rates]
        weights: list[np.ndarray] = []
        slopes: list[np.ndarray] = []
        with one_thread():
            for k, w in enumerate(self.windows):
                start = np.zeros(w.lift.shape[1]) if w.at_start is None else w.at_start @ weights[-1]
                weights.append(w.solve(slab, blood[k], start))
                if not rates:
                    continue
                by = np.zeros((start.size, len(rates))) if w.at_start is None else w.at_start @ slopes[-1]
                slopes.append(w.slopes(slab, blood[k], face_rates(w, k, weights[-1], moved, rates), by))
        return Again(problem, slab, tuple(weights), tuple(slopes))

    def solution(self, again: Again) -> PinnSolution:
        """Return the networks with these weights, as what any solver returns; its certificate is computed afresh."""
        out: list[Trained] = []
        for k, (w, weights) in enumerate(zip(self.windows, again.weights, strict=True)):
            window = copy.copy(w.window)
            window.slab, window.blood = again.slab, self.blood(again.problem)[k]
            clock = window.clock
            window.blood_at = _blood_at(again.problem, clock.start_s, clock.start_s + clock.b_s)
            window.coefficients = [[weights[a:b] for a, b in zip(w.ends[:-1], w.ends[1:], strict=True)]]
            if out:
                window.start = _from(out[-1].window)
            with one_thread():
                out.append(Trained(window, certificate(window)))
        return PinnSolution(again.problem, again.slab, tuple(out), self.tol)

    def readout(self, read: Callable[[PinnSolution], np.ndarray]) -> list[np.ndarray]:
        """Return what `read` gives for every single weight, (N, n) a window; `read` is linear and takes ``sample`` only.

        It is called with a solution whose batch are the weights, and returns (N, batch).
        """
        return [read(_Basis(self.first, w, k)) for k, w in enumerate(self.windows)]

    def silent(self, problem: Problem) -> PinnSolution:
        """Return a solution of zeros with the blood of `problem`."""
        return _Silent(self.first, problem)


def face_rates(w: FrozenWindow, k: int, weights: np.ndarray, moved: Any, rates: Rates) -> np.ndarray:
    """Return the derivatives of the residuals of all faces (row, P) by the parameters, the weights held."""
    out = []
    for ((more, more_blood), (less, less_blood)), (_, _, change) in zip(moved, rates, strict=True):
        up, down = w.residual(more, more_blood[k], weights, w.sides), w.residual(less, less_blood[k], weights, w.sides)
        out.append((up - down) / change)
    return np.array(out).T


class _Basis(PinnSolution):
    """Stand for the networks of one window with one weight 1 and the others 0, all weights as a batch."""

    def __init__(self, first: PinnSolution, window: FrozenWindow, index: int) -> None:
        _copy(self, first, own=(window, index))

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return u (time, weight, S, N), 0 at times outside the window."""
        window, index = self.own  # type: ignore[attr-defined]
        t = np.asarray(t_s, dtype=float)
        clock = window.window.clock
        out = np.zeros((t.size, window.scale.size, *self.operator.graph.shape[1:]))
        for w, here in self._split(t):
            if w is self.windows[index].window:
                one = copy.copy(window.window)
                eye = np.eye(window.scale.size)
                one.coefficients = [[eye[a:b] for a, b in zip(window.ends[:-1], window.ends[1:], strict=True)]]
                out[here] = states(self.operator, self.problem, one, t[here] - clock.start_s)
        return out


class _Silent(PinnSolution):
    """Stand for networks that are 0 everywhere: what is read of it comes from the blood."""

    def __init__(self, first: PinnSolution, problem: Problem) -> None:
        _copy(self, first, problem=problem)

    def sample(self, t_s: np.ndarray) -> np.ndarray:
        """Return zeros (time, 1, S, N)."""
        return np.zeros((np.size(t_s), *self.operator.graph.shape))


def _copy(to: PinnSolution, first: PinnSolution, **changed: Any) -> None:
    for name in ("problem", "operator", "slab", "windows", "tol"):
        object.__setattr__(to, name, getattr(first, name))
    for name, value in changed.items():
        object.__setattr__(to, name, value)


def _hand_over(before: FrozenWindow, after: FrozenWindow) -> np.ndarray:
    """Return the state at the start of a window (K,) for every weight of the one before."""
    parts = []
    for i, (old, new) in enumerate(zip(before.window.rows[0], after.window.rows[0], strict=True)):
        end = np.full_like(new.x0, before.window.clock.b_s)
        values = old.columns.values(np.eye(old.columns.size), new.x0, end)
        block = np.zeros((values.shape[0] * values.shape[1], before.scale.size))
        block[:, before.ends[i] : before.ends[i + 1]] = values.reshape(block.shape[0], -1)
        parts.append(block)
    return np.concatenate(parts)


def _blood_at(problem: Problem, begin: float, last: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.array([problem.blood.free(float(x), left=True)[0] for x in np.minimum(begin + t, last)]).T


def _from(last: Any) -> Any:
    return lambda s, i, x: last.evaluate(s, i, x, np.full_like(x, last.clock.b_s))


def _same(a: Any, b: Any) -> bool:
    """Tell whether two values, dataclasses field by field, hold the same numbers."""
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b))
