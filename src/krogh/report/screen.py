"""Write the results of a screen from its finished chunks: two tables, a picture and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from krogh.io.chunk_folder import write_whole
from krogh.io.parquet_file import parquet_bytes
from krogh.io.provenance import DISCLAIMER
from krogh.report.standalone import png_address, render_page

__all__ = ["COLUMNS", "rank_records", "write_screen"]

_MOST_SHOWN = 1000
_MOST_REJECTS = 200
#: Columns of ``screen.csv``, in order.
COLUMNS = (
    "row", "rank", "name", "molecule", "smiles", "permeability_intrinsic_m_s", "permeability_low_90_m_s",
    "permeability_high_90_m_s", "inside_domain", "outside_because", "permeability_at_ph_7_4_m_s", "regime", "kp_uu",
    "kp_uu_low_90", "kp_uu_high_90", "auc_interstitium_uM_min", "auc_interstitium_uM_min_low_90",
    "auc_interstitium_uM_min_high_90", "auc_neuron_uM_min", "cmax_interstitium_uM", "tmax_min", "time_to_half_of_peak_min",
    "time_to_half_of_peak_min_low_90", "time_to_half_of_peak_min_high_90",
    "probability_bbb_plus", "log_bb", "log_bb_low_90", "log_bb_high_90", "molar_mass_g_mol", "logp", "logp_basis", "tpsa_A2",
    "hbd", "hba", "rotatable_bonds", "assumed", "notes",
)  # fmt: skip
_REJECT_COLUMNS = ("row", "name", "molecule", "reason")
_SHOWN = {
    "rank": "rank", "row": "row", "name": "name", "permeability_intrinsic_m_s": "P [m/s]", "permeability_low_90_m_s": "90 % from",
    "permeability_high_90_m_s": "to", "kp_uu": "Kp,uu", "kp_uu_low_90": "90 % from", "kp_uu_high_90": "to",
    "auc_interstitium_uM_min": "AUC interstitium [µM min]",
    "tmax_min": "tmax [min]", "time_to_half_of_peak_min": "half of peak [min]", "regime": "regime",
    "probability_bbb_plus": "chance BBB+", "outside_because": "outside of domain", "assumed": "assumed",
}  # fmt: skip
_WORDS = {"name", "regime", "outside_because", "assumed"}


def rank_records(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records best first, each with its rank: by Kp,uu to three digits, then by permeability, then by row."""

    def key(r: Mapping[str, Any]) -> tuple[float, float, int]:
        return (-float(f"{r['kp_uu']:.3g}"), -r["permeability_intrinsic_m_s"], r["row"])

    ordered = sorted(records, key=key)
    for rank, record in enumerate(ordered, 1):
        record["rank"] = rank
    return ordered


def _table(columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for r in records:
        cells = [r[c] for c in columns]
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else _harmless(v) for v in cells])
    return stream.getvalue().encode()


def _harmless(value: Any) -> Any:
    """Return text that a spreadsheet does not take for a formula."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value


def write_screen(
    out: Path, load: Callable[[int], Any], chunks: int, driver: str, *, parquet: bool = False
) -> tuple[list[dict[str, Any]], int]:
    """Write ``screen.csv``, ``rejects.csv``, ``screen.png`` and ``screen.html``, each whole; return (best first, rejected).

    Parameters
    ----------
    out : Path
        Folder of the results.
    load : callable
        Returns the records of a chunk by its number.
    chunks : int
        Number of chunks.
    driver : str
        What the plasma does, in words.
    parquet : bool
        Write ``screen.parquet`` and ``rejects.parquet`` as well, with full digits.
    """
    from krogh.plots.screen import draw_screen

    records = [r for k in range(chunks) for r in load(k)]
    rejects = [r for r in records if "reason" in r]
    done = [r for r in records if "reason" not in r]
    ranked = rank_records(done)
    write_whole(out / "screen.csv", _table(COLUMNS, done))
    write_whole(out / "rejects.csv", _table(_REJECT_COLUMNS, rejects))
    if parquet:
        about = {"notice": DISCLAIMER, "plasma": driver}
        write_whole(out / "screen.parquet", parquet_bytes(COLUMNS, done, about))
        write_whole(out / "rejects.parquet", parquet_bytes(_REJECT_COLUMNS, rejects, about))
    picture = None
    if done:
        figure = draw_screen(done, driver)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Description": str(figure.get_label())})
        write_whole(out / "screen.png", stream.getvalue())
        picture = {"address": png_address(stream.getvalue()), "caption": str(figure.get_label())}
        figure.clear()
    columns = [{"key": k, "title": v, "number": k not in _WORDS} for k, v in _SHOWN.items()]
    page = render_page(
        "screen", title="Screened molecules", count=len(records), done=len(done), rejected=len(rejects), driver=driver,
        columns=columns, shown=ranked[:_MOST_SHOWN], rejects=rejects[:_MOST_REJECTS], picture=picture,
    )  # fmt: skip
    write_whole(out / "screen.html", page.encode())
    return ranked, len(rejects)
