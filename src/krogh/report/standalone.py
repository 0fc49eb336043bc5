"""Render a page from a template of the package; every text from data is escaped, pictures are inside the file."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

__all__ = ["png_address", "render_page"]


def png_address(content: bytes) -> str:
    """Return a picture as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _number(value: Any, digits: int = 3) -> str:
    """Return a number for reading; a dash where there is none."""
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("krogh.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["number"] = _number
    return environment


def render_page(template: str, **context: Any) -> str:
    """Return the HTML of ``templates/<template>.html`` with `context`."""
    from krogh import __version__
    from krogh.io.provenance import DISCLAIMER

    return _environment().get_template(f"{template}.html").render(version=__version__, notice=DISCLAIMER, **context)
