"""Read a table of molecules; a row that cannot be read is kept with the reason, so that no row is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from krogh.errors import InputError
from krogh.io.parquet_file import read_parquet_text
from krogh.io.text_file import read_text_file
from krogh.runs.screen import Entry

__all__ = ["names_molecules", "read_molecules"]

_LARGEST_BYTES = 200_000_000
_PARQUET = (".parquet", ".pq")
_MOLECULE = ("smiles", "molecule", "structure", "compound", "name")
_NAME = ("name", "id", "compound", "title")
_SMILES_FILES = (".smi", ".smiles")
_NUMBERS = {
    "logp": ("logp", "log p", "logp_oct"),
    "pka_acid": ("pka_acid",),
    "pka_base": ("pka_base",),
    "fu_brain": ("fu_brain",),
}


def names_molecules(first_line: str) -> bool:
    """Return whether a line is a header that :func:`read_molecules` understands."""
    return any(cell.strip().strip('"').lower() in _MOLECULE for cell in first_line.lstrip("\ufeff").split(","))


def _pick(header: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((header[n] for n in names if n in header), None)


def read_molecules(path: Path) -> list[Entry]:
    """Return the rows of a CSV or a Parquet table in their order, numbered from 1.

    The header names the columns: ``smiles`` (or ``molecule``, ``name``: a SMILES or a name of the library), and where known
    ``name``, ``logp``, ``pka_acid``, ``pka_base`` (several with ;), ``fu_brain``. Other columns are ignored. A file that ends in
    ``.smi`` or ``.smiles`` has no header: a SMILES a line, and after a space its name.

    Raises
    ------
    InputError
        If the file is unreadable, empty, or its header names no molecule.
    """
    if path.suffix.lower() in _PARQUET:
        names, rows = read_parquet_text(path, largest=_LARGEST_BYTES)
        return _some(path, _entries(path, names, rows))
    text = read_text_file(path, largest=_LARGEST_BYTES, what="a CSV of molecules").replace("\0", "\ufffd")
    if path.suffix.lower() in _SMILES_FILES:
        return _lines(path.name, text)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return _some(path, _entries(path, next(reader, []), reader))
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}", got=str(error), expected="a CSV") from None


def _some(path: Path, entries: list[Entry]) -> list[Entry]:
    if not entries:
        raise InputError(path.name, got="no rows", expected="one molecule a line below the header")
    return entries


def _entries(path: Path, first: list[str], rows: Iterable[list[str]]) -> list[Entry]:
    header = {cell.strip().lower(): i for i, cell in reversed(list(enumerate(first)))}
    place = _pick(header, _MOLECULE)
    if place is None:
        raise InputError(path.name, got=f"a header without molecules ({', '.join(first)[:60] or 'empty'})",
                         expected="a column smiles, molecule or name")  # fmt: skip
    columns = {k: _pick(header, names) for k, names in _NUMBERS.items()}
    columns["name"] = _pick(header, _NAME)
    return [_entry(i, cells, len(first), place, columns) for i, cells in enumerate(rows, 1)]


def _lines(name: str, text: str) -> list[Entry]:
    rows = [(i, line.split(maxsplit=1)) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise InputError(name, got="no rows", expected="a SMILES a line")
    return [Entry(i, words[1].strip() if len(words) > 1 else "", words[0]) for i, words in rows]


def _entry(row: int, cells: list[str], width: int, place: int, columns: dict[str, int | None]) -> Entry:
    held = {k: cells[i].strip() if i is not None and i < len(cells) else "" for k, i in columns.items()}
    molecule = cells[place].strip() if place < len(cells) else ""
    fault = "" if len(cells) <= width else f"{len(cells)} cells under {width} headings (a comma inside a cell needs quotes)"
    return Entry(row, held.pop("name"), molecule, fault=fault, **held)
