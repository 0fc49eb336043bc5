"""Simulate one case many times with other numbers, in the slab: the samples are the batch axis of one set of solves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from krogh.barrier.assemble import assemble
from krogh.barrier.member import Member, prepare
from krogh.barrier.state import BarrierState
from krogh.blood.dose import Dose
from krogh.blood.pk import Terms, constant_terms, dose_terms, stack
from krogh.compounds.ranges import with_numbers
from krogh.errors import InputError, KroghError
from krogh.runs.config import SimulateConfig
from krogh.runs.simulate import Case
from krogh.runs.uncertainty.factors import Factor
from krogh.transport.graph import Graph
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.stack import stack_graphs

__all__ = ["CURVES", "ROWS", "Base", "EnsembleChunk", "base_of", "curve_times", "ensemble_chunk", "output_names", "problem_of"]

#: Rows of the design that make one chunk.
ROWS = 64
#: Curves that are kept of each sample and compound.
CURVES = ("plasma_free", "interstitium", "neuron")
_TOGETHER = 64  # problems that share their steps
_OUTPUTS = ("kp_uu", "auc_interstitium_uM_min", "cmax_interstitium_uM", "tmax_min", "auc_neuron_uM_min")
_SI_TO_UM_MIN = 1e3 / 60


@dataclass(frozen=True)
class Base:
    """Hold the case that is varied: its members, their doses and the numerics."""

    labels: tuple[str, ...]
    members: tuple[Member, ...]
    doses: tuple[Dose | None, ...]
    duration_s: float
    counts: tuple[int, ...]
    rtol: float
    method: str | None


@dataclass(frozen=True)
class EnsembleChunk:
    """Hold rows of a design in SI, shape (row, factor), and what they vary."""

    base: Base
    factors: tuple[Factor, ...]
    first: int
    rows: np.ndarray
    curves: bool


def base_of(case: Case, config: SimulateConfig) -> Base:
    """Return what a worker needs of a case.

    Raises
    ------
    InputError
        If the case is not a slab with a dose.
    """
    if config.geometry != "slab" or config.solver != "fv":
        raise InputError("ranges", got=f"geometry {config.geometry}, solver {config.solver}", expected="slab and fv")
    if case.doses[0] is None:
        raise InputError("ranges", got="a measured plasma curve", expected="a dose")
    barrier = assemble([case.members])
    counts = np.bincount(layered_mesh(barrier.layers, config.cells).layer)
    return Base(case.labels, case.members, case.doses, case.problem.t_end_s, tuple(int(n) for n in counts), config.rtol,
                config.permeability_method)  # fmt: skip


def output_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the results of one sample; those of what is formed start with its name."""
    others = [f"{label}: {name}" for label in labels[1:] for name in _OUTPUTS if name != "kp_uu"]
    return (*_OUTPUTS, *others)


def curve_times(duration_s: float) -> np.ndarray:
    """Return the times of the curves [s]: even ones, and early ones, when the most happens."""
    return np.unique(np.concatenate([np.linspace(0.0, duration_s, 97), np.geomspace(1e-3 * duration_s, 0.1 * duration_s, 25)]))


def problem_of(base: Base, factors: Sequence[Factor], row: np.ndarray) -> tuple[Graph, list[Terms]]:
    """Return the graph and the plasma terms of one row of a design."""
    numbers: dict[int, dict[tuple[str | int, ...], float]] = {}
    for factor, number in zip(factors, row, strict=True):
        numbers.setdefault(factor.owner, {})[factor.path] = float(number)
    first = base.members[0]
    physiology = with_numbers(first.physiology, numbers.get(-1, {}))
    state = _state(first.state, numbers.get(-2, {}))
    compounds = [with_numbers(m.compound, numbers.get(i, {})) for i, m in enumerate(base.members)]
    members = [prepare(c, physiology, state, method=base.method if i == 0 else None) for i, c in enumerate(compounds)]
    terms = [
        dose_terms(c, dose, physiology.species) if dose is not None else constant_terms(0.0)
        for c, dose in zip(compounds, base.doses, strict=True)
    ]
    barrier = assemble([members])
    return path_graph(barrier, layered_mesh(barrier.layers, base.counts)), terms


def _state(state: BarrierState, numbers: Mapping[tuple[str | int, ...], float]) -> BarrierState:
    for path, number in numbers.items():
        if path[0] == "efflux_activity":
            state = replace(state, efflux_activity={**state.efflux_activity, str(path[1]): number})
        else:
            state = replace(state, **{str(path[0]): number})  # type: ignore[arg-type]
    return state


def ensemble_chunk(chunk: EnsembleChunk) -> tuple[bytes, int]:
    """Return the records of a chunk as a JSON list in the order of its rows, and how many samples failed."""
    records: dict[int, dict[str, Any]] = {}
    ready: list[tuple[int, Graph, list[Terms]]] = []
    for i, row in enumerate(chunk.rows):
        try:
            ready.append((i, *problem_of(chunk.base, chunk.factors, row)))
        except KroghError as error:
            records[i] = {"reason": str(error)}
    for k in range(0, len(ready), _TOGETHER):
        some = ready[k : k + _TOGETHER]
        for (i, _, _), record in zip(some, _solved(chunk, [x[1:] for x in some]), strict=True):
            records[i] = record
    ordered = [{"row": chunk.first + i, **records[i]} for i in range(len(chunk.rows))]
    return json.dumps(ordered, allow_nan=False, separators=(",", ":")).encode(), sum("reason" in r for r in ordered)


def _solved(chunk: EnsembleChunk, some: Sequence[tuple[Graph, list[Terms]]]) -> list[dict[str, Any]]:
    """Return a record for each problem; where they cannot be solved together, each is tried alone."""
    try:
        return _solve(chunk, some)
    except KroghError as error:
        if len(some) == 1:
            return [{"reason": str(error)}]
        return [_solved(chunk, [one])[0] for one in some]


def _solve(chunk: EnsembleChunk, some: Sequence[tuple[Graph, list[Terms]]]) -> list[dict[str, Any]]:
    graph, blood = stack_graphs([g for g, _ in some]), stack([terms for _, terms in some])
    nodes = [graph.media[name] for name in CURVES[1:]]
    weights = [graph.capacity[..., n] / graph.capacity[..., n].sum(-1, keepdims=True) for n in nodes]

    def means(u: np.ndarray) -> np.ndarray:
        return np.stack([(u[..., n] * w).sum(-1) for n, w in zip(nodes, weights, strict=True)], axis=-1)

    march = integrate(Operator(graph), blood, chunk.base.duration_s, rtol=chunk.base.rtol, reduce=means)
    assert march.auc is not None
    times = curve_times(chunk.base.duration_s)
    fine = np.unique(np.concatenate([times, march.t_s]))
    curves = march.at(fine)
    kept = np.searchsorted(fine, times)
    area, free_area = means(march.auc), blood.fu * blood.auc_total(chunk.base.duration_s)
    plasma = np.stack([blood.free(float(t)) for t in times]) if chunk.curves else None
    return [_record(b, fine, curves[:, b], area[b], free_area[b], kept, plasma) for b in range(len(some))]


def _peak(t: np.ndarray, curve: np.ndarray) -> tuple[float, float]:
    """Return the peak, and when the curve first comes within 0.1 % of it: a plateau has no other time of its peak."""
    top = float(curve.max())
    after = int(np.argmax(curve >= 0.999 * top))
    if after == 0:
        return top, float(t[0])
    part = (0.999 * top - curve[after - 1]) / (curve[after] - curve[after - 1])
    return top, float(t[after - 1] + part * (t[after] - t[after - 1]))


def _record(
    b: int,
    t: np.ndarray,
    curves: np.ndarray,
    area: np.ndarray,
    free_area: np.ndarray,
    kept: np.ndarray,
    plasma: np.ndarray | None,
) -> dict[str, Any]:
    """Return the results of one sample; `curves` is (time, species, medium), `area` (species, medium)."""
    out: list[float] = []
    for s in range(area.shape[0]):
        isf = curves[:, s, 0]
        top, reached = _peak(t, isf)
        if s == 0:
            if not free_area[0] > 0:
                raise InputError("Kp,uu", got="no drug in plasma over the run", hint="a longer --duration")
            out.append(float(area[0, 0] / free_area[0]))
        out += [float(area[s, 0]) * _SI_TO_UM_MIN, top * 1e3, reached / 60, float(area[s, 1]) * _SI_TO_UM_MIN]
    if not np.isfinite(out).all():
        raise InputError("simulation", got="results that are not finite")
    record: dict[str, Any] = {"out": out}
    if plasma is not None:
        stacked = np.concatenate([plasma[:, b, :, None], curves[kept]], axis=-1)  # (time, species, curve)
        record["curves"] = [[[float(f"{v:.5g}") for v in stacked[:, s, c]] for c in range(stacked.shape[2])]
                            for s in range(stacked.shape[1])]  # fmt: skip
    return record
