"""Report a benchmark of estimators: error, bias, spread and shrinkage of each on the same simulated voxels."""

from __future__ import annotations

import math

from krogh.io.run_folder import RunFolder
from krogh.report.generic import stored_table
from krogh.report.page import Report, Section
from krogh.report.values import Used

__all__ = ["describe"]


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of ``krogh fexi benchmark``."""
    stored = run.table("scores.tsv", most=300)
    rows = [dict(zip(stored.columns, row, strict=False)) for row in stored.rows] if stored else []
    answer = [
        f"{r.get('estimator')}: RMSE of AXR {math.sqrt(mse):.2g} 1/s, bias {_float(r.get('bias')):+.2g} 1/s; the estimate rises "
        f"by {_float(r.get('slope')):.2f} when the truth rises by one (1: none is drawn to the middle)."
        for r in rows
        if r.get("parameter") == "axr" and (mse := _float(r.get("mse"))) >= 0
    ]
    bound = next((_float(r.get("crlb_sd_median")) for r in rows if r.get("parameter") == "axr"), math.nan)
    if bound == bound:
        answer.append(
            f"No unbiased estimator can have a smaller SD of AXR than {bound:.2g} 1/s (Cramér-Rao, median over voxels)."
        )
    config = run.config
    question = (
        f"Which estimator comes nearest to the true exchange rate in {config.get('voxels', '?')} simulated voxels at SNR "
        f"{config.get('snr', '?')} (scenario {config.get('scenario', '?')})?"
    )
    note = "Variance: spread over repeated noise at one truth. A small error with a small slope tells of the prior."
    sections = [
        Section("Scores", [note], [stored_table(stored)] if stored else []),
        Section("Pictures", pictures=run.pictures()),
    ]
    return Report("Estimators of the exchange rate", question, answer or ["No scores."], sections)
