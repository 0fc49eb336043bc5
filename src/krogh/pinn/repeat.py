"""Solve one slab again and again with other membranes or blood: windows, networks and factors of the first solve are kept.

A layer asks the same of its networks whatever its faces do, so the factor of all rows inside is computed once
(:mod:`krogh.pinn.frozen`). The derivative of the answer by a parameter p is one more right-hand side of the same system::

    [R; F] dw/dp = [lift du_start/dp; -dr_F/dp],     r_F = F w - f_F
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.pinn.certificate import certificate
from krogh.pinn.frozen import FrozenWindow, same
from krogh.pinn.march import Trained
from krogh.pinn.physics import Sheet, Slab, slab_of
from krogh.pinn.sampling import states
from krogh.pinn.solution import PinnSolution
from krogh.pinn.solve import solve
from krogh.pinn.threads import one_thread
from krogh.pinn.window import entered
from krogh.transport.problem import Problem

__all__ = ["Again", "Rates", "Repeat", "repeatable", "serves"]

#: For every parameter: the problem with more and with less of it, and the difference of the parameter between the two.
Rates = Sequence[tuple[Problem, Problem, float]]


@dataclass(frozen=True)
class Again:
    """Hold one more solution: its problem, windows, the weights of each (n,), and their derivatives by P parameters (n, P)."""

    problem: Problem
    slab: Slab
    windows: tuple[FrozenWindow, ...]
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
        if not repeatable(problem):
            raise InputError(
                "repeated solve", got="several species, a cylinder, or uptake that saturates inside a layer",
                expected="one species in a slab, saturable at its faces only",
            )  # fmt: skip
        with one_thread():
            self.windows = [FrozenWindow(w.window) for w in self.first.windows]
        for before, after in zip(self.windows[:-1], self.windows[1:], strict=True):
            after.at_start = _hand_over(before, after)
        self._built: list[tuple[Any, list[FrozenWindow]]] = [(slab.sheets, self.windows)]
        self._blood: list[tuple[Any, list[np.ndarray]]] = []

    def fits(self, problem: Problem) -> bool:
        """Tell whether the networks serve `problem`: its dosing times and layers are the same.

        Diffusivity, losses and exchange may differ, and are assembled again, in layers that no blood enters.
        """
        return serves(self.first.problem, problem)

    def windows_of(self, slab: Slab) -> list[FrozenWindow]:
        """Return the windows for the layers of `slab`."""
        for sheets, windows in self._built:
            if same(sheets, slab.sheets):
                return windows
        windows = [w.rebuilt(slab) for w in self.windows]
        self._built = [self._built[0], (slab.sheets, windows), *self._built[1:4]]
        return windows

    def blood(self, problem: Problem) -> list[np.ndarray]:
        """Return the free concentration in blood at the face points of every window, (1, time) each."""
        for held, values in self._blood:
            if same(held, problem.blood):
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
        if not self.fits(problem):
            raise InputError("repeated solve", got="other layers or dosing times", expected="those of the first problem")
        if not all(same(slab_of(p.barrier).sheets, slab_of(problem.barrier).sheets) for pair in rates for p in pair[:2]):
            raise InputError("slopes", got="a parameter of a layer", expected="parameters of membranes or blood")
        slab, blood = slab_of(problem.barrier), self.blood(problem)
        moved = [[(slab_of(p.barrier), self.blood(p)) for p in pair[:2]] for pair in rates]
        weights: list[np.ndarray] = []
        slopes: list[np.ndarray] = []
        with one_thread():
            windows = self.windows_of(slab)
            for k, w in enumerate(windows):
                start = np.zeros(w.lift.shape[1]) if w.at_start is None else w.at_start @ weights[-1]
                weights.append(w.solve(slab, blood[k], start))
                if not rates:
                    continue
                by = np.zeros((start.size, len(rates))) if w.at_start is None else w.at_start @ slopes[-1]
                slopes.append(w.slopes(slab, blood[k], face_rates(w, k, weights[-1], moved, rates), by))
        return Again(problem, slab, tuple(windows), tuple(weights), tuple(slopes))

    def solution(self, again: Again) -> PinnSolution:
        """Return the networks with these weights, as what any solver returns; its certificate is computed afresh."""
        out: list[Trained] = []
        for k, (w, weights) in enumerate(zip(again.windows, again.weights, strict=True)):
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


def repeatable(problem: Problem) -> bool:
    """Tell whether a problem can be the first: one species in a slab, and no saturable law inside a layer."""
    slab = slab_of(problem.barrier)
    return (
        slab.species == 1 and problem.capillary is None and not any(s.laws or any(p.laws for p in s.pools) for s in slab.sheets)
    )


def serves(first: Problem, other: Problem) -> bool:
    """Tell whether networks of the `first` problem can be those of the `other`; see :meth:`Repeat.fits`."""
    if other.t_end_s != first.t_end_s or other.capillary is not None or other.barrier.batch != 1:
        return False
    if not np.array_equal(first.blood.events(first.t_end_s), other.blood.events(other.t_end_s)):
        return False
    slab, old = slab_of(other.barrier), slab_of(first.barrier)
    return len(slab.sheets) == len(old.sheets) and all(
        same(x, y) or (entered(old, i) in (None, 2) and _alike(x, y))  # 2: kernels that are only a basis
        for i, (x, y) in enumerate(zip(slab.sheets, old.sheets, strict=True))
    )


def _alike(a: Sheet, b: Sheet) -> bool:
    """Tell whether two layers have the same size and storage, so that networks and what is read of them stay."""
    fields = (a.thickness, a.spread, a.growth, a.capacity), (b.thickness, b.spread, b.growth, b.capacity)
    pools = tuple((p.name, p.capacity) for p in a.pools), tuple((p.name, p.capacity) for p in b.pools)
    return same(*fields) and same(*pools)


def _blood_at(problem: Problem, begin: float, last: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.array([problem.blood.free(float(x), left=True)[0] for x in np.minimum(begin + t, last)]).T


def _from(last: Any) -> Any:
    return lambda s, i, x: last.evaluate(s, i, x, np.full_like(x, last.clock.b_s))
