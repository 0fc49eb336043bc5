"""Open a finished run folder of any command: its record, its tables and its pictures, whoever sent it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krogh.errors import InputError
from krogh.io.text_file import read_text_file

__all__ = ["RunFolder", "StoredPicture", "StoredTable", "finite", "read_run"]

_LARGEST_PICTURE = 8_000_000
_MOST_PICTURES = 40
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class StoredPicture:
    """Hold one PNG file with the caption that it carries."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True)
class StoredTable:
    """Hold the first rows of a CSV or TSV file; `left_out` rows are not shown."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True)
class RunFolder:
    """Hold a run folder and its record ``run.json``; everything in it is untrusted text."""

    path: Path
    record: Mapping[str, Any]

    @property
    def command(self) -> tuple[str, ...]:
        """Return the words of the command line, beginning with ``krogh``; empty where the run came from Python."""
        words = self.record.get("command")
        return tuple(str(w) for w in words) if isinstance(words, list) else ()

    @property
    def kind(self) -> str:
        """Return which command wrote it: ``simulate``, ``fexi fit`` ...; ``run`` where the record does not say."""
        words = [w for w in self.command[1:] if w != "--debug"]
        if not words or words[0].startswith("-"):
            return "run"
        grouped = words[0] == "fexi" and len(words) > 1
        return " ".join(words[:2]) if grouped else words[0]

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the settings."""
        return self.mapping("config")

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the sentences that the run left for its reader."""
        notes = self.record.get("notes")
        return tuple(str(n) for n in notes) if isinstance(notes, list) else ()

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a table of the record, empty where it is absent or something else."""
        value = self.record.get(key)
        return value if isinstance(value, dict) else {}

    def inputs(self) -> list[Mapping[str, Any]]:
        """Return name and SHA-256 of each input file."""
        listed = self.record.get("inputs")
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []

    def pictures(self) -> list[StoredPicture]:
        """Return the PNG files of the folder and of ``figures/``, each with its caption."""
        files = [*sorted(self.path.glob("*.png")), *sorted(self.path.glob("figures/*.png"))]
        return [found for path in files[:_MOST_PICTURES] if (found := _picture(path)) is not None]

    def table(self, name: str, *, most: int = 60) -> StoredTable | None:
        """Return a CSV or TSV file of the folder, or None where there is none that can be read."""
        path = self.path / name
        if not path.is_file() or path.is_symlink():
            return None
        try:
            text = read_text_file(path, what="a table")
            rows = list(csv.reader(io.StringIO(text, newline=None), delimiter="\t" if name.endswith(".tsv") else ","))
        except (InputError, csv.Error):
            return None
        rows = [row for row in rows if row]
        if not rows:
            return None
        return StoredTable(name, tuple(rows[0]), tuple(map(tuple, rows[1 : most + 1])), max(0, len(rows) - 1 - most))

    def tables(self) -> list[StoredTable]:
        """Return every small table that lies in the folder itself."""
        names = sorted(p.name for p in self.path.iterdir() if p.suffix in (".csv", ".tsv"))
        return [found for name in names if (found := self.table(name)) is not None]


def read_run(folder: Path) -> RunFolder:
    """Return the run in `folder`.

    Raises
    ------
    InputError
        If it is no folder, or its ``run.json`` is missing or no JSON object.
    """
    if not folder.is_dir():
        raise InputError(folder.name or str(folder), got="no such folder", expected="the --out folder of a finished run")
    if not (folder / "run.json").is_file():
        raise InputError(folder.name or str(folder), got="no run.json in it", expected="the --out folder of a finished run")
    text = read_text_file(folder / "run.json", what="the record of a run")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("run.json", got=f"no valid JSON ({str(error)[:80]})", hint="run the command again") from None
    if not isinstance(record, dict):
        raise InputError("run.json", got=f"a {type(record).__name__}", expected="a JSON object", hint="run the command again")
    return RunFolder(folder, record)


def _picture(path: Path) -> StoredPicture | None:
    """Return a picture with its caption, None where the file is no PNG, a link or far too large."""
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_PICTURE:
            return None
        png = path.read_bytes()
    except OSError:
        return None
    return StoredPicture(path.name, png, _caption(png)) if png.startswith(_PNG) else None


def _caption(png: bytes) -> str:
    """Return the text ``Description`` of a PNG, or nothing."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as image:
            return str(image.info.get("Description", ""))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""


def finite(value: Any) -> float | None:
    """Return a number, or None for anything else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
