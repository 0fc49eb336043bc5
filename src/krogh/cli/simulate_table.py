"""Print the summary of a simulation: what arrived, how fast, by which way, and what was published."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import typer

from krogh.cli.tables import print_columns
from krogh.compounds import Compound
from krogh.runs.metrics import Metrics
from krogh.runs.simulate import GroupResult
from krogh.units import format_quantity

__all__ = ["as_record", "print_table"]


#: Heading -> width of terminal from which the column is shown.
_COLUMNS = {
    "compound": 0, "dose": 130, "Cmax free plasma": 80, "Cmax interstitium": 0, "at": 100, "Cmax neuron": 120, "Kp,uu": 0,
    "published Kp,uu": 150, "P barrier": 100, "limited by": 110, "main way in": 80,
}  # fmt: skip


def as_record(results: list[GroupResult]) -> list[dict[str, Any]]:
    """Return every metric as plain data, None where a quantity does not exist."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = []
    for result in results:
        for label, member, dose, m in zip(
            result.case.labels, result.case.members, result.case.doses, result.metrics, strict=True
        ):
            row = {"name": label, "dose": dose.describe() if dose else None, "notes": list(member.notes), **dataclasses.asdict(m)}
            row["kp_uu_published"] = {k: v.value for k, v in member.compound.kp_uu.items()}
            row.pop("label")
            rows.append(clean(row))
    return rows


def print_table(results: list[GroupResult]) -> None:
    """Print one row a compound, then the notes that a reader needs to judge it."""
    rows, notes = [], []
    for result in results:
        species = result.case.physiology.species
        for label, member, dose, m in zip(
            result.case.labels, result.case.members, result.case.doses, result.metrics, strict=True
        ):
            rows.append(
                [
                    label, dose.describe() if dose else ("formed inside" if "from" in label else "measured curve"),
                    _conc(m.cmax_plasma_free), _conc(m.cmax_interstitium), format_quantity(m.tmax_interstitium_s, "time"),
                    _conc(m.cmax_neuron),
                    _kp(m), _published(member.compound, species), format_quantity(m.permeability_m_s, "permeability"),
                    m.regime.replace("-limited", ""), _main(m),
                ]
            )  # fmt: skip
            notes += [f"{label}: {n}" for n in member.notes]
    print_columns(_COLUMNS, rows)
    worst = max(m.mass_defect_run for r in results for m in r.metrics)
    typer.echo("")
    typer.echo(
        f"Kp,uu = free interstitium / free plasma (AUC of the run; '=' at steady state). Mass balance: {worst:.0e} of throughput."
    )
    for note in dict.fromkeys(notes):
        typer.echo(f"note: {note}")


def _conc(value: float) -> str:
    return format_quantity(value, "concentration") if value > 0 else "-"


def _kp(m: Metrics) -> str:
    if math.isfinite(m.kp_uu):
        return f"{m.kp_uu:.2g}" + (f" (= {m.kp_uu_steady:.2g})" if math.isfinite(m.kp_uu_steady) else "")
    return "-"


def _published(compound: Compound, species: str) -> str:
    """Return the measured Kp,uu of this species, or of another one with its name."""
    if species in compound.kp_uu:
        return f"{compound.kp_uu[species].value:.2g}"
    return ", ".join(f"{v.value:.2g} {k}" for k, v in compound.kp_uu.items()) or "-"


def _main(m: Metrics) -> str:
    entering = [r for r in m.routes if math.isfinite(r.share_in) and r.share_in > 0]
    if not entering:
        return "-"
    best = max(entering, key=lambda r: r.share_in)
    return f"{best.route} {100 * best.share_in:.0f} %"
