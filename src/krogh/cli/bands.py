"""Add ranges to ``krogh simulate``: percentile bands of every compound from draws of its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from krogh.runs.config import SimulateConfig
    from krogh.runs.simulate import Case
    from krogh.runs.uncertainty.run import Ensemble
    from krogh.runs.uncertainty.summary import Summary

__all__ = ["Ranges", "as_record", "run", "say", "write"]


class Ranges(NamedTuple):
    """Hold the ensemble of one case and what it says."""

    ensemble: Ensemble
    summary: Summary


def run(cases: list[Case], settings: SimulateConfig, draws: int) -> list[Ranges]:
    """Return the ranges of each case from a Latin hypercube of `draws` samples.

    Raises
    ------
    InputError
        If a case is not a slab with a dose, or nothing in it has a range.
    """
    from krogh.runs.uncertainty.run import plan_ensemble, run_ensemble

    ensembles = [plan_ensemble(case, settings, samples=draws, seed=settings.seed) for case in cases]
    return [Ranges(e, run_ensemble(e)) for e in ensembles]


def write(ranges: list[Ranges], folder: Path, *, pictures: bool) -> list[Path]:
    """Write ``bands.csv`` and ``bands.png`` and return their paths."""
    if not ranges:
        return []
    from krogh.plots.uncertainty import draw_bands
    from krogh.report.uncertainty import bands_table

    held = [band for r in ranges for band in r.summary.bands]
    paths = [folder / "bands.csv"]
    paths[0].write_bytes(bands_table(held))
    if pictures:
        paths.append(folder / "bands.png")
        draw_bands(held, ranges[0].summary.done).savefig(paths[-1])
    return paths


def as_record(ranges: list[Ranges]) -> list[dict[str, Any]]:
    """Return the 5, 50 and 95 % of each result, with what was held."""
    return [
        {"compound": r.ensemble.base.labels[0], "draws": r.summary.done, "failed": r.summary.failed,
         "held": list(r.ensemble.held),
         "results": {name: [float(v) for v in r.summary.percentiles[[0, 2, 4], j]] for j, name in enumerate(r.ensemble.outputs)}}
        for r in ranges
    ]  # fmt: skip


def say(ranges: list[Ranges]) -> None:
    """Print one line a compound."""
    for r in ranges:
        low, mid, high = (float(r.summary.percentiles[i, 0]) for i in (0, 2, 4))
        held = f"; held, no range known: {', '.join(r.ensemble.held)}" if r.ensemble.held else ""
        failed = f", {r.summary.failed} failed" if r.summary.failed else ""
        typer.echo(f"{r.ensemble.base.labels[0]}: Kp,uu {low:.3g} to {high:.3g} (5 to 95 % of {r.summary.done} draws{failed}), "
                   f"median {mid:.3g}{held}")  # fmt: skip
