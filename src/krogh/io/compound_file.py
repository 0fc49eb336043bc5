"""Read a user's compound file (TOML) with one-line errors for everything that can be wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from krogh.compounds import Compound, compound_from_mapping
from krogh.errors import InputError

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
    path = Path(path)
    where = path.name or str(path)
    try:
        if not path.is_file():
            raise InputError(
                where, got="no such file" if not path.exists() else "no regular file", expected="a compound file (TOML)"
            )
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise InputError(where, got=f"{size} bytes", expected=f"a compound file of at most {_LARGEST_BYTES} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(where, got="bytes that are not UTF-8", expected="a text file in UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(where, got=getattr(error, "strerror", None) or str(error), expected="a readable file") from None
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise InputError(where, got="tables nested too deeply", expected="a compound file") from None
    except ValueError as error:  # TOMLDecodeError, and whole numbers of thousands of digits
        raise InputError(where, got=f"no valid TOML ({str(error)[:120]})", hint="see docs/reference/compound-file.md") from None
    return compound_from_mapping(table, where=where)
