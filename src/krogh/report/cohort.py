"""Write the results of a FEXI cohort from its finished chunks: group table, summary, failures, picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from krogh import __version__
from krogh.io.chunk_folder import write_whole
from krogh.io.provenance import DISCLAIMER
from krogh.runs.cohort import group_rows, summary_rows

__all__ = ["write_cohort"]

_FIRST = ("subject", "session", "scan", "label", "region", "voxels")
_IGNORE = "*_dwimap.*\n*_fexi.*\nrun.json\ncommand.txt\ngroup.*\nsummary.tsv\nfailed.tsv\nchunks\nchunks/**\n"


def write_cohort(
    out: Path, load: Callable[[int], Any], scans: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Write ``group.tsv``, ``summary.tsv``, ``failed.tsv``, ``group.png`` and the description of the dataset, each whole.

    Returns
    -------
    rows, summary, failed : lists of dict
        Regions of all scans, means over subjects, scans that could not be fitted.
    """
    records = [load(k) for k in range(scans)]
    failed = [r for r in records if "reason" in r]
    rows = group_rows(records)
    summary = summary_rows(rows)
    columns = [*_FIRST, *dict.fromkeys(k for r in rows for k in r if k not in _FIRST)]
    write_whole(out / "group.tsv", _tsv(columns, rows))
    write_whole(out / "summary.tsv", _tsv(list(summary[0]) if summary else ["region", "quantity"], summary))
    write_whole(out / "failed.tsv", _tsv(["scan", "subject", "session", "reason"], failed))
    if rows:
        from krogh.plots.cohort import draw_cohort

        figure, stream = draw_cohort(rows, summary), io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Description": str(figure.get_label())})
        figure.clear()
        write_whole(out / "group.png", stream.getvalue())
    description = {
        "Name": "FEXI cohort by krogh", "BIDSVersion": "1.11.1", "DatasetType": "derivative", "License": "n/a",
        "Authors": ["The user of krogh", "The krogh developers"], "GeneratedBy": [{"Name": "krogh", "Version": __version__}],
    }  # fmt: skip
    write_whole(out / "dataset_description.json", (json.dumps(description, indent=2) + "\n").encode())
    readme = f"# FEXI cohort by krogh\n\n{len(records)} scans, {len(failed)} of them failed. group.tsv holds the regions.\n\n"
    write_whole(out / "README.md", (readme + DISCLAIMER + "\n").encode())
    write_whole(out / ".bidsignore", _IGNORE.encode())
    return rows, summary, failed


def _tsv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as tab-separated values; what has no value is ``n/a`` as BIDS asks."""

    def text(value: Any) -> str:
        if value is None or value == "" or (isinstance(value, float) and not np.isfinite(value)):
            return "n/a"
        return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())

    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text(r.get(c)) for c in columns] for r in rows)
    return stream.getvalue().encode()
