"""Print ``krogh cite``: what to cite for the software, or for one run, as BibTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add ``cite`` to `app`."""
    app.command("cite")(cite)


def cite(
    run: Annotated[Path | None, typer.Argument(help="The --out folder of a run; without one, the software.")] = None,
) -> None:
    """Print BibTeX of the software, and of the methods and sources of values that a run used."""
    from krogh.io.run_folder import read_run
    from krogh.report import citations
    from krogh.report.values import used_values

    folder = None if run is None else read_run(run)
    typer.echo(citations.to_bibtex(*citations.cite(folder, used_values(folder) if folder else ())), nl=False)
