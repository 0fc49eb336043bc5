"""Run a problem as one torch function of its parameters: any metric of the run can be differentiated by all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from krogh.errors import InputError
from krogh.memory import free_memory_bytes
from krogh.transport.adjoint.reverse import BloodWeights, Seeds, reverse
from krogh.transport.adjoint.system import Coefficients, add
from krogh.transport.adjoint.tape import Tape
from krogh.transport.integrate import integrate
from krogh.transport.march import BloodSource
from krogh.transport.steppers import STEPPERS
from krogh.transport.system import System

__all__ = ["Differentiable", "Run", "differentiable_run"]

_DIFFERENCE = 3e-5


class Differentiable(Protocol):
    """A problem: slab or cylinder, block, network."""

    @property
    def blood(self) -> BloodSource:
        """Return the blood."""
        ...

    @property
    def t_end_s(self) -> float:
        """Return the duration [s]."""
        ...

    def system(self, tolerance: float) -> System:
        """Return the problem in space; `tolerance` is that of its inner iterations."""
        ...

    def coefficients(self) -> Coefficients:
        """Return the arrays that the assembled problem consists of."""
        ...


@dataclass(frozen=True)
class Run:
    """Hold a run as torch tensors that know how they came from the parameters (T times, S species, M media).

    Attributes
    ----------
    t_s : array (T,)
        Ends of the steps, the first one 0 [s].
    media : tuple of str
        Names of the media, in the order of every last axis.
    means : tensor (T, S, M)
        Mean free concentration of each medium [mol/m3].
    aucs : tensor (S, M)
        Time integral of the means, by the weights of the stepper [mol s/m3].
    capacities : tensor (S, M)
        Amount in a medium per mean free concentration.
    blood : tensor (T, S)
        Free concentration in arterial blood at the ends of the steps [mol/m3].
    blood_auc : tensor (S,)
        Its time integral [mol s/m3].
    """

    t_s: np.ndarray
    media: tuple[str, ...]
    means: torch.Tensor
    aucs: torch.Tensor
    capacities: torch.Tensor
    blood: torch.Tensor
    blood_auc: torch.Tensor

    def _place(self, medium: str) -> int:
        if medium not in self.media:
            raise InputError("medium", got=f"'{medium}'", expected=", ".join(self.media))
        return self.media.index(medium)

    def mean(self, medium: str, species: int = 0) -> torch.Tensor:
        """Return the mean free concentration of a medium at the ends of the steps (T,) [mol/m3]."""
        return self.means[:, species, self._place(medium)]

    def auc(self, medium: str, species: int = 0) -> torch.Tensor:
        """Return the area under the mean free concentration of a medium [mol s/m3]."""
        return self.aucs[species, self._place(medium)]

    def cmax(self, medium: str, species: int = 0) -> torch.Tensor:
        """Return the largest mean free concentration at the end of a step [mol/m3]."""
        return self.mean(medium, species).max()

    def amount(self, medium: str, species: int = 0) -> torch.Tensor:
        """Return the amount in a medium at the end of the run, bound drug included."""
        return self.means[-1, species, self._place(medium)] * self.capacities[species, self._place(medium)]

    def kp_uu(self, medium: str = "interstitium", species: int = 0) -> torch.Tensor:
        """Return the area under the free concentration of a medium over that in arterial blood, to the end of the run."""
        return self.auc(medium, species) / self.blood_auc[species]


class _Recording:
    """Hold a run with what its reverse pass needs."""

    def __init__(
        self, build: Callable[[np.ndarray], Differentiable], theta: np.ndarray, table_name: str, rtol: float,
        steps_s: Sequence[float] | None, memory_bytes: float | None, progress: Callable[[float], None] | None,
    ) -> None:  # fmt: skip
        self.build, self.theta = build, theta
        problem = self.problem = build(theta)
        if hasattr(problem, "check_size"):
            problem.check_size()
        self.system = problem.system(max(1e-12, min(1e-6, 1e-2 * rtol)))
        if self.system.shape[0] != 1:
            raise InputError("adjoint", got=f"a batch of {self.system.shape[0]}", expected="one problem at a time")
        self.adjoint = self.system.adjoint()
        self.media = self.adjoint.media
        memory = 0.5 * free_memory_bytes() if memory_bytes is None else memory_bytes
        capacity = self.system.capacity
        self.totals = np.stack([capacity[0][:, nodes].sum(-1) for nodes in self.media.values()], axis=-1)
        table = STEPPERS[table_name]
        if steps_s is None:
            self.tape = Tape(self.system, problem.blood, table, memory, self.reduce)
            integrate(
                self.system, problem.blood, problem.t_end_s, method=table_name, rtol=rtol, progress=progress,
                reduce=self.reduce, record=self.tape,
            )  # fmt: skip
        else:
            self.tape = Tape.of_steps(self.system, problem.blood, table, steps_s, memory, self.reduce)

    def reduce(self, u: np.ndarray) -> np.ndarray:
        """Return the mean of every medium (S, M)."""
        held = self.system.capacity[0] * u[0]
        return np.stack([held[:, nodes].sum(-1) for nodes in self.media.values()], axis=-1) / self.totals

    def outputs(self) -> tuple[np.ndarray, ...]:
        """Return what a :class:`Run` holds."""
        tape = self.tape
        bloods = np.array(tape.bloods)[:, 0]
        return np.array(tape.values), self.reduce(tape.auc), self.totals, bloods, tape.blood_auc[0]

    def _spread(self, weight: np.ndarray) -> np.ndarray:
        """Return weights of means (S, M) as weights of the state (1, S, N)."""
        out = np.zeros(self.system.shape)
        capacity = self.system.capacity
        for m, nodes in enumerate(self.media.values()):
            if np.any(weight[:, m]):
                out[0][:, nodes] = capacity[0][:, nodes] * (weight[:, m] / self.totals[:, m])[:, None]
        return out

    def _moved_means(self, weight: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return what the capacity (1, S, N) takes from means of `u` with the weights (S, M): heavier cells count more."""
        out = np.zeros(self.system.shape)
        means = self.reduce(u)
        for m, nodes in enumerate(self.media.values()):
            if np.any(weight[:, m]):
                share = (weight[:, m] / self.totals[:, m])[:, None]
                out[0][:, nodes] = share * (u[0][:, nodes] - means[:, m][:, None])
        return out

    def backward(
        self, means: np.ndarray, aucs: np.ndarray, capacities: np.ndarray, bloods: np.ndarray, blood_auc: np.ndarray
    ) -> np.ndarray:
        """Return the derivative (P,) for those of the outputs."""
        by_capacity = self._moved_means(aucs, self.tape.auc)
        for m, nodes in enumerate(self.media.values()):
            by_capacity[0][:, nodes] += capacities[:, m][:, None]

        def state(number: int, u: np.ndarray) -> np.ndarray | None:
            if not np.any(means[number]):
                return None
            np.add(by_capacity, self._moved_means(means[number], u), out=by_capacity)
            return self._spread(means[number])

        differences = self._differences()
        wanted = frozenset(name for d, _ in differences for name in d)
        seeds = Seeds(self._spread(aucs), state)
        pulled, from_steps, blood = reverse(self.tape, self.adjoint, seeds, wanted)
        add(pulled, self.adjoint.pull_capacity(by_capacity + from_steps))
        self._plasma(blood, bloods, blood_auc)
        return np.array([self._contract(pulled, blood, *d) for d in differences])

    def _plasma(self, blood: BloodWeights, bloods: np.ndarray, blood_auc: np.ndarray) -> None:
        """Add what the metric takes from the blood itself."""
        table = self.tape.table
        when = [(0.0, False)]
        found = [bloods[0]]
        for mark, weight in zip(self.tape.marks, bloods[1:], strict=True):
            when.append((mark.t_s + table.c[-1] * mark.h_s, mark.hit))
            found.append(weight)
            for b, c in zip(table.b, table.c, strict=True):
                when.append((mark.t_s + c * mark.h_s, bool(mark.hit and c == 1)))
                found.append(mark.h_s * b * blood_auc)
        for place, weight in zip(when, found, strict=True):
            blood[place] = blood.get(place, 0.0) + weight

    def _differences(self) -> list[tuple[Coefficients, tuple[BloodSource, BloodSource, float] | None]]:
        """Return, per parameter, the derivatives of the coefficients that move with it, and its two bloods if they do."""
        found = []
        shapes = {k: v.shape for k, v in self.problem.coefficients().items()}
        for p, value in enumerate(self.theta):
            shift = np.zeros(self.theta.size)
            shift[p] = _DIFFERENCE * value
            above, below = self.build(self.theta + shift), self.build(self.theta - shift)
            span = 2 * shift[p]
            high, low = above.coefficients(), below.coefficients()
            if any({k: v.shape for k, v in x.items()} != shapes for x in (high, low)):
                raise InputError(f"parameter {p}", got="a mesh that changes with it", expected="arrays of one shape")
            # infinite Michaelis constants stay what they are
            moved = {k: np.subtract(high[k], low[k], where=high[k] != low[k], out=np.zeros(high[k].shape)) / span
                     for k in high if not np.array_equal(high[k], low[k])}  # fmt: skip
            found.append((moved, None if above.blood is below.blood else (above.blood, below.blood, span)))
        return found

    @staticmethod
    def _contract(
        pulled: Coefficients, blood: BloodWeights, moved: Coefficients, bloods: tuple[BloodSource, BloodSource, float] | None
    ) -> float:
        total = sum(float((pulled[name] * d).sum()) for name, d in moved.items())
        if bloods is None:
            return total
        above, below, span = bloods
        for (t, left), weight in blood.items():
            if np.any(weight):
                total += float(weight @ (above.free(t, left=left) - below.free(t, left=left))[0]) / span
        return total


class _RunFunction(torch.autograd.Function):
    """The run as one node of the graph of torch."""

    @staticmethod
    def forward(ctx: Any, theta: torch.Tensor, recording: _Recording) -> tuple[torch.Tensor, ...]:
        ctx.recording = recording
        return tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in recording.outputs())

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.from_numpy(ctx.recording.backward(*(g.numpy() for g in given))), None


def differentiable_run(
    build: Callable[[np.ndarray], Differentiable],
    theta: torch.Tensor,
    *,
    method: str = "esdirk43",
    rtol: float = 1e-4,
    steps_s: Sequence[float] | None = None,
    memory_bytes: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Run:
    """Run a problem as a torch function of its parameters.

    A metric of the returned :class:`Run` can be differentiated by all parameters at once, for about the price of one more run
    (up to two where the states do not fit into `memory_bytes`). The gradient is that of the discrete steps, their sizes frozen.

    Parameters
    ----------
    build : callable
        Returns the :class:`~krogh.transport.problem.Problem` (or block, or network) for an array (P,). Its mesh and the times of
        its doses must not depend on the parameters.
    theta : tensor (P,), float64
        Parameters, none of them 0: how the problem is put together is differentiated by relative differences.
    method : str
        An implicit method of :data:`~krogh.transport.steppers.STEPPERS` with an error estimate, or any with `steps_s`.
    rtol : float
        Relative tolerance of a step.
    steps_s : sequence of float, optional
        Step sizes from 0 [s] in place of adaptive ones, e.g. ``np.diff(run.t_s)`` of an earlier run; a dose must end one.
    memory_bytes : float, optional
        Memory for the states of the run, by default half of what is free; what does not fit is run again, piece by piece, on the
        way back.
    progress : callable, optional
        Called with the share of the forward run that is done.

    Raises
    ------
    InputError
        If a parameter is 0 or not finite, the method has no adjoint, or the mesh moves with the parameters.
    ConvergenceError
        If a step has no solution.
    """
    values = theta.detach().numpy().astype(float)
    if values.ndim != 1 or not np.all(np.isfinite(values) & (values != 0)):
        raise InputError("parameters", got="a value that is 0 or not finite", expected="a list of finite values that are not 0")
    if method not in STEPPERS:
        raise InputError("method", got=method, expected="an implicit one for gradients: " + ", ".join(STEPPERS))
    recording = _Recording(build, values, method, rtol, steps_s, memory_bytes, progress)
    means, aucs, capacities, blood, blood_auc = _RunFunction.apply(theta, recording)
    t = np.concatenate([[0.0], [m.t_s + m.h_s for m in recording.tape.marks]])
    return Run(t, tuple(recording.media), means, aucs, capacities, blood, blood_auc)
