"""Find an embedded compound by its name; files are read only when asked for and kept."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

from krogh.compounds.compound import Compound
from krogh.compounds.parse import compound_from_mapping
from krogh.errors import InputError, nearest

__all__ = ["file_stem", "get_compound", "names"]


def file_stem(name: str) -> str:
    """Return the name of the embedded file that holds `name`."""
    return "-".join(name.lower().split())


@functools.cache
def _stems() -> tuple[str, ...]:
    folder = resources.files("krogh.compounds") / "data"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@functools.cache
def _load(stem: str) -> Compound:
    text = (resources.files("krogh.compounds") / "data" / f"{stem}.toml").read_text(encoding="utf-8")
    return compound_from_mapping(tomllib.loads(text), where=f"{stem}.toml")


@functools.cache
def _by_name() -> dict[str, str]:
    table = {}
    for stem in _stems():
        compound = _load(stem)
        for name in (compound.name, *compound.aliases):
            table[name.lower()] = stem
    return table


def names() -> list[str]:
    """Return the names of the embedded compounds, sorted."""
    return sorted((_load(stem).name for stem in _stems()), key=str.lower)


def get_compound(name: str) -> Compound:
    """Return an embedded compound by its name or an alias; upper and lower case are the same.

    Raises
    ------
    InputError
        If there is none of that name; the message names the nearest ones.

    Examples
    --------
    >>> get_compound("L-DOPA").name
    'levodopa'
    """
    wanted = str(name).strip().lower()
    stem = file_stem(wanted)
    if stem in _stems():
        return _load(stem)
    if wanted not in _by_name():
        known = {**dict.fromkeys(names(), ""), **{a: "" for s in _stems() for a in _load(s).aliases}}
        raise InputError(
            "compound",
            got=f"'{wanted[:60]}', which is not in the library",
            hint=nearest(wanted[:60], known) + " (all: 'krogh compounds list'; your own: --compound-file)",
        )
    return _load(_by_name()[wanted])
