"""Predict by networks that are trained once and solved again for other membranes and blood, with exact sensitivities.

Training costs a second, a further row of parameters some 20 ms (:mod:`krogh.pinn.repeat`). Where a parameter changes what happens
inside the layers (binding, diffusivity), or a saturable law acts there, every row is trained, and sensitivities are differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from krogh import pinn
from krogh.errors import InputError
from krogh.inference.experiment import MATRICES, Experiment, Job, jobs_of, with_values
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.pinn.frozen import same
from krogh.pinn.physics import slab_of
from krogh.pinn.repeat import Again, Repeat, repeatable, serves
from krogh.transport.problem import Problem, Solution

__all__ = ["Networks", "Rerun", "networks_of"]

#: Difference of a log-parameter by which the rows of the faces are differentiated: they are smooth, nothing is solved for it.
_STEP = 1e-4
_INSIDE = 1e-3


class Rerun:
    """Predict one experiment.

    Parameters
    ----------
    problem_of : callable
        Parameters (P,) -> Problem.
    read : callable
        (solution, parameters (P,)) -> values (N, B) of a solution.
    tol, seed
        Of the networks.
    linear : bool
        Whether `read` is linear in the concentrations and takes them from ``sample`` alone; it may add what the blood holds.
    """

    def __init__(
        self,
        problem_of: Callable[[np.ndarray], Problem],
        read: Callable[[Solution, np.ndarray], np.ndarray],
        *,
        tol: float = 1e-4,
        seed: int = 0,
        linear: bool = True,
    ) -> None:
        self.problem_of, self.read, self.tol, self.seed, self.linear = problem_of, read, tol, seed, linear
        self.repeat: Repeat | None = None
        self.table: list[np.ndarray] = []
        self.of_blood = False

    def train(self, theta: np.ndarray) -> bool:
        """Train the networks at parameters (P,); tell whether others can be solved with them."""
        if not self.linear:
            return False
        try:
            self.repeat = Repeat(self.problem_of(theta), tol=self.tol, seed=self.seed)
        except InputError:
            self.linear = False  # several compounds, or a law inside a layer: every row is trained
            return False
        self.table = self.repeat.readout(lambda solution: self.read(solution, theta))
        rest = self.read(self.repeat.silent(self.problem_of(theta)), theta)
        self.of_blood = bool(np.any(rest))
        if self.of_blood:  # what is read of the blood is no part of any weight
            self.table = [part - rest for part in self.table]
        return True

    def ready(self, theta: np.ndarray) -> bool:
        """Tell whether parameters (P,) can be solved with trained networks, which are trained there if there are none."""
        if self.repeat is None and not self.train(theta):
            return False
        assert self.repeat is not None
        return self.repeat.fits(self.problem_of(theta))

    def repeats(self, theta: np.ndarray) -> bool:
        """Tell whether networks that are trained at parameters (P,) would serve for others; trains nothing."""
        at = self.problem_of(theta)
        moved = [self.problem_of(theta * np.exp(0.01 * e)) for e in np.eye(theta.size)]
        return self.linear and repeatable(at) and all(serves(at, m) for m in moved)

    def _same_layers(self, a: np.ndarray, b: np.ndarray) -> bool:
        return same(*(slab_of(self.problem_of(x).barrier).sheets for x in (a, b)))

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return the predictions (R, N) at parameters (R, P)."""
        return np.array([self._again(row)[0] if self.ready(row) else self._afresh(row) for row in theta])

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the predictions (N,) at parameters (P,) with their derivatives by the logarithms (N, P); None if not `ready`."""
        pairs = [(theta * shift, theta / shift) for shift in np.exp(_STEP * np.eye(theta.size))]
        if not all(self.ready(x) for x in (theta, *(x for pair in pairs for x in pair))):
            return None
        inside = [not self._same_layers(theta, up) for up, _ in pairs]
        m, again = self._again(theta, [pair for pair, i in zip(pairs, inside, strict=True) if not i])
        exact = iter(
            np.sum([part @ w for part, w in zip(self.table, again.slopes, strict=True)], axis=0).T if again.slopes else ()
        )
        by = np.zeros((m.size, theta.size))
        for k, (up, down) in enumerate(pairs):
            if inside[k]:  # the rows inside change as well: differences of kept networks, which are smooth
                move = np.exp(_INSIDE * np.eye(theta.size)[k])
                by[:, k] = (self._again(theta * move)[0] - self._again(theta / move)[0]) / (2 * _INSIDE)
                continue
            by[:, k] = next(exact)
            if self.of_blood:
                by[:, k] += (self.silent(up) - self.silent(down)) / (2 * _STEP)
        return m, by

    def certificate(self, theta: np.ndarray) -> float:
        """Return the certificate of the kept networks at parameters (P,); 0 where every row is trained and checked anyway."""
        if self.repeat is None or not self.ready(theta):
            return 0.0
        return self.repeat.solution(self._again(theta)[1]).certificate

    def _again(self, theta: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]] = ()) -> tuple[np.ndarray, Again]:
        assert self.repeat is not None
        rates = [(self.problem_of(up), self.problem_of(down), 2 * _STEP) for up, down in pairs]
        again = self.repeat.solve(self.problem_of(theta), rates)
        m = np.sum([part @ w for part, w in zip(self.table, again.weights, strict=True)], axis=0)
        return (m + self.silent(theta) if self.of_blood else m), again

    def silent(self, theta: np.ndarray) -> np.ndarray:
        """Return what is read of the blood alone at parameters (P,), shape (N,)."""
        assert self.repeat is not None
        return self.read(self.repeat.silent(self.problem_of(theta)), theta)[:, 0]

    def _afresh(self, theta: np.ndarray) -> np.ndarray:
        return self.read(pinn.solve(self.problem_of(theta), tol=self.tol, seed=self.seed), theta)[:, 0]


class Networks:
    """Predict all rows of some data.

    Attributes
    ----------
    parts : list of (Rerun, rows)
        One for each experiment, and its rows of the data.
    count : int
        Rows of the data.
    """

    def __init__(self, parts: list[tuple[Rerun, np.ndarray]], count: int) -> None:
        self.parts, self.count = parts, count

    def predict(self, theta: np.ndarray) -> np.ndarray:
        """Return the predictions (R, N) at parameters (R, P)."""
        out = np.full((len(theta), self.count), np.nan)
        for part, rows in self.parts:
            out[:, rows] = part(theta)
        return out

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predictions (R, N) and their derivatives by the log-parameters (R, N, P)."""
        m, by = np.full((len(theta), self.count), np.nan), np.full((len(theta), self.count, theta.shape[1]), np.nan)
        for part, rows in self.parts:
            for r, row in enumerate(theta):
                m[r, rows], by[r, rows] = part.slopes(row) or _differences(part, row)
        return m, by

    def certificate(self, theta: np.ndarray) -> float:
        """Return the certificate of the kept networks at parameters (P,), the worst experiment."""
        return max(part.certificate(theta) for part, _ in self.parts)

    def train(self, theta: np.ndarray) -> None:
        """Train all networks at parameters (P,)."""
        for part, _ in self.parts:
            part.train(theta)


def _differences(part: Rerun, theta: np.ndarray, step: float = 1e-2) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and slopes by central differences of trained rows, wide because each is right to `tol` only."""
    moves = np.exp(step * np.eye(theta.size))
    found = part(np.concatenate([theta[None], theta * moves, theta / moves]))
    return found[0], (found[1 : theta.size + 1] - found[theta.size + 1 :]).T / (2 * step)


def networks_of(experiments: Mapping[str, Experiment], parameters: Sequence[Parameter], data: Observations) -> Networks:
    """Return the networks that predict `data`; arguments as of :func:`krogh.inference.predictors.predictor`."""
    jobs = jobs_of(experiments, data)
    return Networks([(_rerun(job, parameters), job.rows) for job in jobs], len(data.t_s))


def _rerun(job: Job, parameters: Sequence[Parameter]) -> Rerun:
    e = job.experiment
    means = {id(read) for name, read in MATRICES.items() if not name.endswith("auc")}

    def problem_of(theta: np.ndarray) -> Problem:
        return e.problem([with_values(e.subject, parameters, theta)], job.end_s)

    def read(solution: Solution, theta: np.ndarray) -> np.ndarray:
        return job.read(solution, [with_values(e.subject, parameters, theta)])

    return Rerun(problem_of, read, tol=e.tol, seed=e.seed, linear=all(id(r) in means for r, _, _ in job.reads))
