"""Write what an ensemble found: tables, pictures and one page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.io.chunk_folder import write_whole
from krogh.report.standalone import png_address, render_page
from krogh.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from krogh.runs.uncertainty.run import Ensemble
    from krogh.runs.uncertainty.summary import Summary

__all__ = ["bands_table", "strongest_inputs", "write_sensitivity"]


def write_sensitivity(out: Path, ensemble: Ensemble, summary: Summary, driver: str) -> list[str]:
    """Write ``summary.csv``, ``tornado.csv``, ``indices.csv``, ``bands.csv``, ``samples.csv``, pictures and ``sensitivity.html``.

    Each file is written whole. Return their names.
    """
    from krogh.plots.uncertainty import draw_bands, draw_indices, draw_tornado

    tables = {"summary.csv": _summary(ensemble, summary), "tornado.csv": _tornado(ensemble, summary),
              "indices.csv": _indices(ensemble, summary), "factors.csv": _factors(ensemble)}  # fmt: skip
    figures = {"tornado.png": draw_tornado(ensemble, summary), "indices.png": draw_indices(ensemble, summary)}
    if summary.bands:
        tables["bands.csv"] = bands_table(summary.bands)
        figures = {"bands.png": draw_bands(summary.bands, summary.done), **figures}
    for name, content in tables.items():
        write_whole(out / name, content)
    pictures = [_picture(figure, out / name) for name, figure in figures.items()]
    page = render_page(
        "sensitivity", title=f"{ensemble.base.labels[0]}: ranges and sensitivity", driver=driver, ensemble=ensemble,
        summary=summary, pictures=pictures, outputs=_page_outputs(ensemble, summary), factors=_page_factors(ensemble),
    )  # fmt: skip
    write_whole(out / "sensitivity.html", page.encode())
    return ["sensitivity.html", *tables, *figures]


def _picture(figure: Figure, path: Path) -> dict[str, str]:
    stream = io.BytesIO()
    caption = str(figure.get_label())
    figure.savefig(stream, format="png", metadata={"Description": caption})
    figure.clear()
    write_whole(path, stream.getvalue())
    return {"address": png_address(stream.getvalue()), "caption": caption}


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{v:.6g}" if isinstance(v, float) and v == v else ("" if v != v else v) for v in row] for row in rows)
    return stream.getvalue().encode()


def bands_table(bands: Sequence[Any]) -> bytes:
    """Return the percentiles of all curves as CSV."""
    from krogh.runs.uncertainty.ensemble import CURVES
    from krogh.runs.uncertainty.summary import PERCENTILES

    head = ["compound", "curve", "time_s", *(f"p{p:02.0f}_mol_m3" for p in PERCENTILES)]
    return _csv(head, (
        [band.label, curve, float(t), *(float(v) for v in band.values[c, :, i])]
        for band in bands for c, curve in enumerate(CURVES) for i, t in enumerate(band.t_s)
    ))  # fmt: skip


def _summary(ensemble: Ensemble, summary: Summary) -> bytes:
    from krogh.runs.uncertainty.summary import PERCENTILES

    head = ["result", "at_the_values", *(f"p{p:02.0f}" for p in PERCENTILES)]
    return _csv(head, ([name, float(summary.nominal[j]), *(float(v) for v in summary.percentiles[:, j])]
                       for j, name in enumerate(ensemble.outputs)))  # fmt: skip


def _tornado(ensemble: Ensemble, summary: Summary) -> bytes:
    head = ["result", "input", "low_si", "high_si", "result_at_low", "at_the_values", "result_at_high"]
    return _csv(head, (
        [name, f.key, f.low, f.high, float(summary.alone[i, 0, j]), float(summary.nominal[j]), float(summary.alone[i, 1, j])]
        for j, name in enumerate(ensemble.outputs) for i, f in enumerate(ensemble.factors)
    ))  # fmt: skip


def _indices(ensemble: Ensemble, summary: Summary) -> bytes:
    return _csv(["result", "input", *summary.indices], (
        [name, f.key, *(float(v[i, j]) for v in summary.indices.values())]
        for j, name in enumerate(ensemble.outputs) for i, f in enumerate(ensemble.factors)
    ))  # fmt: skip


def _factors(ensemble: Ensemble) -> bytes:
    return _csv(["input", "value_si", "low_si", "high_si", "spread", "source"],
                ([f.key, f.value, f.low, f.high, f.shape, f.source] for f in ensemble.factors))  # fmt: skip


def _page_outputs(ensemble: Ensemble, summary: Summary) -> list[dict[str, Any]]:
    from krogh.plots.uncertainty import OUTPUT_WORDS

    def words(name: str) -> str:
        label, _, key = name.rpartition(": ")
        return f"{label}: {OUTPUT_WORDS[key]}" if label else OUTPUT_WORDS[key]

    return [
        {"name": words(name), "nominal": float(summary.nominal[j]), "low": float(summary.percentiles[0, j]),
         "mid": float(summary.percentiles[2, j]), "high": float(summary.percentiles[4, j])}
        for j, name in enumerate(ensemble.outputs)
    ]  # fmt: skip


def _page_factors(ensemble: Ensemble) -> list[dict[str, str]]:
    return [
        {"key": f.key, "shape": f.shape, "source": f.source,
         **{k: format_quantity(float(getattr(f, k)), f.dimension) for k in ("value", "low", "high")}}
        for f in ensemble.factors
    ]  # fmt: skip


def strongest_inputs(ensemble: Ensemble, summary: Summary, output: int, most: int) -> list[tuple[str, float, float]]:
    """Return (input, result at its low end, at its high end) of the inputs that move a result most."""
    from krogh.plots.uncertainty import strongest

    order = strongest(ensemble, summary, output)[:most]
    return [(ensemble.factors[i].key, *(float(v) for v in np.asarray(summary.alone[i, :, output]))) for i in order]
