"""Say what a report is made of, and render it as one HTML file without scripts and without anything from outside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from krogh.io.run_folder import StoredPicture

__all__ = ["Code", "Report", "Section", "Table", "render"]


@dataclass(frozen=True)
class Table:
    """Hold a table of text; `note` stands above it, and a `folded` one is closed until the reader opens it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Code:
    """Hold text that is shown as typed: a command, a settings file, BibTeX."""

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """Hold one part of a report, in reading order: sentences, tables, pictures, code."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[StoredPicture] = ()
    code: Sequence[Code] = ()


@dataclass(frozen=True)
class Report:
    """Hold a whole report: the question, the answer in sentences, and the sections that back it."""

    title: str
    question: str
    answer: Sequence[str]
    sections: Sequence[Section] = ()
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)


def _data_uri(picture: StoredPicture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def render(report: Report) -> str:
    """Return the report as HTML; every text in it is escaped."""
    import jinja2

    environment: Any = jinja2.Environment(
        loader=jinja2.PackageLoader("krogh.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["data_uri"] = _data_uri
    return str(environment.get_template("report.html").render(report=report))
