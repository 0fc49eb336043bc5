"""Print a table that reads well on a terminal and stays one line per row in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import typer

__all__ = ["print_columns"]


def print_columns(columns: Mapping[str, int], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows`: aligned plain text into a pipe, folded to the width of a terminal.

    Parameters
    ----------
    columns : mapping of str to int
        Heading of each column, and the width of terminal below which it is left out; a pipe always gets all.
    rows : sequence of sequence of str
        Cells, in the order of `columns`.
    """
    headings = list(columns)
    if not sys.stdout.isatty():
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
        for row in [headings, *rows]:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    kept = [i for i, needed in enumerate(columns.values()) if console.width >= needed]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i in kept:
        table.add_column(headings[i], overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in kept))
    console.print(table)
