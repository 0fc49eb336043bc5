"""``krogh fexi crlb | design | benchmark``: what a protocol can tell before the scan, and what each estimator makes of it."""

from __future__ import annotations

import typer

__all__ = ["register"]


def register(fexi: typer.Typer) -> None:
    """Add the commands to `fexi`."""
