"""Write an inference from FEXI signals into a folder: tables as CSV, one JSON of everything that a script needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from krogh.io.inference_files import judged_record, judged_tables, write_tables
from krogh.runs.infer_fexi import FexiInference
from krogh.runs.infer_fexi_tables import curve_rows, point_rows, series_rows, signal_rows

__all__ = ["fexi_inference_record", "write_fexi_inference"]

Rows = Sequence[Mapping[str, Any]]


def fexi_inference_record(result: FexiInference, permeability: Rows) -> dict[str, Any]:
    """Return an inference from FEXI signals as plain values; `permeability` as of ``permeability_rows``."""
    return {
        "model": result.name, "datasets": list(result.scans), **judged_record(result), "permeability": list(permeability),
        "next_series": series_rows(result),
    }  # fmt: skip


def write_fexi_inference(result: FexiInference, permeability: Rows, folder: Path) -> list[Path]:
    """Write the tables (parameters, residuals, profiles, curves ...) and ``inference.json``; return the paths."""
    own = {"residuals": signal_rows(result), "curves": curve_rows(result), "points": point_rows(result),
           "next_series": series_rows(result), "permeability": permeability}  # fmt: skip
    return write_tables({**judged_tables(result), **own}, fexi_inference_record(result, permeability), folder)
