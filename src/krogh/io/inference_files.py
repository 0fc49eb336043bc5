"""Write an inference into a folder: tables as CSV, one JSON of everything that a script needs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from krogh.io.provenance import DISCLAIMER, write_json
from krogh.runs.infer import Inference
from krogh.runs.infer_tables import (
    band_rows,
    combination_rows,
    correlation_rows,
    estimate_rows,
    joint_rows,
    posterior_rows,
    profile_rows,
    residual_rows,
    sample_rows,
    suggestion_rows,
)
from krogh.runs.judged import Judged

__all__ = ["inference_record", "judged_record", "judged_tables", "write_inference", "write_tables"]

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def judged_record(result: Judged) -> dict[str, Any]:
    """Return estimates, verdicts and posterior as plain values: what every inference has."""
    return {
        "notice": DISCLAIMER, "level": result.level, "parameters": estimate_rows(result),
        "combinations": combination_rows(result), "correlation": correlation_rows(result), "chi2": result.fit.chi2,
        "dof": result.fit.dof, "p_value": result.fit.p_value, "values": len(result.data.t_s), "notes": list(result.notes),
        "posterior": posterior_rows(result), "sampling": _sampling(result),
    }  # fmt: skip


def inference_record(result: Inference) -> dict[str, Any]:
    """Return an inference of a compound as plain values."""
    return {
        "compound": result.compound, **judged_record(result), "below_limit": int(result.data.censored.sum()),
        "next_times": suggestion_rows(result), "joint": joint_rows(result),
    }  # fmt: skip


def _sampling(result: Judged) -> dict[str, float] | None:
    """Return how well the posterior was sampled."""
    p = result.posterior
    if p is None:
        return None
    return {"samples": len(p.x), "effective": p.effective, "r_hat": p.r_hat, "surrogate_error": p.surrogate_error, "edge": p.edge}


def judged_tables(result: Judged) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the tables that every inference has: parameters, identifiability, profiles, posterior, samples."""
    rows = estimate_rows(result)
    verdicts = [{k: r[k] for k in ("parameter", "held", "by_prior", "verdict", "low", "high", "unit")} for r in rows]
    verdicts += [
        {"parameter": c["combination"], "held": True, "by_prior": False, "verdict": "held by the data", "low": c["low"],
         "high": c["high"], "unit": c["unit"]}
        for c in combination_rows(result)
    ]  # fmt: skip
    return {"parameters": rows, "identifiability": verdicts, "profiles": profile_rows(result),
            "posterior": posterior_rows(result), "samples": sample_rows(result)}  # fmt: skip


def write_inference(result: Inference, folder: Path) -> list[Path]:
    """Write the tables (parameters, identifiability, residuals, profiles, curves) and ``inference.json``; return the paths."""
    own = {"residuals": residual_rows(result), "curves": band_rows(result), "next_times": suggestion_rows(result),
           "joint": joint_rows(result)}  # fmt: skip
    return write_tables({**judged_tables(result), **own}, inference_record(result), folder)


def write_tables(tables: Tables, record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every table that has rows as CSV, and ``inference.json``; return the paths."""
    paths = [_write(folder / f"{name}.csv", table) for name, table in tables.items() if table]
    write_json(folder / "inference.json", dict(record))
    return [*paths, folder / "inference.json"]


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else f"{v:.8g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)
    return path
