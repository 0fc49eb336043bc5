"""Differentiate the area under the curve by every parameter at once: the discrete adjoint of the time steps.

The gradient is that of the discrete map with its steps frozen, so it equals differences of two runs on the same steps. Each
stage costs one solve with the transposed Jacobian; how F depends on the parameters is a central difference of the right-hand
side at the stored states, all parameters in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.transport.graph import Graph
from krogh.transport.linear import ChainSolver
from krogh.transport.linear.chain import chain_newton_step
from krogh.transport.march import BloodSource
from krogh.transport.newton import consistent_faces, solve_stage
from krogh.transport.operator import Operator
from krogh.transport.steppers import ESDIRK43, Tableau

__all__ = ["AucGradient", "auc_gradient", "auc_on_steps"]

Build = Callable[[np.ndarray], Graph]
_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class AucGradient:
    """Hold the functional and its gradient by the parameters (P,)."""

    value: float
    gradient: np.ndarray


@dataclass(frozen=True)
class _Step:
    h: float
    states: list[np.ndarray]
    bloods: list[np.ndarray]


def auc_on_steps(
    graph: Graph, blood: BloodSource, steps_s: Sequence[float], weight: np.ndarray, *, table: Tableau = ESDIRK43
) -> float:
    """Return ``sum_n weight_n AUC_n`` on given steps; see :func:`auc_gradient`."""
    return _forward(Operator(graph), blood, np.asarray(steps_s, dtype=float), weight, table)[0]


def auc_gradient(
    build: Build,
    theta: np.ndarray,
    blood: BloodSource,
    steps_s: Sequence[float],
    weight: np.ndarray,
    *,
    table: Tableau = ESDIRK43,
) -> AucGradient:
    """Return ``J = sum_n weight_n integral u_n dt`` and dJ/dtheta on frozen steps.

    Parameters
    ----------
    build : callable
        Returns the graph of one species for parameters of shape (problem, P): one problem of its batch per row.
    theta : array (P,)
        Parameters, none of them 0 (differences are relative).
    blood : BloodSource
        Free concentration in blood (1, 1); a dose must lie on the end of a step.
    steps_s : sequence of float
        Step sizes from 0 [s], e.g. ``np.diff(march.t_s)`` of an adaptive run.
    weight : array (N,)
        Weights of the nodes.
    table : Tableau
        Method of the steps.

    Raises
    ------
    InputError
        If a parameter is 0 or not finite, or the graph is not a chain of one species.
    ConvergenceError
        If a stage has no solution.
    """
    theta = np.asarray(theta, dtype=float)
    if not np.all(np.isfinite(theta) & (theta != 0)):
        raise InputError("parameters", got="a value that is 0 or not finite", expected="finite values that are not 0")
    operator = Operator(build(theta[None]))
    if operator.graph.structure != "chain" or operator.graph.shape[:2] != (1, 1):
        raise InputError(
            "adjoint", got=f"{operator.graph.structure}, shape {operator.graph.shape}", expected="a slab of one species"
        )
    value, steps = _forward(operator, blood, np.asarray(steps_s, dtype=float), weight, table)
    delta = _DIFFERENCE * theta
    shifted = np.concatenate([theta + np.diag(delta), theta - np.diag(delta)])
    return AucGradient(value, _Backward(operator, Operator(build(shifted)), delta, weight, table).run(steps))


def _forward(
    operator: Operator, blood: BloodSource, sizes: np.ndarray, weight: np.ndarray, table: Tableau
) -> tuple[float, list[_Step]]:
    solver = ChainSolver(operator)
    solver.accept = 1e-10
    capacity, a, c = operator.graph.capacity, table.a, table.c
    u = np.zeros(operator.graph.shape)
    ends = np.cumsum(sizes)
    doses = blood.events(float(ends[-1]))
    t, value, steps = 0.0, 0.0, []
    for h, end in zip(sizes, ends, strict=True):
        left = bool(np.any(np.abs(doses - end) <= 1e-9 * end))
        bloods = [blood.free(t + x * h, left=left and x == 1) for x in c]
        u = consistent_faces(operator, solver, u, bloods[0])
        states, rates = [u], [operator.cell_rate(u, bloods[0])]
        for i in range(1, len(c)):
            r = capacity * u + h * sum(a[i, j] * rates[j] for j in range(i))
            stage = solve_stage(operator, solver, h * a[i, i], r, states[-1], bloods[i])
            if not stage.converged:
                raise ConvergenceError("adjoint", got=f"no solution at t = {t:.6g} s", hint="use smaller steps")
            states.append(stage.u)
            rates.append((capacity * stage.u - r) / (h * a[i, i]))
        value += h * float(sum(b * (x[0, 0] @ weight) for b, x in zip(table.b, states, strict=True)))
        steps.append(_Step(float(h), states, bloods))
        u, t = states[-1], float(end)
    return value, steps


class _Backward:
    """Run through the stages from the last to the first; N-vectors of one problem."""

    def __init__(self, operator: Operator, shifted: Operator, delta: np.ndarray, weight: np.ndarray, table: Tableau) -> None:
        graph = operator.graph
        self.op, self.shifted, self.delta, self.weight, self.table = operator, shifted, delta, weight, table
        self.capacity = graph.capacity[0, 0]
        self.cells = self.capacity > 0
        self.tail, self.head = np.ascontiguousarray(graph.tail), np.ascontiguousarray(graph.head)
        self.n, self.n_chain = graph.shape[2], int(graph.layout["n_chain"])
        self.inside = self.tail < self.n
        p = delta.size
        self.d_capacity = (shifted.graph.capacity[:p, 0] - shifted.graph.capacity[p:, 0]) / (2 * delta[:, None])

    def run(self, steps: list[_Step]) -> np.ndarray:
        """Return the gradient (P,)."""
        total, later = np.zeros(self.delta.size), np.zeros(self.n)
        for step in reversed(steps):
            part, later = self._step(step, later)
            total += part
        return total

    def _step(self, step: _Step, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, h, count = self.table.a, self.table.b, step.h, len(self.table.b)
        gradient = np.zeros(self.delta.size)
        start = step.states[0][0, 0]
        lam = [np.zeros(self.n) for _ in range(count)]
        before = np.zeros(self.n)
        for j in range(count - 1, -1, -1):
            state, blood = step.states[j], step.bloods[j]
            slopes = self.op.slopes(state, blood)
            st, sh, node = (np.array(x[0, 0]) for x in (slopes.tail, slopes.head, slopes.node))
            known = h * sum((a[i, j] * lam[i] for i in range(j + 1, count)), np.zeros(self.n)) * self.cells
            right = -h * b[j] * self.weight - self._transposed(st, sh, node, known)
            if j == count - 1:
                right -= later
            gh = h * self.table.gamma
            if j > 0:
                lam[j] = self._solve(self.capacity, gh, st, sh, node, right)
                before -= self.capacity * lam[j]
            else:  # the cells are those of the step before; the faces follow
                heavy = np.where(self.cells, 1e25 * float(np.abs(st).max()) * gh, 0.0)
                lam[0] = self._solve(heavy, gh, st, sh, node, np.where(self.cells, 0.0, right)) * ~self.cells
                before -= right * self.cells
                before += gh * self._transposed(st, sh, node, lam[0]) * self.cells
            weightless = known + gh * lam[j]
            gradient -= self._by_parameters(state, blood, weightless)
            if j > 0:
                gradient += self.d_capacity @ (lam[j] * (state[0, 0] - start))
        return gradient, before * self.cells

    def _by_parameters(self, state: np.ndarray, blood: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return d(weight . F)/d(parameter) by central differences of F."""
        p = self.delta.size
        shape = (2 * p, 1, self.n)
        f = self.shifted.rate(np.array(np.broadcast_to(state, shape)), np.array(np.broadcast_to(blood, (2 * p, 1))))[:, 0]
        return (f[:p] - f[p:]) @ weight / (2 * self.delta)

    def _transposed(self, st: np.ndarray, sh: np.ndarray, node: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return L^T v with L = -dF/du."""
        at_tail = np.where(self.inside, v[np.minimum(self.tail, self.n - 1)], 0.0)
        drop = at_tail - v[self.head]
        out = node * v + np.bincount(self.head, -sh * drop, self.n)
        return out + np.bincount(self.tail[self.inside], (st * drop)[self.inside], self.n)

    def _solve(
        self, capacity: np.ndarray, gh: float, st: np.ndarray, sh: np.ndarray, node: np.ndarray, right: np.ndarray
    ) -> np.ndarray:
        """Return (C + gh L^T)^-1 right: the chain with the slopes of its edges exchanged, its diagonal put right."""
        diagonal = node + np.bincount(self.head, sh - st, self.n)
        diagonal += np.bincount(self.tail[self.inside], (st - sh)[self.inside], self.n)
        out = np.empty((1, self.n))
        chain_newton_step(
            capacity[None], gh, np.ascontiguousarray(sh[None]), np.ascontiguousarray(st[None]), self.tail, self.head,
            self.n_chain, diagonal[None], -right[None], out,
        )  # fmt: skip
        return out[0]
