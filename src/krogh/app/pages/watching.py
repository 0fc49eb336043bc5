"""Follow one run on its page: a bar while it goes on, the reason where it ended otherwise, its result once it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from krogh.app.jobs import Job, read_job
from krogh.app.pages.frame import Here, banner, empty, say
from krogh.errors import KroghError

__all__ = ["asked", "split"]

_LOOK_EVERY_S = 0.15
Show = Callable[[Here, Job], Awaitable[None]]


def asked(me: Here, run_id: str | None) -> Job | None:
    """Return the run that the address names; None, with a word to the user, where there is none."""
    try:
        return read_job(me.place.run(run_id)) if run_id else None
    except KroghError as error:
        say(error)
        return None


def split(me: Here, path: str, job: Job | None, nothing: str, show: Show, form: Callable[[Callable[[str], None]], None]) -> None:
    """Draw the form at the left and the run at the right.

    `form` gets a function that it calls with the id of a run that it started: the run appears at the right and in the address,
    and the page is not loaded anew, so that its first curve does not wait for that.
    """
    with ui.element("div").classes("krogh-split"):
        left = ui.column().classes("gap-4 w-full")
        right = ui.column().classes("gap-4 w-full").style("min-width:0")

    def follow(run_id: str) -> None:
        ui.navigate.history.push(f"{path}?run={run_id}")
        right.clear()
        with right:
            _watch(me, read_job(me.place.run(run_id)), show)

    with left:
        form(follow)
    with right:
        if job is None:
            empty(nothing)
            # the library of the figures is large: the browser reads it while the user fills in the form
            ui.timer(0, lambda: ui.run_javascript('import("nicegui-plotly")'), once=True)
        else:
            _watch(me, job, show)


def _watch(me: Here, job: Job, show: Show) -> None:
    state, result = ui.column().classes("w-full"), ui.column().classes("w-full gap-4")
    seen: list[tuple[str, int]] = []

    async def look() -> None:
        now = read_job(job.folder)
        what = (now.state, round(1000 * now.share))
        if seen and what == seen[-1]:
            return
        seen[:] = [what]
        state.clear()
        with state:
            banner(now)
        result.clear()
        if now.state == "done":
            clock.deactivate()
            with result:
                await show(me, now)

    clock = ui.timer(_LOOK_EVERY_S, look)
