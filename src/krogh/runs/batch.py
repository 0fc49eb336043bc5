"""Run many compounds at once: chunks of a library share their time steps, and only means over time and areas are kept."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from krogh.barrier.assemble import assemble
from krogh.barrier.member import Member
from krogh.blood.exponentials import ExponentialBlood
from krogh.errors import InputError
from krogh.transport.integrate import integrate
from krogh.transport.march import March
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

__all__ = ["BatchResult", "simulate_batch"]

#: Problems that share their steps: their states stay in the processor's cache (``python -m bench`` measures it).
CHUNK = 16


@dataclass(frozen=True)
class BatchResult:
    """Hold what is kept of a batch.

    Attributes
    ----------
    names : tuple of str
        Compound of each problem.
    t_s : array, shape (time,)
        Output times [s].
    media : mapping of str to array, shape (problem, time)
        Mean free concentration of each medium [mol/m3].
    auc : mapping of str to array, shape (problem,)
        Time integral of that mean over the run, by the weights of the stepper [mol s/m3].
    auc_plasma_free : array, shape (problem,)
        Exact integral of the free plasma concentration [mol s/m3].
    mass_defect : array, shape (chunk,)
        Worst relative mass defect of one step in each chunk.
    steps : array, shape (chunk,)
        Accepted steps of each chunk.
    """

    names: tuple[str, ...]
    t_s: np.ndarray
    media: dict[str, np.ndarray]
    auc: dict[str, np.ndarray]
    auc_plasma_free: np.ndarray
    mass_defect: np.ndarray
    steps: np.ndarray

    @property
    def kp_uu(self) -> np.ndarray:
        """Return AUC free interstitium / AUC free plasma over the run, NaN where plasma stays empty."""
        top, bottom = self.auc["interstitium"], self.auc_plasma_free
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


@dataclass(frozen=True)
class _Chunk:
    members: tuple[Member, ...]
    blood: ExponentialBlood
    t_end_s: float
    t_s: np.ndarray
    cells: int
    rtol: float


@dataclass(frozen=True)
class _Piece:
    media: np.ndarray
    auc: np.ndarray
    names: tuple[str, ...]
    defect: float
    steps: int


def simulate_batch(
    members: Sequence[Member],
    blood: ExponentialBlood,
    t_end_s: float,
    *,
    times_s: np.ndarray | None = None,
    cells: int = 120,
    rtol: float = 1e-4,
    chunk: int = CHUNK,
    processes: int = 1,
    progress: Callable[[float], None] | None = None,
) -> BatchResult:
    """Simulate single compounds in the slab, many at a time.

    Parameters
    ----------
    members : sequence of Member
        The compounds, all of one physiology; see :func:`krogh.barrier.member.prepare`.
    blood : ExponentialBlood
        Their plasma curves, one row each, shape (problem, 1, term).
    t_end_s : float
        Duration [s], > 0.
    times_s : array, optional
        Output times [s]; 241 even ones by default.
    cells : int
        Cells across the layers.
    rtol : float
        Relative tolerance of a step; it holds for the worst problem of a chunk.
    chunk : int
        Problems that share their time steps, >= 1. It changes the results within the tolerance only.
    processes : int
        Processes to spread the chunks over, >= 1.
    progress : callable, optional
        Called with the share of the problems done.

    Raises
    ------
    InputError
        If the numbers of compounds and curves differ, or a setting is out of range.
    ConvergenceError
        If the stepper cannot go on.
    """
    if not members or blood.fu.shape != (len(members), 1):
        raise InputError(
            "batch", got=f"{len(members)} compounds, plasma curves {blood.fu.shape}", expected="one curve per compound"
        )
    for name, value in (("chunk", chunk), ("processes", processes)):
        if value < 1:
            raise InputError(name, got=value, expected=">= 1")
    times = np.linspace(0.0, t_end_s, 241) if times_s is None else np.asarray(times_s, dtype=float)
    rows = _alike(members, blood, t_end_s, chunk)
    chunks = [_Chunk(tuple(members[i] for i in r), _rows(blood, r), t_end_s, times, cells, rtol) for r in rows]
    pieces: list[_Piece] = []
    if processes == 1:
        results = map(_solve, chunks)
        pieces = [_note(piece, k, chunks, progress) for k, piece in enumerate(results)]
    else:
        # a fresh interpreter each: threads of the libraries do not survive a fork
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            pieces = [_note(piece, k, chunks, progress) for k, piece in enumerate(pool.map(_solve, chunks))]
    back = np.argsort(np.concatenate(rows))
    media = np.concatenate([p.media for p in pieces], axis=1)[:, back]
    auc = np.concatenate([p.auc for p in pieces], axis=0)[back]
    names = pieces[0].names
    return BatchResult(
        names=tuple(m.compound.name for m in members), t_s=times,
        media={name: media[:, :, i].T for i, name in enumerate(names)}, auc={name: auc[:, i] for i, name in enumerate(names)},
        auc_plasma_free=(blood.fu * blood.auc_total(t_end_s))[:, 0],
        mass_defect=np.array([p.defect for p in pieces]), steps=np.array([p.steps for p in pieces]),
    )  # fmt: skip


def _note(piece: _Piece, k: int, chunks: Sequence[_Chunk], progress: Callable[[float], None] | None) -> _Piece:
    if progress is not None:
        progress((k + 1) / len(chunks))
    return piece


def _alike(members: Sequence[Member], blood: ExponentialBlood, t_end_s: float, chunk: int) -> list[list[int]]:
    """Return the rows of each chunk: problems with the same doses and kinds of routes first, since they share their steps."""

    def kind(i: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        m = members[i]
        saturable = [t.name for t in (*m.carriers, *m.pumps, *m.vesicles)]
        enzymes = [x.enzyme for x in m.compound.metabolism if x.km_mol_m3]
        return tuple(_rows(blood, [i]).events(t_end_s)), tuple(sorted(saturable + enzymes))

    kinds: dict[object, list[int]] = {}
    for i in range(len(members)):
        kinds.setdefault(kind(i), []).append(i)
    return [rows[k : k + chunk] for rows in kinds.values() for k in range(0, len(rows), chunk)]


def _rows(blood: ExponentialBlood, rows: list[int]) -> ExponentialBlood:
    return ExponentialBlood(blood.start_s[rows], blood.rate_per_s[rows], blood.coefficient[rows], blood.fu[rows])


def _solve(chunk: _Chunk) -> _Piece:
    """Solve one chunk and return means over the media at the output times, shape (time, problem, medium)."""
    barrier = assemble([[m] for m in chunk.members])
    graph = path_graph(barrier, layered_mesh(barrier.layers, chunk.cells))
    nodes = list(graph.media.values())
    weights = [graph.capacity[:, 0, n] / graph.capacity[:, 0, n].sum(-1, keepdims=True) for n in nodes]

    def means(u: np.ndarray) -> np.ndarray:
        return np.stack([(u[:, 0, n] * w).sum(-1) for n, w in zip(nodes, weights, strict=True)], axis=-1)

    march: March = integrate(Operator(graph), chunk.blood, chunk.t_end_s, rtol=chunk.rtol, reduce=means)
    assert march.auc is not None
    return _Piece(march.at(chunk.t_s), means(march.auc), tuple(graph.media), march.worst_defect, march.stats.steps)
