"""Write the report of ``krogh validate`` into a folder: page, JSON and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krogh.io.provenance import DISCLAIMER, write_json
from krogh.report.standalone import png_address, render_page
from krogh.validation.run import as_record

if TYPE_CHECKING:
    from krogh.validation.study import Study

__all__ = ["write_validation"]


def write_validation(folder: Path, studies: Sequence[Study], left_out: Mapping[str, str]) -> list[Path]:
    """Write ``validation.html``, ``validation.json`` and the pictures of each study; return their paths."""
    from krogh.plots.validation import draw_study

    figures: dict[str, list[dict[str, Any]]] = {}
    paths = []
    for study in studies:
        for name, figure in draw_study(study).items():
            path, caption = folder / f"{name}.png", str(figure.get_label())
            figure.savefig(path, metadata={"Title": study.title, "Description": caption})
            figures.setdefault(study.name, []).append({"address": png_address(path.read_bytes()), "caption": caption})
            paths.append(path)
            figure.clear()
    verdicts = [g.met for study in studies for g in study.goals if g.met is not None]
    page = render_page(
        "validate", title="krogh held against published data", studies=studies, figures=figures, left_out=left_out,
        met=sum(verdicts), missed=len(verdicts) - sum(verdicts),
    )  # fmt: skip
    html, record = folder / "validation.html", folder / "validation.json"
    html.write_text(page, encoding="utf-8")
    write_json(record, {"notice": DISCLAIMER, "studies": [as_record(s) for s in studies], "left_out": dict(left_out)})
    return [html, record, *paths]
