"""Write ``krogh report RUN``: one HTML file to send to a colleague."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from krogh.cli import options


def register(app: typer.Typer) -> None:
    """Add ``report`` to `app`."""
    app.command("report")(report)


def report(
    run: Annotated[Path, typer.Argument(help="The --out folder of a finished run.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HTML file.  [default: RUN/report.html]")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file of that name (RUN/report.html always is).")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write one self-contained HTML page of a run: question, answer, inputs with sources, pictures, limits, citations.

    The page opens from disk, holds its pictures, and loads nothing from anywhere.
    """
    from krogh.errors import OutputError
    from krogh.io.text_file import write_text_file
    from krogh.report.build import build_report

    target = out or run / "report.html"
    if target.is_dir() or (out is not None and target.exists() and not overwrite):
        raise OutputError(target.name, got="a file or folder of that name", hint="give --overwrite, or another --out")
    html = build_report(run)
    write_text_file(target, html)
    if as_json:
        typer.echo(json.dumps({"report": str(target), "bytes": len(html.encode())}))
    else:
        typer.echo(f"{target}  {len(html.encode()) / 1e6:.1f} MB, opens from disk without a network")
    if open_:
        import webbrowser

        webbrowser.open(target.absolute().as_uri())
