"""Give every page its frame: menu, light and dark, the notice, progress of a run, tables, errors."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from fastapi import Request
from nicegui import run, ui

from krogh.app.jobs import Job, rerun, stop
from krogh.app.workspace import Place, Workspace
from krogh.errors import KroghError
from krogh.report.page import Table

__all__ = ["PATIENCE_S", "Here", "apart", "banner", "card", "empty", "frame", "here", "say", "table"]

#: Time in which a page must be put together; the framework gives up on a busy machine after three seconds unless told.
PATIENCE_S = 60.0
_MENU = {"/": "Cross", "/measure": "Measure", "/screen": "Screen", "/link": "Link", "/runs": "Runs"}
_NOTICE = "Research software: not for diagnosis or dosing."
_WORDS = {
    "running": "running",
    "waiting": "waiting for a free place",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
    "broken off": "broken off",
}


P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Here:
    """Hold who looks at a page, and how."""

    place: Place
    dark: bool


async def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a slow function in a thread, so that the page stays alive."""
    found: T = await run.io_bound(function, *args, **kwargs)  # type: ignore[assignment]
    return found


def _choice(place: Place) -> Path:
    return place.folder / "look.json"


def here(request: Request, workspace: Workspace) -> Here:
    """Return the folder and the look of the user who asks."""
    place = workspace.place(request.scope["krogh_user"])
    try:
        dark = bool(json.loads(_choice(place).read_text(encoding="utf-8"))["dark"])
    except (OSError, ValueError, KeyError, TypeError):
        dark = request.headers.get("sec-ch-prefers-color-scheme") == "dark"
    return Here(place, dark)


@contextlib.contextmanager
def frame(me: Here, path: str) -> Iterator[None]:
    """Draw menu and notice, and open the main part of the page."""
    ui.page_title(f"krogh: {_MENU[path]}")
    ui.add_head_html('<link rel="stylesheet" href="/krogh/page.css"><meta name="description" content="krogh">')
    ui.colors(primary="#0b6aa8", negative="#b3261e", positive="#1b6e3c", warning="#8a4b00")
    ui.dark_mode(me.dark)
    with ui.header().classes("items-center justify-between").style("padding:.5rem 1rem;gap:.5rem"):
        ui.label("krogh").style("font-weight:700;font-size:1.15rem")
        with ui.element("nav").classes("krogh-nav").props('aria-label="Pages"').style("display:flex;flex-wrap:wrap;gap:.2rem"):
            for target, name in _MENU.items():
                anchor = ui.element("a").props(f'href="{target}"')
                if target == path:
                    anchor.props('aria-current="page"')
                with anchor:
                    ui.label(name)
        ui.button("light" if me.dark else "dark", on_click=lambda: _turn(me)).props(
            'flat color=white no-caps aria-label="Change between light and dark"'
        )
    with ui.element("div").classes("krogh-page"):
        yield
    with ui.footer().style("padding:.35rem 1rem;background:#22262b;color:#fff"):
        ui.label(_NOTICE).props('role="note" data-testid="notice"')


def _turn(me: Here) -> None:
    _choice(me.place).write_text(json.dumps({"dark": not me.dark}), encoding="utf-8")
    ui.navigate.reload()


def card(title: str, *, level: int = 2) -> ui.element:
    """Return an open box with a heading."""
    box = ui.element("section").classes("krogh-card")
    with box:
        ui.html(f"<h{level}>{html.escape(title)}</h{level}>", sanitize=False)
    return box


def empty(text: str) -> None:
    """Say what will be here and how to get it."""
    with ui.element("div").classes("krogh-empty"):
        ui.label(text)


def say(error: Exception) -> None:
    """Show an error as one line."""
    text = str(error) if isinstance(error, KroghError) else f"{type(error).__name__}: {error}"
    ui.notify(text[:400], type="negative", multi_line=True, timeout=12_000, close_button="close", position="top")


def table(content: Table, *, name: str = "table") -> ui.html:
    """Show a table; every cell is text."""
    escape = html.escape
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in content.columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in content.rows)
    note = f'<p class="krogh-soft">{escape(content.note)}</p>' if content.note else ""
    label = escape(content.title or name, quote=True)
    text = f'{note}<div class="krogh-scroll" tabindex="0" role="region" aria-label="{label}">'
    return ui.html(
        text
        + f'<table class="krogh-table" data-testid="{escape(name, quote=True)}">'
        + f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
        sanitize=False,
    ).classes("w-full")


def banner(job: Job) -> None:
    """Show how a run is: a bar while it goes on, the reason where it ended otherwise, and what can be done."""
    with ui.element("section").classes("krogh-card").props('aria-live="polite" data-testid="state"'):
        ui.label(job.title).style("font-weight:650")
        if job.active:
            share = f"{100 * job.share:.0f} %" if job.share > 0 else ""
            ui.label(f"{_WORDS[job.state]} {job.label} {share}".strip()).classes("krogh-soft")
            bar = ui.linear_progress(job.share, show_value=False).props('data-testid="progress" aria-label="progress of the run"')
            if job.state == "running" and job.share == 0:
                bar.props("indeterminate")
            ui.button("Stop", on_click=lambda: stop(job)).props("outline color=negative no-caps")
        else:
            ui.label(f"{_WORDS[job.state]}. {job.error}" if job.error else _WORDS[job.state]).classes(
                "krogh-warn" if job.state != "done" else ""
            )
            if job.state != "done":
                ui.button("Run again", on_click=lambda: rerun(job)).props("no-caps")
