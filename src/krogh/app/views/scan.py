"""Show a scan as it was acquired: its volumes, the rows of its protocol, and the checks of one against the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from krogh.app.views.brain import pack_image
from krogh.errors import InputError
from krogh.fexi.protocol import Protocol
from krogh.io.fexi_protocol import describe_rows, read_protocol
from krogh.io.nifti import Image, read_image
from krogh.report.page import Table
from krogh.runs.fexi_checks import check_scan, typical_signals

__all__ = ["checks_table", "pack_scan", "protocol_of", "protocol_table", "volume_names"]


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> Image:
    return read_image(path, where="scan")


def read_scan(path: Path) -> Image:
    """Return a scan; the last one is kept, since the viewer asks for one volume after the other."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        raise InputError("scan", got="no such file", expected="one that was uploaded") from None


def pack_scan(path: Path, volume: int) -> dict[str, Any]:
    """Return volume `volume`, counted from 0, for the viewer.

    Raises
    ------
    InputError
        If the scan has no such volume.
    """
    image = read_scan(path)
    count = image.data.shape[3] if image.data.ndim == 4 else 1
    if not 0 <= volume < count:
        raise InputError("volume", got=volume, expected=f"0 to {count - 1}")
    values = image.data[..., volume] if image.data.ndim == 4 else image.data
    more = {"title": f"volume {volume + 1} of {count}", "unit": "arbitrary", "colours": "gray"}
    return pack_image(values, image, f"volume{volume}", **more)


def protocol_of(name: str, files: Mapping[str, Path]) -> Protocol:
    """Return the uploaded protocol (parts named ``protocol.*``), or preset `name` where there is none."""
    main = next((n for e in (".tsv", ".mat", ".bf") for n in files if n == f"protocol{e}"), None)
    if main is None:
        return read_protocol(name)
    with tempfile.TemporaryDirectory() as scratch:  # the parts of a protocol are looked for by name, beside one another
        for part, path in files.items():
            if part.startswith("protocol."):
                shutil.copyfile(path, Path(scratch) / part)
        return read_protocol(str(Path(scratch) / main))


def volume_names(plan: Protocol) -> list[str]:
    """Return one line a volume: filter b, b and mixing time."""
    words = "{volume:.0f}: filter b {filter_b_s_mm2:.4g}, b {b_s_mm2:.4g} s/mm², t_m {ms:.4g} ms"
    return [words.format(**r, ms=1e3 * r["mixing_time_s"]) for r in describe_rows(plan)]


def protocol_table(plan: Protocol, scan: Path | None) -> Table:
    """Return the rows of the protocol, with the typical signal of each volume where there is a scan.

    Raises
    ------
    InputError
        If the scan cannot be read, or has another number of volumes.
    """
    note, signals = f"{plan.n_volumes} volumes in {plan.n_series} series.", None
    if scan is not None:
        shape = read_scan(scan).data.shape
        note += f" The scan: {' x '.join(map(str, shape))}."
        if len(shape) != 4 or shape[3] != plan.n_volumes:
            got = f"{shape[3] if len(shape) == 4 else 1} volumes"
            raise InputError("scan", got=got, expected=f"{plan.n_volumes}, as the protocol has")
        signals = typical_signals(read_scan(scan).data)
    if plan.echo_time_filter_s is None or plan.echo_time_detect_s is None:
        note += " No echo times: a T2 difference of blood and tissue biases AXR by 20 to 30 %, uncorrected."
    if plan.crusher_q_rad_m is None and plan.crusher_b_per_second_s_m2_s is None:
        note += " No crusher moment: crushers lower AXR, uncorrected."
    rows = [
        [f"{r['volume']:.0f}", f"{r['filter_b_s_mm2']:.4g}", f"{r['b_s_mm2']:.4g}", f"{1e3 * r['mixing_time_s']:.4g}"]
        + ([f"{signals[i]:.4g}"] if signals is not None else [])
        for i, r in enumerate(describe_rows(plan))
    ]
    columns = ("volume", "filter b [s/mm²]", "b [s/mm²]", "t_m [ms]") + (("median signal",) if signals is not None else ())
    return Table(columns, rows, note=note)


def checks_table(plan: Protocol, scan: Path) -> Table:
    """Return the checks of a scan against its protocol."""
    rows = [["yes" if c.passed else "NO", c.question, c.found] for c in check_scan(read_scan(scan).data, plan)]
    failed = sum(row[0] == "NO" for row in rows)
    note = "The scan fits its protocol." if not failed else f"{failed} of {len(rows)} checks failed: look before you fit."
    return Table(("as it should be", "check", "found"), rows, note=note)
