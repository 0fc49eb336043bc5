"""List the commands; a new command is one file with a function ``register`` and one name here."""

from __future__ import annotations

import importlib

import typer

COMMANDS = (
    "simulate", "gradient", "sensitivity", "plot", "compounds", "predict", "screen", "compare_solvers", "validate", "infer",
    "fexi", "report", "cite", "app",
)  # fmt: skip


def register_commands(app: typer.Typer) -> None:
    """Add every command of :data:`COMMANDS` to `app`."""
    for name in COMMANDS:
        importlib.import_module(f"krogh.cli.{name}").register(app)
