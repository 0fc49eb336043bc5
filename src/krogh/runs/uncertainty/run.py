"""Plan an ensemble of one case: choose what varies, leave out what has no part in it, lay out the rows, cut them into chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from krogh.blood.pk import Terms
from krogh.errors import InputError, KroghError
from krogh.runs.chunks import run_chunks
from krogh.runs.config import SimulateConfig
from krogh.runs.simulate import Case
from krogh.runs.uncertainty.design import count_rows, design_shares, to_numbers
from krogh.runs.uncertainty.ensemble import (
    ROWS,
    Base,
    EnsembleChunk,
    base_of,
    curve_times,
    ensemble_chunk,
    output_names,
    problem_of,
)  # fmt: skip
from krogh.runs.uncertainty.factors import Factor, choose_factors
from krogh.runs.uncertainty.summary import Summary, summarise
from krogh.transport.graph import Graph

__all__ = ["Ensemble", "plan_ensemble", "run_ensemble"]


@dataclass(frozen=True)
class Ensemble:
    """Hold what is to be simulated, and why.

    Attributes
    ----------
    base : Base
        The case at its values.
    factors : tuple of Factor
        What varies.
    idle : tuple of str
        Numbers with a range that do not enter the equations of this case (blood flow in the slab): left out.
    held : tuple of str
        Numbers of the compounds for which nobody states a range: held at their values.
    rows : array, shape (row, factor)
        In SI: the values, both ends of each factor alone, then the design.
    """

    base: Base
    factors: tuple[Factor, ...]
    idle: tuple[str, ...]
    held: tuple[str, ...]
    method: str
    samples: int
    seed: int
    rows: np.ndarray

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the results of one row."""
        return output_names(self.base.labels)

    @property
    def chunks(self) -> list[EnsembleChunk]:
        """Return the rows in chunks; what they hold does not depend on who does them."""
        cut = range(0, len(self.rows), ROWS)
        return [EnsembleChunk(self.base, self.factors, k, self.rows[k : k + ROWS], self.method != "morris") for k in cut]

    def plan(self, config: SimulateConfig) -> dict[str, Any]:
        """Return everything that decides the results, as plain values."""
        return {
            "settings": config.model_dump(mode="json"), "factors": [asdict(f) for f in self.factors], "method": self.method,
            "samples": self.samples, "seed": self.seed, "rows": len(self.rows), "chunk_rows": ROWS,
        }  # fmt: skip

    def summarise(self, load: Callable[[int], Any]) -> Summary:
        """Return the summary of finished chunks; `load` gives the records of one by its number."""
        records = [r for k in range(len(self.chunks)) for r in load(k)]
        return summarise(records, self.base.labels, len(self.factors), len(self.outputs), curve_times(self.base.duration_s),
                         method=self.method, samples=self.samples, seed=self.seed)  # fmt: skip


def plan_ensemble(
    case: Case, config: SimulateConfig, free: Sequence[str] = (), *, method: str = "lhs", samples: int = 256, seed: int = 0
) -> Ensemble:
    """Return the ensemble of a case.

    Parameters
    ----------
    case : Case
        One compound with what is formed from it, in the slab.
    config : SimulateConfig
        Its settings.
    free : sequence of str
        See :func:`krogh.runs.uncertainty.factors.choose_factors`.
    method, samples, seed
        See :func:`krogh.runs.uncertainty.design.design_shares`.

    Raises
    ------
    InputError
        If a key or a range is unusable, the number of samples does not suit the method, or nothing that varies has a part.
    """
    count_rows(method, samples, 1)
    chosen, held = choose_factors(case, free)
    base = base_of(case, config)
    factors, idle = _that_matter(base, chosen)
    if not factors:
        raise InputError("--free", got=f"{chosen[0].key}, which has no part in this run", expected="a number that enters")
    count_rows(method, samples, len(factors))
    rows = to_numbers(factors, design_shares(method, samples, len(factors), seed))
    return Ensemble(base, factors, idle, held, method, samples, seed, rows)


def run_ensemble(ensemble: Ensemble, *, workers: int = 1, progress: Callable[[int, int], None] | None = None) -> Summary:
    """Run all chunks here, keep nothing on disk, and return the summary.

    Parameters
    ----------
    ensemble : Ensemble
        See :func:`plan_ensemble`.
    workers : int
        Processes, >= 1.
    progress : callable, optional
        Called with (chunks done, all).
    """
    store = _Memory()
    run_chunks(ensemble.chunks, ensemble_chunk, store, workers=workers, progress=progress)
    return ensemble.summarise(store.load)


class _Memory:
    """Keep chunks for as long as the run lasts."""

    def __init__(self) -> None:
        self._held: dict[int, bytes] = {}

    def finished(self) -> list[int]:
        return list(self._held)

    def save(self, index: int, content: bytes) -> None:
        self._held[index] = content

    def load(self, index: int) -> Any:
        return json.loads(self._held[index])


def _that_matter(base: Base, factors: Sequence[Factor]) -> tuple[tuple[Factor, ...], tuple[str, ...]]:
    """Return the factors that change some coefficient of the equations between their ends, and the keys of the others."""
    kept, idle = [], []
    for f in factors:
        try:
            low, high = (list(_numbers(*problem_of(base, [f], np.array([end])))) for end in (f.low, f.high))
        except KroghError:  # an end that cannot be simulated does matter; its row will say why
            kept.append(f)
            continue
        same = len(low) == len(high) and all(np.array_equal(a, b) for a, b in zip(low, high, strict=True))
        if same:
            idle.append(f.key)
        else:
            kept.append(f)
    return tuple(kept), tuple(idle)


def _numbers(graph: Graph, terms: Sequence[Terms]) -> Iterator[np.ndarray]:
    """Yield every coefficient of the equations."""
    routes: list[Any] = [r.route for r in graph.routes]
    for owner in (graph, *terms, *graph.reactions, *routes, *(r.law for r in graph.reactions)):
        for field in fields(owner):
            value = getattr(owner, field.name)
            if isinstance(value, (float, np.ndarray)):
                yield np.asarray(value)
