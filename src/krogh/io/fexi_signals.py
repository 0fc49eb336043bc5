"""Read FEXI signals for ``krogh fexi infer``: one signal a row, of a region or a voxel, with its volume of the protocol."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from krogh.errors import InputError, nearest
from krogh.io.text_file import read_text_file

__all__ = ["FexiSignals", "read_fexi_signals"]

_COLUMNS = ("dataset", "volume", "signal", "sd")
_OTHER_NAMES = {"region": "dataset", "roi": "dataset", "curve": "dataset", "value": "signal", "mean": "signal", "noise_sd": "sd"}
_BLANK = (None, "", "n/a")
_EXAMPLE = "a header such as 'region,volume,signal,sd'"


@dataclass(frozen=True)
class FexiSignals:
    """Hold N signals: curve, volume (from 0), signal, noise SD (NaN where none is given) and line of the file."""

    dataset: tuple[str, ...]
    volume: np.ndarray
    signal: np.ndarray
    sd: np.ndarray
    line: np.ndarray


def read_fexi_signals(paths: Sequence[Path], volumes: Callable[[str], int]) -> FexiSignals:
    """Return the rows of one or more CSV or TSV files, such as ``signals.tsv`` of ``krogh fexi fit``.

    Columns: ``signal``; where they apply ``dataset`` (or ``region``; else the name of the file), ``volume`` (row of the protocol,
    from 1; else the rows of a curve are its volumes in order) and ``sd`` (noise SD of this signal, in its unit).

    Parameters
    ----------
    paths : sequence of Path
        Files.
    volumes : callable
        From the name of a curve to the number of volumes of its protocol.

    Raises
    ------
    InputError
        If a file is unreadable, a row malformed or a volume not in the protocol; the message names file and line.
    """
    rows = [row for path in paths for row in _read(path, volumes)]
    dataset, volume, signal, sd, line = zip(*rows, strict=True)
    return FexiSignals(tuple(dataset), np.array(volume), np.array(signal), np.array(sd), np.array(line))


_Row = tuple[str, int, float, float, int]


def _read(path: Path, volumes: Callable[[str], int]) -> list[_Row]:
    text = read_text_file(path, what="a CSV or TSV of signals")
    tabs = "\t" in text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=None), delimiter="\t" if tabs else ",")
    try:
        rows = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}", got=str(error), expected="a CSV") from None
    rows = [r for r in rows if not r[1][0].startswith("#")]
    if len(rows) < 2:
        raise InputError(path.name, got="no rows", expected=f"{_EXAMPLE} and a signal a line")
    header = [_OTHER_NAMES.get(c.lower(), c.lower()) for c in rows[0][1]]
    for name, cell in zip(header, rows[0][1], strict=True):
        if name not in _COLUMNS:
            raise InputError(f"{path.name}, header", got=f"'{cell}'", hint=nearest(name, _COLUMNS))
        if header.count(name) > 1:
            raise InputError(f"{path.name}, header", got=f"'{name}' twice", expected="each column once")
    if "signal" not in header:
        raise InputError(f"{path.name}, header", got="no column 'signal'", expected=_EXAMPLE)
    found: list[_Row] = []
    counted: dict[str, int] = {}
    for line, cells in rows[1:]:
        where = f"{path.name}, line {line}"
        if len(cells) != len(header):
            raise InputError(where, got=f"{len(cells)} cells under {len(header)} headings", expected="one a heading")
        held = dict(zip(header, cells, strict=True))
        name = held.get("dataset") or path.stem
        counted[name] = counted.get(name, 0) + 1
        volume = _volume(held.get("volume"), counted[name], volumes(name), where)
        sd = _number(held["sd"], f"{where}, sd") if held.get("sd") not in _BLANK else math.nan
        found.append((name, volume, _number(held["signal"], f"{where}, signal"), sd, line))
    if "volume" not in header:
        for name, count in counted.items():
            if count != volumes(name):
                raise InputError(
                    f"{path.name}, '{name}'", got=f"{count} signals", expected=f"{volumes(name)}, as the protocol has volumes",
                    hint="or name the rows of the protocol in a column 'volume'",
                )  # fmt: skip
    return found


def _volume(text: str | None, order: int, volumes: int, where: str) -> int:
    number = str(order) if text is None else text
    if not number.isdigit() or not (1 <= int(number) <= volumes or text is None):
        raise InputError(f"{where}, volume", got=f"'{number}'", expected=f"a row of the protocol, 1 to {volumes}")
    return min(int(number), volumes) - 1


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(where, got=f"'{text}'", expected="a finite number > 0")
    return number
