"""Posteriors of a scan on a dictionary, given a prior: masses for learning it, means, SDs, quantiles and ranks for reporting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.interface import Progress
from krogh.fexi.learned import _kernel
from krogh.fexi.learned.dictionary import Dictionary
from krogh.fexi.learned.prior import MixturePrior

__all__ = ["QUANTILES", "Posterior", "Problem", "make_problem", "posterior", "read_posteriors"]

FloatArray = NDArray[np.float64]
#: Levels of the quantiles that are kept: medians and the ends of 50, 80 and 95 % intervals.
QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
_CHUNK = 1024


@dataclass(frozen=True)
class Problem:
    """Hold a scan in units of its noise beside the dictionary.

    ``z`` [voxel, volume sorted by series]; ``level`` [voxel, series] is S0 where it is known (in the same units).
    """

    grid: Dictionary
    z: FloatArray
    level: FloatArray
    known: bool
    table: FloatArray
    square: FloatArray
    constant: FloatArray

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(self.z.shape[0])

    def arguments(self, rows: Any, log_w: FloatArray, keep: NDArray[np.intp] | None = None) -> tuple[Any, ...]:
        """Return what the kernels take for the voxels `rows`, of the atoms `keep` only."""
        tables: tuple[FloatArray, ...] = (self.table, self.square, self.constant, log_w)
        if keep is not None:
            tables = (*(np.ascontiguousarray(t[:, keep]) for t in tables[:2]), *(t[keep] for t in tables[2:]))
        return (self.z[rows], self.level[rows], self.grid.pointer, self.known, *tables)

    def take(self, rows: Any) -> Problem:
        """Return the problem of the voxels `rows`."""
        return Problem(self.grid, self.z[rows], self.level[rows], self.known, self.table, self.square, self.constant)

    def on(self, grid: Dictionary) -> Problem:
        """Return the problem with the dictionary `grid` of the same model and protocol."""
        return Problem(grid, self.z, self.level, self.known, *_tables(grid, self.known))

    def log_likelihood(self, rows: Any, atoms: NDArray[np.intp]) -> FloatArray:
        """Return ln L of the voxels `rows` at `atoms` [voxel, atom]."""
        out = np.empty((self.z[rows].shape[0], atoms.size))
        arguments = self.arguments(rows, self.constant, atoms)
        _kernel.likelihoods(*arguments[:-1], out)
        return out

    def expected_masses(self, log_w: FloatArray, *, threads: int = 1) -> tuple[float, FloatArray]:
        """Return ln evidence summed over voxels and the expected number of voxels at every atom [atom]."""
        keep = np.flatnonzero(log_w > log_w.max() - 60.0)
        parts = math.ceil(self.n_voxels / _CHUNK)
        mass, log_evidence = np.zeros((parts, keep.size)), np.empty(self.n_voxels)
        static = self.arguments(slice(0, 0), log_w, keep)

        def work(rows: slice) -> None:
            _kernel.masses(self.z[rows], self.level[rows], *static[2:], mass[rows.start // _CHUNK], log_evidence[rows])

        run_chunks(work, self.n_voxels, threads=threads, progress=None, chunk=_CHUNK)
        whole = np.zeros(self.grid.n_atoms)
        whole[keep] = mass.sum(axis=0)
        return float(log_evidence.sum()), whole


def make_problem(grid: Dictionary, signals: FloatArray, noise_sd: FloatArray, *, s0: FloatArray | None = None) -> Problem:
    """Return the problem of `signals` [voxel, volume] with `noise_sd` [voxel]; S0 [voxel, series] known, or free (~ 1 / S0)."""
    z = np.ascontiguousarray(signals[:, grid.order] / noise_sd[:, None])
    known = s0 is not None
    level = np.ones((z.shape[0], grid.pointer.size - 1)) if s0 is None else np.ascontiguousarray(s0 / noise_sd[:, None])
    return Problem(grid, z, level, known, *_tables(grid, known))


def _tables(grid: Dictionary, known: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the table, the squares and the constants of a problem on `grid`."""
    with np.errstate(divide="ignore"):
        log_e = np.log(grid.shape).sum(axis=0)
    square, sizes = np.add.reduceat(grid.shape**2, grid.pointer[:-1], axis=0), np.diff(grid.pointer)
    if known:
        return np.ascontiguousarray(grid.shape), square, -0.5 * log_e
    constant = 0.25 * (sizes[:, None] * np.log(square)).sum(axis=0) - 0.5 * log_e
    return np.ascontiguousarray(grid.shape / np.sqrt(np.repeat(square, sizes, axis=0))), square, constant


@dataclass(frozen=True)
class Posterior:
    """Hold what is reported of every voxel, SI.

    ``mean``, ``sd`` [voxel, param]; ``quantiles`` [voxel, param, level of :data:`QUANTILES`]; ``log_evidence`` [voxel];
    ``rank`` [voxel, param]: posterior probability of a smaller value than a given one (only where one was given).
    """

    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray
    log_evidence: FloatArray
    rank: FloatArray | None = None


def posterior(
    problem: Problem,
    prior: MixturePrior,
    *,
    at: FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Posterior:
    """Return the posterior of every voxel under `prior`; `at` [voxel, param] are values whose rank is wanted."""
    log_w = problem.grid.log_weights(prior)
    keep = np.flatnonzero(log_w > log_w.max() - 60.0)
    static = problem.arguments(slice(0, 0), log_w, keep)
    theta = problem.grid.theta[keep] / np.ptp(problem.grid.bounds, axis=1)
    index = np.ascontiguousarray(problem.grid.index[:, keep])

    def fill(rows: slice, marginal: FloatArray, moment: FloatArray, log_evidence: FloatArray) -> None:
        _kernel.marginals(problem.z[rows], problem.level[rows], *static[2:], theta, index, marginal, moment, log_evidence)

    return read_posteriors(problem, fill, at=at, threads=threads, progress=progress)


def read_posteriors(
    problem: Problem, fill: Callable[[slice, FloatArray, FloatArray, FloatArray], None], *, at: FloatArray | None, threads: int,
    progress: Progress | None,
) -> Posterior:  # fmt: skip
    """Return the posteriors whose marginal masses, moments and ln evidence `fill` writes for some rows at a time."""
    n, n_par = problem.n_voxels, problem.grid.theta.shape[1]
    scale = np.ptp(problem.grid.bounds, axis=1)
    out = Posterior(
        np.empty((n, n_par)), np.empty((n, n_par)), np.empty((n, n_par, len(QUANTILES))), np.empty(n),
        None if at is None else np.empty((n, n_par)),
    )  # fmt: skip
    widest = max(e.size - 1 for e in problem.grid.edges)

    def work(rows: slice) -> None:
        size = rows.stop - rows.start
        marginal, moment = np.zeros((size, n_par, widest)), np.empty((size, 2, n_par))
        fill(rows, marginal, moment, out.log_evidence[rows])
        out.mean[rows] = moment[:, 0] * scale
        out.sd[rows] = np.sqrt(np.maximum(moment[:, 1], 0.0)) * scale
        for p, edges in enumerate(problem.grid.edges):
            _kernel.read_quantiles(marginal[:, p, : edges.size - 1], edges, np.array(QUANTILES), out.quantiles[rows, p])
            if at is not None and out.rank is not None:
                _kernel.read_ranks(marginal[:, p, : edges.size - 1], edges, at[rows, p], out.rank[rows, p])

    run_chunks(work, n, threads=threads, progress=progress, chunk=256)
    return out
