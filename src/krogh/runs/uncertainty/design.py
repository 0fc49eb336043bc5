"""Lay out the samples: Latin hypercube, Sobol (Saltelli) or Morris, as shares 0..1 of each factor's spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from krogh.errors import InputError, UsageError
from krogh.runs.uncertainty.factors import Factor

__all__ = ["METHODS", "count_rows", "design_shares", "proper_rows", "salib", "to_numbers"]

METHODS = ("lhs", "sobol", "morris")
_LEVELS = 8
_MOST = 1_000_000


def salib() -> Any:
    """Return the SALib package.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import SALib
    except ImportError:
        raise UsageError("--method", got="no SALib", hint="pip install 'krogh[sensitivity]', or --method lhs") from None
    return SALib


def count_rows(method: str, samples: int, factors: int) -> int:
    """Return how many simulations a design takes: N, N (k + 2) or N (k + 1).

    Raises
    ------
    InputError
        If the method is unknown or the number of samples does not suit it.
    """
    if method not in METHODS:
        raise InputError("--method", got=repr(method), expected=", ".join(METHODS))
    if samples < 4:
        raise InputError("--samples", got=samples, expected=">= 4")
    if method == "sobol" and samples & (samples - 1):
        raise InputError("--samples", got=samples, expected="a power of two for sobol: 64, 128, 256 ...")
    rows = samples * {"lhs": 1, "sobol": factors + 2, "morris": factors + 1}[method]
    if rows > _MOST:
        raise InputError("--samples", got=f"{rows} simulations", expected=f"at most {_MOST}")
    return rows


def design_shares(method: str, samples: int, factors: int, seed: int) -> np.ndarray:
    """Return the design, shape (row, factor), in shares 0..1.

    ``lhs`` stratifies every factor by itself (:class:`scipy.stats.qmc.LatinHypercube`). ``sobol`` is Saltelli's extension of a
    scrambled Sobol sequence (:class:`scipy.stats.qmc.Sobol` inside SALib) for first and total indices
    (doi:10.1016/j.cpc.2009.09.018); ``morris`` are trajectories on 8 levels (doi:10.1080/00401706.1991.10484804).
    """
    count_rows(method, samples, factors)
    if method == "lhs":
        from scipy.stats import qmc

        return np.asarray(qmc.LatinHypercube(factors, rng=np.random.default_rng(seed)).random(samples))
    salib()
    problem = unit_problem([f"x{i}" for i in range(factors)])
    if method == "sobol":
        from SALib.sample import sobol

        return np.asarray(sobol.sample(problem, samples, calc_second_order=False, seed=seed))
    from SALib.sample import morris

    return np.asarray(morris.sample(problem, samples, num_levels=_LEVELS, seed=seed))


def unit_problem(names: Sequence[str]) -> dict[str, Any]:
    """Return SALib's description of factors between 0 and 1."""
    return {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}


def proper_rows(method: str, rows: int, factors: int) -> np.ndarray:
    """Return the rows that are independent draws, whose percentiles mean something: not the ones that repeat others' numbers."""
    index = np.arange(rows)
    if method == "lhs":
        return index
    if method == "sobol":  # A, AB_1 ... AB_k, B
        return index[(index % (factors + 2) == 0) | (index % (factors + 2) == factors + 1)]
    return index[:0]


def to_numbers(factors: Sequence[Factor], shares: np.ndarray) -> np.ndarray:
    """Return the rows to simulate in SI: the values themselves, each factor's low and high end alone, then the design."""
    k = len(factors)
    alone = np.tile([f.value for f in factors], (2 * k + 1, 1)).astype(float)
    for i, f in enumerate(factors):
        alone[1 + 2 * i, i], alone[2 + 2 * i, i] = f.low, f.high
    design = np.stack([f.quantile(shares[:, i]) for i, f in enumerate(factors)], axis=1)
    return np.concatenate([alone, design])
