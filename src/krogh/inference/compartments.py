"""Predict a data set by well-stirred compartments: a closed form, with exact sensitivities, in well under a millisecond a row.

What a value reads is linear: ``y = h x + g u_blood`` of the compartments x. Rates, h and g are algebra of the parameters; their
derivatives are five-point differences of that algebra (relative error 1e-11), and those of the curves follow exactly
(:mod:`krogh.transport.response`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.errors import InputError, nearest
from krogh.inference.experiment import Experiment, with_values
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.transport.compartments import Compartments, lump, saturation
from krogh.transport.response import Input, inputs_of, solve_compartments, solve_slopes

__all__ = ["READS", "Chain"]

_STEP = 1e-3
_MOVES = np.array([0.0, 1.0, -1.0, 2.0, -2.0])
_TISSUE = ("end-feet", "interstitium", "neuron", "astrocyte")

#: From compartments and the unbound fraction (B,) to the weights of nodes (B, N) and of free blood (B,).
Read = Callable[[Compartments, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _medium(name: str) -> Read:
    def read(c: Compartments, fu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = np.zeros(c.capacity.shape)
        weight[:, c.media[name]] = 1.0
        return weight, np.zeros(fu.shape)

    return read


def _brain(c: Compartments, fu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight = np.zeros(c.capacity.shape)
    nodes = np.concatenate([c.media[name] for name in _TISSUE])
    weight[:, nodes] = c.capacity[:, nodes] / c.tissue_volume
    return weight, np.zeros(fu.shape)


#: What can be observed.
READS: dict[str, Read] = {
    "interstitium": _medium("interstitium"), "neuron": _medium("neuron"), "endothelium": _medium("endothelium"),
    "brain total": _brain,
    "plasma": lambda c, fu: (np.zeros(c.capacity.shape), 1.0 / fu),
    "plasma free": lambda c, fu: (np.zeros(c.capacity.shape), np.ones(fu.shape)),
}  # fmt: skip


@dataclass(frozen=True)
class _System:
    """Hold all that the curves of B rows follow from; `h` (B, M, n) and `g` (B, M) read M matrices."""

    c: Compartments
    inputs: tuple[Input, ...]
    h: np.ndarray
    g: np.ndarray


class Chain:
    """Predict the rows of one data set.

    Parameters
    ----------
    setup : Experiment
        Who was dosed with what.
    parameters : sequence of Parameter
        What the columns of theta are.
    data : Observations
        Its rows.

    Raises
    ------
    InputError
        If a matrix cannot be read off compartments; names the line.
    """

    exact = True

    def __init__(self, setup: Experiment, parameters: Sequence[Parameter], data: Observations) -> None:
        self.setup, self.parameters = setup, parameters
        self.matrices = list(dict.fromkeys(data.matrix))
        for name in self.matrices:
            if name not in READS:
                line = int(data.line[data.matrix.index(name)])
                raise InputError(f"line {line}, matrix", got=f"'{name}' with compartments", hint=nearest(name, READS))
        self.t_s, self.at = np.unique(data.t_s, return_inverse=True)
        self.which = np.array([self.matrices.index(m) for m in data.matrix])

    def _system(self, theta: np.ndarray) -> _System:
        """Return the systems of rows of parameters (B, P)."""
        subjects = [with_values(self.setup.subject, self.parameters, row) for row in theta]
        problem = self.setup.problem(subjects, max(float(self.t_s[-1]), 1e-3))
        fu = np.asarray(problem.fu_plasma, dtype=float)[:, 0]
        c = lump(problem)
        blood: Any = problem.blood
        inputs = inputs_of(getattr(blood, "curve", blood), fu)
        weights = [READS[m](c, fu) for m in self.matrices]
        h = np.stack([np.einsum("bN,bNn->bn", w, c.nodes) for w, _ in weights], axis=1)
        g = np.stack([np.einsum("bN,bN->b", w, c.through) + own for w, own in weights], axis=1)
        return _System(c, inputs, h, g)

    def _read(self, h: np.ndarray, g: np.ndarray, x: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return ``h x + g u`` of the rows of the data: (..., N) from (..., M, n), (..., M), (..., T, n), (..., T)."""
        table = np.einsum("...mn,...tn->...mt", h, x) + g[..., None] * blood[..., None, :]
        return np.asarray(table[..., self.which, self.at])

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Return predictions (R, N) at parameters (R, P)."""
        s = self._system(theta)
        return self._read(s.h, s.g, *solve_compartments(s.c, s.inputs, self.t_s))

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (R, N) and their derivatives by the log-parameters (R, N, P)."""
        rows, size = theta.shape
        moved = np.exp(_STEP * _MOVES[1:, None, None] * np.eye(size))  # (4, P, P)
        stacked = np.concatenate([theta[:, None], (theta[:, None, None] * moved).reshape(rows, 4 * size, size)], axis=1)
        s = self._system(stacked.reshape(-1, size))

        def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Return the values at theta (R, ...) and their derivatives (R, P, ...)."""
            all_ = values.reshape(rows, 1 + 4 * size, *values.shape[1:])
            up, down, far_up, far_down = np.moveaxis(all_[:, 1:].reshape(rows, 4, size, *values.shape[1:]), 1, 0)
            return all_[:, 0], (8 * (up - down) - (far_up - far_down)) / (12 * _STEP)

        rates, by_rates = split(s.c.rates)
        entry, by_entry = split(s.c.entry)
        (h, by_h), (g, by_g) = split(s.h), split(s.g)
        terms = [(split(i.rate_per_s), split(i.coefficient), i) for i in s.inputs]
        c = Compartments(rates, entry, s.c.nodes, s.c.through, s.c.parent, s.c.capacity, s.c.media, s.c.tissue_volume,
                         s.c.operator)  # fmt: skip
        inputs = [Input(_first(i.start_s, rows, 1 + 4 * size), rate[0], coefficient[0], i.ramp) for rate, coefficient, i in terms]
        x, blood = solve_compartments(c, inputs, self.t_s)
        by_x, by_blood = solve_slopes(
            c, inputs, self.t_s, by_rates, by_entry, [(rate[1], coefficient[1]) for rate, coefficient, _ in terms]
        )
        by = self._read(h[:, None], g[:, None], by_x, by_blood) + self._read(by_h, by_g, x[:, None], blood[:, None])
        return self._read(h, g, x, blood), np.moveaxis(by, 1, 2)

    def saturation(self, theta: np.ndarray) -> tuple[float, str]:
        """Return how far a pump, carrier or enzyme is from straight along the curves of parameters (P,), and which one."""
        s = self._system(theta[None])
        t = np.linspace(0.0, float(self.t_s[-1]), 41)[1:]
        return saturation(s.c, *solve_compartments(s.c, s.inputs, t))


def _first(start_s: np.ndarray, rows: int, every: int) -> np.ndarray:
    """Return the starts of the unmoved rows; a curve has one for all."""
    return start_s if start_s.ndim == 1 else start_s.reshape(rows, every, -1)[:, 0]
