"""Reduce an ensemble: percentiles, bands over time, one-at-a-time effects and indices with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from krogh.errors import InputError
from krogh.runs.uncertainty.design import design_shares, proper_rows, salib, unit_problem

__all__ = ["PERCENTILES", "Bands", "Summary", "rank_correlations", "summarise"]

PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
_Z95 = 1.959963984540054
_NAMES = {
    "lhs": ("rank_correlation", "rank_correlation_low", "rank_correlation_high"),
    "sobol": ("first", "first_conf", "total", "total_conf"),
    "morris": ("mu_star", "mu_star_conf", "sigma"),
}


@dataclass(frozen=True)
class Bands:
    """Hold percentiles of one compound's curves [mol/m3]: ``values`` is (curve, percentile, time)."""

    label: str
    t_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Summary:
    """Hold what an ensemble says.

    Attributes
    ----------
    nominal : array, shape (output,)
        Results at the values themselves.
    alone : array, shape (factor, 2, output)
        Results with one factor at its low and high end, the others at their values; NaN where that failed.
    percentiles : array, shape (percentile, output)
        NaN for Morris designs, whose rows are no draws.
    indices : mapping of str to array, shape (factor, output)
        ``lhs``: ``rank_correlation`` (partial) with ``_low`` and ``_high``. ``sobol``: ``first``, ``total`` with ``_conf``.
        ``morris``: ``mu_star`` with ``_conf``, ``sigma``.
    bands : tuple of Bands
        One a compound; empty for Morris designs.
    done, failed : int
        Rows of the design.
    """

    nominal: np.ndarray
    alone: np.ndarray
    percentiles: np.ndarray
    indices: dict[str, np.ndarray]
    bands: tuple[Bands, ...]
    done: int
    failed: int


def summarise(
    records: Sequence[dict[str, Any]], labels: Sequence[str], factors: int, outputs: int, times: np.ndarray,
    *, method: str, samples: int, seed: int,
) -> Summary:  # fmt: skip
    """Return the summary of the records of all rows in order: the values, the ends one by one, the design.

    Raises
    ------
    InputError
        If the values themselves cannot be simulated, or so many rows failed that nothing can be said.
    """
    table = np.array([r.get("out", [np.nan] * outputs) for r in records], dtype=float)
    if "reason" in records[0]:
        raise InputError("the values themselves", got="no result", hint=str(records[0]["reason"]))
    first = 2 * factors + 1
    design, rows = table[first:], records[first:]
    good = np.isfinite(design).all(-1)
    proper = proper_rows(method, len(rows), factors)
    drawn = proper[good[proper]]
    percentiles = np.full((len(PERCENTILES), outputs), np.nan)
    if drawn.size:
        percentiles = np.percentile(design[drawn], PERCENTILES, axis=0)
    bands: tuple[Bands, ...] = ()
    if drawn.size:
        curves = np.array([rows[i]["curves"] for i in drawn])  # (row, compound, curve, time)
        spread = np.percentile(curves, PERCENTILES, axis=0)
        bands = tuple(Bands(label, times, np.moveaxis(spread[:, s], 0, 1)) for s, label in enumerate(labels))
    shares = design_shares(method, samples, factors, seed)
    return Summary(table[0], table[1:first].reshape(factors, 2, outputs), percentiles,
                   _indices(method, shares, design, good, seed), bands, int(good.sum()), int((~good).sum()))  # fmt: skip


def _indices(method: str, shares: np.ndarray, design: np.ndarray, good: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the indices of every output; a failed row makes those of Sobol and Morris designs unknown (NaN)."""
    factors, outputs = shares.shape[1], design.shape[1]
    names = _NAMES[method]
    found = {n: np.full((factors, outputs), np.nan) for n in names}
    for j in range(outputs):
        y = design[:, j]
        values: Sequence[np.ndarray]
        if method == "lhs":
            values = rank_correlations(shares[good], y[good])
        elif not good.all():
            continue
        elif np.ptp(y) <= 1e-9 * np.abs(y).max():
            values = [np.zeros(factors) for _ in names]
        else:
            values = _salib(method, shares, y, seed)
        for name, v in zip(names, values, strict=True):
            found[name][:, j] = v
    return found


def rank_correlations(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the partial rank correlation of each column of `x` with `y`, with the ends of its 95 % interval (Fisher's z).

    Correlation of the ranks after the ranks of all other factors are taken out of both by least squares; NaN where there are too
    few rows for the number of factors, 0 where `y` does not vary.
    """
    n, k = x.shape
    if n <= k + 4:
        blank = np.full(k, np.nan)
        return blank, blank, blank
    if np.ptp(y) <= 1e-9 * np.abs(y).max():
        return np.zeros(k), np.zeros(k), np.zeros(k)
    ranks = np.column_stack([stats.rankdata(c) for c in (*x.T, y)])
    # a result that follows one input exactly has no inverse; the ridge leaves its correlation at 1 to ten digits
    inverse = np.linalg.inv(np.corrcoef(ranks, rowvar=False) + 1e-10 * np.eye(k + 1))
    r = -inverse[:k, k] / np.sqrt(np.diag(inverse)[:k] * inverse[k, k])
    z, half = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), _Z95 / np.sqrt(n - (k - 1) - 3)
    return r, np.tanh(z - half), np.tanh(z + half)


def _salib(method: str, shares: np.ndarray, y: np.ndarray, seed: int) -> list[np.ndarray]:
    salib()
    problem, seed = unit_problem([f"x{i}" for i in range(shares.shape[1])]), seed + 1  # SALib takes 0 for no seed
    if method == "sobol":
        from SALib.analyze import sobol

        found = sobol.analyze(problem, y, calc_second_order=False, seed=seed)
        keys = ["S1", "S1_conf", "ST", "ST_conf"]
    else:
        from SALib.analyze import morris

        found = morris.analyze(problem, shares, y, num_levels=8, seed=seed)
        keys = ["mu_star", "mu_star_conf", "sigma"]
    return [np.asarray(found[k], dtype=float) for k in keys]
