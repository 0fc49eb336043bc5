"""Refuse a mesh that would not fit into memory, before any work."""

from __future__ import annotations

from krogh.errors import InputError
from krogh.memory import free_memory_bytes

__all__ = ["check_memory"]

_GIB = 2**30


def check_memory(need_bytes: float, unknowns: int, setting: str, *, free_bytes: float | None = None) -> None:
    """Refuse a run that needs more than nine tenths of the free memory, or more than `free_bytes` where that is given.

    Raises
    ------
    InputError
        If it does; the message holds the estimate and the setting to lower.
    """
    free = 0.9 * free_memory_bytes() if free_bytes is None else free_bytes
    if need_bytes > free:
        raise InputError(
            "mesh", got=f"{unknowns:,} unknowns, about {need_bytes / _GIB:.1f} GiB", expected=f"at most {free / _GIB:.1f} GiB",
            hint=f"use fewer cells ({setting}) or fewer frames",
        )  # fmt: skip
