"""Read a user's compound file (TOML) with one-line errors for everything that can be wrong with it."""

from __future__ import annotations

from pathlib import Path

from krogh.compounds import Compound, compound_from_mapping
from krogh.io.text_file import read_toml

__all__ = ["read_compound_file"]

_LARGEST_BYTES = 1_000_000  # a compound file has a few kB; anything larger is another file


def read_compound_file(path: Path | str) -> Compound:
    """Return the compound that a TOML file describes.

    Parameters
    ----------
    path : Path or str
        The file; its keys are those of ``docs/reference/compound-file.md``.

    Raises
    ------
    InputError
        If the file is missing, unreadable, larger than 1 MB, not UTF-8, not TOML or not a valid compound.
    """
    table = read_toml(path, largest=_LARGEST_BYTES, what="a compound file", hint="see docs/reference/compound-file.md")
    return compound_from_mapping(table, where=Path(path).name)
