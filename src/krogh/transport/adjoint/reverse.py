r"""Go back through the steps of a run: the discrete adjoint of an implicit Runge-Kutta method with a stiffly accurate last stage.

One step is, with :math:`K_0 = F(u)` handed over from the last stage of the step before,

    r_i = C u + h sum_{j<i} a_ij K_j,    C U_i - g F(U_i) = r_i,    K_i = (C U_i - r_i) / g,    g = h gamma.

Backwards, for i from the last stage to the second, with bars for derivatives of the metric:

    kbar_i = h sum_{l>i} a_li rbar_l,    (C + g L_i)^T lambda_i = C kbar_i / g + (what the metric takes from U_i),
    rbar_i = lambda_i - kbar_i / g,      ubar = C sum rbar_i.

So a stage costs one solve with the transposed Jacobian, L itself is needed only after a dose, and every coefficient p of F takes
``g lambda_i . dF/dp``. The steps are those of the run: their sizes do not move with the parameters (a frozen sequence), so the
gradient is that of the discrete map. Sandu 2006, doi:10.1007/978-3-540-74759-8_22.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.transport.adjoint.sums import add_scaled, stage_bar, stage_right
from krogh.transport.adjoint.system import AdjointSystem, Coefficients, add
from krogh.transport.adjoint.tape import Tape
from krogh.transport.stages import Step

__all__ = ["BloodWeights", "Seeds", "reverse"]


@dataclass(frozen=True)
class Seeds:
    """Say what the metric takes from a run, arrays (1, S, N), 0 where nothing is stored.

    Attributes
    ----------
    auc : array
        Weight of the time integral of the state.
    state : callable
        Returns the weight of the state after ``n`` steps, given that state, or None.
    """

    auc: np.ndarray
    state: Callable[[int, np.ndarray], np.ndarray | None]


#: (time [s], whether just before it) -> what the metric takes from the blood then, (S,).
BloodWeights = dict[tuple[float, bool], np.ndarray]


def reverse(
    tape: Tape, adjoint: AdjointSystem, seeds: Seeds, wanted: frozenset[str]
) -> tuple[Coefficients, np.ndarray, BloodWeights]:
    """Return what the wanted coefficients of F, the capacity (1, S, N) and the blood get."""
    return _Reverse(tape, adjoint, seeds, wanted).run()


class _Reverse:
    """Keep the sums of one pass."""

    def __init__(self, tape: Tape, adjoint: AdjointSystem, seeds: Seeds, wanted: frozenset[str]) -> None:
        self.tape, self.adjoint, self.seeds, self.wanted = tape, adjoint, seeds, wanted
        self.capacity = tape.system.capacity
        self.cells = self.capacity > 0
        self.found: Coefficients = {}
        self.by_capacity = np.zeros(tape.system.shape)
        self.blood: BloodWeights = {}
        self._points: list[Any] = []
        self._weights: list[np.ndarray] = []
        self._times: list[tuple[float, bool]] = []

    def run(self) -> tuple[Coefficients, np.ndarray, BloodWeights]:
        """Return the sums."""
        later = np.zeros(self.tape.system.shape)
        from_next = np.zeros_like(later)
        for number, step in self.tape.backwards():
            seed = self.seeds.state(number + 1, step.landed)
            if seed is not None:
                later = later + seed
            later, from_next = self._step(number, step, later, from_next)
        self._flush()
        return self.found, self.by_capacity, self.blood

    def _step(self, number: int, step: Step, later: np.ndarray, from_next: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mark, table = self.tape.marks[number], self.tape.table
        a, b, c, h = table.a, table.b, table.c, mark.h_s
        gh, last, shape = h * table.gamma, len(b) - 1, later.shape
        capacity, auc = self.capacity.ravel(), self.seeds.auc.ravel()
        bars: dict[int, np.ndarray] = {}
        right = np.empty(capacity.size)
        for i in range(last, 0, -1):
            kbar = from_next.ravel().copy() if i == last else np.zeros(capacity.size)
            for j, bar in bars.items():
                if a[j, i] != 0:
                    add_scaled(kbar, h * a[j, i], bar)
            stage_right(capacity, kbar, gh, h * b[i], auc, float(i == last), later.ravel(), right)
            point = self.adjoint.at(step.states[i], step.bloods[i])
            weight = point.solve(gh, right.reshape(shape))
            bars[i] = np.empty(capacity.size)
            stage_bar(capacity, weight.ravel(), kbar, gh, step.states[0].ravel(), step.states[i].ravel(), bars[i],
                      self.by_capacity.ravel())  # fmt: skip
            self._pull(point, gh * weight, mark.t_s + c[i] * h, bool(mark.hit and c[i] == 1))
        whole, first = np.zeros_like(later), np.zeros_like(later)
        for j, bar in bars.items():
            add_scaled(whole.ravel(), 1.0, bar)
            add_scaled(first.ravel(), h * a[j, 0], bar)
        before = self.capacity * whole + (h * b[0]) * self.seeds.auc
        if not mark.fresh:
            return before, first
        point = self.adjoint.at(step.states[0], step.bloods[0])
        weight = point.complete(first)
        before -= np.where(self.cells, point.product(weight), 0.0)
        self._pull(point, weight, mark.t_s, False)
        return before, np.zeros_like(first)

    def _pull(self, point: Any, weight: np.ndarray, t: float, left: bool) -> None:
        self._points.append(point)
        self._weights.append(weight)
        self._times.append((t, left))
        if len(self._points) >= self.adjoint.together:
            self._flush()

    def _flush(self) -> None:
        if not self._points:
            return
        pulled = self.adjoint.pull(self._points, self._weights, self.wanted)
        add(self.found, pulled.coefficients)
        for when, weight in zip(self._times, pulled.blood, strict=True):
            self.blood[when] = self.blood.get(when, 0.0) + weight
        self._points, self._weights, self._times = [], [], []
