"""Predict observations: one dose into one subject, solved for many rows of parameters in one batch with common time steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.blood.curve import CurveBlood
from krogh.blood.dose import Dose
from krogh.blood.exponentials import ExponentialBlood
from krogh.blood.pk import dose_terms, stack
from krogh.errors import InputError, nearest
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter, Subject
from krogh.transport.problem import Problem, Solution, solve

__all__ = ["MATRICES", "Experiment", "Job", "Reader", "Solved", "jobs_of", "with_values", "without_products"]

#: From a solution, times (T,) and the B subjects that were solved together to values (T, B).
Reader = Callable[[Solution, np.ndarray, Sequence[Subject]], np.ndarray]
_TISSUE = ("end-feet", "interstitium", "neuron", "astrocyte")
#: Rows of one batch: most of a small one is overhead, and all take the time steps of the most difficult.
_ROWS = 72


def _medium(name: str) -> Reader:
    return lambda solution, t, _: solution.medium(name, solution.sample(t))[..., 0]


def _plasma(solution: Solution, t: np.ndarray, _: Sequence[Subject]) -> np.ndarray:
    return np.array([solution.problem.blood.free(float(x))[:, 0] for x in t]) / np.asarray(solution.problem.fu_plasma)[:, 0]


def _plasma_free(solution: Solution, t: np.ndarray, _: Sequence[Subject]) -> np.ndarray:
    return np.array([solution.problem.blood.free(float(x))[:, 0] for x in t])


def _brain(solution: Solution, t: np.ndarray, _: Sequence[Subject]) -> np.ndarray:
    return solution.amount(_TISSUE, solution.sample(t))[..., 0] / solution.tissue_volume


def _auc(solution: Solution, t: np.ndarray, subjects: Sequence[Subject]) -> np.ndarray:
    """Return the area under the free interstitial concentration from 0 to each time, by Simpson's rule a step [mol s/m3]."""
    at = np.unique(np.concatenate([solution.march.t_s, t]))
    u, middle = (_medium("interstitium")(solution, x, subjects) for x in (at, 0.5 * (at[1:] + at[:-1])))
    area = np.cumsum(np.diff(at)[:, None] / 6 * (u[:-1] + 4 * middle + u[1:]), axis=0)
    return np.concatenate([np.zeros((1, u.shape[1])), area])[np.searchsorted(at, t)]


#: What can be observed, by name. Concentrations [mol/m3]; areas [mol s/m3].
MATRICES: dict[str, Reader] = {
    "interstitium": _medium("interstitium"), "neuron": _medium("neuron"), "endothelium": _medium("endothelium"),
    "brain total": _brain, "plasma": _plasma, "plasma free": _plasma_free, "interstitium auc": _auc,
}  # fmt: skip


@dataclass(frozen=True)
class _Rows:
    """Repeat one plasma curve with an unbound fraction for each row."""

    curve: CurveBlood
    fu: np.ndarray

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        """Return the free concentration (B, 1) [mol/m3]."""
        return self.fu * self.curve.total(t_s, left=left)[0, 0]

    def events(self, t_end_s: float) -> np.ndarray:
        """Return the kinks of the curve."""
        return self.curve.events(t_end_s)


@dataclass(frozen=True)
class Experiment:
    """Hold one dosing of one subject.

    Attributes
    ----------
    name : str
        As in the column ``dataset`` of the data.
    subject : Subject
        What is dosed.
    dose : Dose or (t_s, total_mol_m3)
        A dose, or a measured plasma curve.
    cells, rtol : int, float
        Cells across the layers, tolerance of the steps.
    solver : {"fv", "pinn", "compartments"}
        Finite volumes, all rows in one batch; networks, one row after the other; or well-stirred compartments in closed form.
    readers : mapping
        Further things to observe.
    """

    name: str
    subject: Subject
    dose: Dose | tuple[np.ndarray, np.ndarray]
    cells: int = 40
    rtol: float = 1e-4
    solver: Literal["fv", "pinn", "compartments"] = "fv"
    tol: float = 1e-4
    seed: int = 0
    readers: Mapping[str, Reader] = field(default_factory=dict)

    def reader(self, matrix: str) -> Reader:
        """Return how `matrix` is read.

        Raises
        ------
        InputError
            If it is not known.
        """
        table = {**MATRICES, **self.readers}
        if matrix not in table:
            raise InputError("matrix", got=f"'{matrix}'", hint=nearest(matrix, table))
        return table[matrix]

    def problem(self, subjects: Sequence[Subject], t_end_s: float) -> Problem:
        """Return the slab of all `subjects`, one problem of the batch each."""
        members = [prepare(s.compound, s.physiology, s.state, method=s.method) for s in subjects]
        blood: ExponentialBlood | _Rows
        if isinstance(self.dose, Dose):
            blood = stack([[dose_terms(s.compound, self.dose, s.species)] for s in subjects])
            fu = blood.fu
        else:
            fu = np.array([[s.compound.need("fu_plasma", s.species).value] for s in subjects])
            blood = _Rows(CurveBlood(*self.dose, np.ones((1, 1))), fu)
        return Problem(assemble([[m] for m in members]), blood, t_end_s, fu_plasma=fu, cells=self.cells)

    def solve(self, subjects: Sequence[Subject], t_end_s: float, stops_s: np.ndarray) -> list[Solution]:
        """Return the solutions, each with as many rows as were solved together; steps end at `stops_s`."""
        if self.solver == "fv":
            parts = [subjects[i : i + _ROWS] for i in range(0, len(subjects), _ROWS)]
            return [solve(self.problem(part, t_end_s), rtol=self.rtol, stops_s=stops_s) for part in parts]
        from krogh import pinn

        return [pinn.solve(self.problem([s], t_end_s), tol=self.tol, seed=self.seed) for s in subjects]


def without_products(subject: Subject) -> Subject:
    """Return the subject with metabolites leaving the model: only the compound itself is observed."""
    formed = tuple(replace(m, product=None) for m in subject.compound.metabolism)
    return replace(subject, compound=replace(subject.compound, metabolism=formed))


@dataclass(frozen=True)
class Job:
    """Hold one experiment and the rows of the data that it must predict.

    Attributes
    ----------
    experiment : Experiment
        What is solved.
    times_s : array (T,)
        Times of its values, each once [s].
    reads : list of (reader, rows, times)
        How each of its matrices is read, into which rows (N',), at which times (N',) [s].
    """

    experiment: Experiment
    times_s: np.ndarray
    reads: list[tuple[Reader, np.ndarray, np.ndarray]]

    @property
    def end_s(self) -> float:
        """Return how long must be solved [s]."""
        return max(float(self.times_s[-1]), 1e-3)

    @property
    def rows(self) -> np.ndarray:
        """Return the rows in the order of :meth:`read`."""
        return np.concatenate([rows for _, rows, _ in self.reads])

    def read(self, solution: Solution, subjects: Sequence[Subject]) -> np.ndarray:
        """Return the values of its rows (N', B) from a solution of B subjects."""
        parts = [read(solution, t, subjects) for read, _, t in self.reads]
        batch = max(part.shape[1] for part in parts)
        return np.concatenate([np.broadcast_to(part, (part.shape[0], batch)) for part in parts])


def jobs_of(experiments: Mapping[str, Experiment], data: Observations) -> list[Job]:
    """Return what each experiment must predict of `data`.

    Raises
    ------
    InputError
        If the data name an experiment or a matrix that is not known; names the line.
    """
    jobs = []
    for name in dict.fromkeys(data.dataset):
        mine = np.array([d == name for d in data.dataset])
        line = int(data.line[np.flatnonzero(mine)[0]])
        if name not in experiments:
            raise InputError(f"line {line}, dataset", got=f"'{name}'", hint=nearest(name, experiments))
        e = experiments[name]
        reads = []
        for matrix in dict.fromkeys(np.array(data.matrix, dtype=object)[mine]):
            rows = np.flatnonzero(mine & np.array([m == matrix for m in data.matrix]))
            try:
                reads.append((e.reader(matrix), rows, data.t_s[rows]))
            except InputError as error:
                raise InputError(f"line {int(data.line[rows[0]])}, matrix", got=error.got, hint=error.hint) from None
        jobs.append(Job(e, np.unique(data.t_s[mine]), reads))
    return jobs


class Solved:
    """Predict the rows of one data set by solving it: by finite volumes all rows in one batch, by networks one by one."""

    exact = False

    def __init__(self, setup: Experiment, parameters: Sequence[Parameter], data: Observations) -> None:
        self.parameters, self.count = parameters, len(data.t_s)
        (self.job,) = jobs_of({data.dataset[0]: setup}, data)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return predictions (R, N) at parameters (R, P)."""
        out, first = np.full((len(theta), self.count), np.nan), 0
        subjects = [with_values(self.job.experiment.subject, self.parameters, row) for row in theta]
        for solution in self.job.experiment.solve(subjects, self.job.end_s, self.job.times_s):
            count = solution.problem.barrier.batch
            out[first : first + count, self.job.rows] = self.job.read(solution, subjects[first : first + count]).T
            first += count
        return out

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: sensitivities of a batch are differences, see :meth:`krogh.inference.target.Target.differences`."""
        raise NotImplementedError


def with_values(subject: Subject, parameters: Sequence[Parameter], row: np.ndarray) -> Subject:
    """Return the subject with the values `row` (P,) of the parameters."""
    for parameter, value in zip(parameters, row, strict=True):
        subject = parameter.put(subject, float(value))
    return subject
