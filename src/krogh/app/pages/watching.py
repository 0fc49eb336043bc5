"""Follow one run on its page: a bar while it goes on, the reason where it ended otherwise, its result once it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from krogh.app.jobs import Job, read_job
from krogh.app.pages.frame import Here, banner, empty, say
from krogh.errors import KroghError

__all__ = ["asked", "watch"]

_LOOK_EVERY_S = 0.15


def asked(me: Here, run_id: str | None) -> Job | None:
    """Return the run that the address names; None, with a word to the user, where there is none."""
    try:
        return read_job(me.place.run(run_id)) if run_id else None
    except KroghError as error:
        say(error)
        return None


def watch(me: Here, job: Job | None, nothing: str, show: Callable[[Here, Job], Awaitable[None]]) -> None:
    """Show how `job` is, and with `show` what it gave; the words `nothing` where there is no run."""
    if job is None:
        empty(nothing)
        return
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
