"""Solve linear compartments in closed form, with exact sensitivities.

    dx/dt = A x + b u(t),        u(t) = sum_j c_j exp(-r_j (t - t_j)), or straight lines between samples

With the eigenvalues l of A = V diag(l) W, ``x(t) = sum_j c_j V diag(tau exp[l tau, -r_j tau]) W b``, tau = t - t_j, in divided
differences of the exponential. A change E of A adds ``c_j V (W E V o tau^2 exp[l tau, l' tau, -r_j tau]) W b`` (Daleckii and
Krein; Najfeld and Havel 1995 doi:10.1006/aama.1995.1017): nothing is stepped in time, no difference is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.blood.curve import CurveBlood
from krogh.blood.exponentials import ExponentialBlood
from krogh.errors import InputError
from krogh.transport.compartments import Compartments
from krogh.transport.divided import divided_exp

__all__ = ["Input", "inputs_of", "solve_compartments", "solve_slopes"]


@dataclass(frozen=True)
class Input:
    """Hold free blood as terms that start at given times: ``coefficient exp(-rate age)``, or ``coefficient age`` for a ramp.

    Arrays (B, J); the times (J,) or (B, J).
    """

    start_s: np.ndarray
    rate_per_s: np.ndarray
    coefficient: np.ndarray
    ramp: bool = False


def inputs_of(blood: ExponentialBlood | CurveBlood, fu: np.ndarray) -> tuple[Input, ...]:
    """Return free blood as terms; `fu` (B,) is the unbound fraction of each row where a curve serves them all."""
    if isinstance(blood, ExponentialBlood):
        return (Input(blood.start_s[:, 0], blood.rate_per_s[:, 0], blood.coefficient[:, 0] * blood.fu),)
    knots, values = blood.t_s, blood.total_mol_m3
    if knots[0] > 0:
        knots, values = np.append(0.0, knots), np.append(0.0, values)
    slope = np.append(np.diff(values) / np.diff(knots), 0.0)  # straight between the samples, level after the last
    bends = fu[:, None] * np.diff(slope, prepend=0.0)
    first = fu[:, None] * values[:1]
    return (
        Input(np.zeros(1), np.zeros_like(first), first),
        Input(knots, np.zeros_like(bends), bends, ramp=True),
    )


def _modes(c: Compartments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return eigenvalues (B, n), V and W (B, n, n): a tree of compartments is symmetric up to a scale of each."""
    scale = np.ones(c.entry.shape)
    for child, parent in enumerate(c.parent):
        if parent < 0:
            continue
        there, here = c.rates[:, parent, child], c.rates[:, child, parent]
        if np.any((there > 0) != (here > 0)):
            raise InputError("solver compartments", got="a wall that lets the drug through one way only", hint="use --solver fv")
        scale[:, child] = scale[:, parent] * np.sqrt(np.divide(there, here, out=np.ones_like(here), where=here > 0))
    same = scale[:, :, None] * c.rates / scale[:, None, :]
    values, vectors = np.linalg.eigh(0.5 * (same + np.swapaxes(same, 1, 2)))
    return np.minimum(values, 0.0), vectors / scale[..., None], np.swapaxes(vectors, 1, 2) * scale[:, None, :]


def _tail(given: Input, age: np.ndarray) -> np.ndarray:
    """Return the nodes (B, T, J, 1 or 2) that a term adds to those of the system."""
    own = -(given.rate_per_s[:, None] * age)[..., None]
    return np.concatenate([own, own], axis=-1) if given.ramp else own


def _age(given: Input, t_s: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the age of every term (B, T, J), 0 before its start, and whether it has started."""
    start = np.broadcast_to(given.start_s, (rows, given.coefficient.shape[-1]))
    age = t_s[:, None] - start[:, None]
    return np.maximum(age, 0.0), age >= 0


def solve_compartments(c: Compartments, inputs: Sequence[Input], t_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the free concentrations of the compartments (B, T, n) and of the blood (B, T) at the times `t_s` (T,)."""
    values, right, left = _modes(c)
    enter = np.einsum("bin,bn->bi", left, c.entry)
    weight, blood = np.zeros((*values.shape[:1], t_s.size, values.shape[1])), np.zeros((len(values), t_s.size))
    for given in inputs:
        age, on = _age(given, t_s, len(values))
        part, c_j = _tail(given, age), given.coefficient[:, None] * on
        weight += np.einsum("btj,btjn->btn", c_j * age ** (1 + given.ramp), _divided([values], age, part))
        blood += (c_j * (age if given.ramp else np.exp(part[..., 0]))).sum(-1)
    return np.einsum("bin,btn,bn->bti", right, weight, enter), blood


def _divided(values: Sequence[np.ndarray], age: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return ``exp[l age, tail]`` of all eigenvalues (B, T, J, n), or ``exp[l age, l' age, tail]`` of all pairs (..., n, n)."""
    if len(values) == 1:
        lead = [age[..., None] * values[0][:, None, None]]
        rest = tail[..., None, :]
    else:
        first, second = values
        lead = [age[..., None, None] * first[:, None, None, :, None], age[..., None, None] * second[:, None, None, None, :]]
        rest = tail[..., None, None, :]
    every = np.broadcast_arrays(*lead, *np.moveaxis(rest, -1, 0))
    return divided_exp(np.stack(every, axis=-1))


def solve_slopes(
    c: Compartments, inputs: Sequence[Input], t_s: np.ndarray, by_rates: np.ndarray, by_entry: np.ndarray,
    by_inputs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the derivatives of :func:`solve_compartments` by P parameters: (B, P, T, n) and (B, P, T).

    Parameters
    ----------
    by_rates, by_entry : arrays (B, P, n, n), (B, P, n)
        Derivatives of A and b.
    by_inputs : sequence of (array (B, P, J), array (B, P, J))
        Derivatives of the rates and the coefficients of every input.
    """
    values, right, left = _modes(c)
    enter, moved = np.einsum("bin,bn->bi", left, c.entry), np.einsum("bin,bpn->bpi", left, by_entry)
    turn = np.einsum("bin,bpnm,bmk->bpik", left, by_rates, right)
    shape = (len(values), by_entry.shape[1], t_s.size)
    modes, blood = np.zeros((*shape, values.shape[1])), np.zeros(shape)
    for given, (d_rate, d_coefficient) in zip(inputs, by_inputs, strict=True):
        age, on = _age(given, t_s, len(values))
        part, power, c_j = _tail(given, age), 1 + given.ramp, given.coefficient[:, None] * on
        phi = _divided([values], age, part) * (on * age**power)[..., None]
        pairs = np.einsum("btj,btjik->btik", c_j * age ** (power + 1), _divided([values, values], age, part))
        modes += np.einsum("bpik,btik,bk->bpti", turn, pairs, enter)
        modes += np.einsum("btjn,bj,bpn->bptn", phi, given.coefficient, moved)
        modes += np.einsum("btjn,bpj,bn->bptn", phi, d_coefficient, enter)
        blood += np.einsum("bpj,btj->bpt", d_coefficient, on * (age if given.ramp else np.exp(part[..., 0])))
        if not given.ramp:
            twice = _divided([values], age, np.concatenate([part, part], -1))
            modes -= np.einsum("btj,btjn,bpj,bn->bptn", c_j * age**2, twice, d_rate, enter)
            blood -= np.einsum("bpj,btj->bpt", d_rate, c_j * age * np.exp(part[..., 0]))
    return np.einsum("bin,bptn->bpti", right, modes), blood
