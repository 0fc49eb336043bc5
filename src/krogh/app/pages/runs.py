"""The list of runs: what went on, how it ended, and everything to take away."""

from __future__ import annotations

import shlex
from datetime import datetime

from fastapi import Request
from nicegui import ui

from krogh.app.files import downloads
from krogh.app.jobs import Job, delete_job, list_jobs, rerun, stop
from krogh.app.pages.frame import PATIENCE_S, empty, frame, here
from krogh.app.workspace import Place, Workspace

__all__ = ["register", "take_away"]

_PAGE = {"cross": "/", "measure": "/measure", "screen": "/screen"}
_NOTHING = "No runs yet. Start one on the pages Cross, Measure or Screen; it stays in this list until you delete it."
#: Files that a user looks for first.
_FIRST = (
    "run.toml", "result/summary.csv", "result/timecourse.csv", "result/results.nc", "result/regions.tsv", "result/screen.csv",
    "result/rejects.csv", "result/screen.html", "result/run.json",
)  # fmt: skip


def register(workspace: Workspace) -> None:
    """Add the page."""

    @ui.page("/runs", response_timeout=PATIENCE_S)
    def runs(request: Request) -> None:
        me = here(request, workspace)
        with frame(me, "/runs"):
            ui.html("<h1 style='font-size:1.4rem;margin:.8rem 0'>Runs</h1>", sanitize=False)
            box = ui.column().classes("w-full gap-3")
            seen: list[tuple[str, str, int]] = []

            def show() -> None:
                jobs = list_jobs(me.place)
                now = [(j.id, j.state, round(100 * j.share)) for j in jobs]
                if now == seen and box.default_slot.children:
                    return
                seen[:] = now
                box.clear()
                with box:
                    for job in jobs:
                        _row(job)
                    if not jobs:
                        empty(_NOTHING)

            show()
            ui.timer(0.5, show)


def _row(job: Job) -> None:
    with ui.element("article").classes("krogh-card").props('data-testid="run"'):
        with ui.row().classes("items-center w-full justify-between"):
            ui.label(job.title).style("font-weight:650")
            when = datetime.fromtimestamp(job.created).strftime("%Y-%m-%d %H:%M")
            ui.label(f"{when} · {job.state}" + (f" · {100 * job.share:.0f} %" if job.active else "")).classes("krogh-soft")
        if job.error:
            ui.label(job.error).classes("krogh-warn")
        if job.active:
            ui.linear_progress(job.share, show_value=False).props('aria-label="progress of the run"')
        with ui.row().classes("gap-3 items-center"):
            ui.link("Open", f"{_PAGE.get(job.kind, '/')}?run={job.id}").props('data-testid="open"')
            if job.active:
                ui.button("Stop", on_click=lambda: stop(job)).props("outline dense no-caps color=negative")
            else:
                words = "Run again" if job.state != "broken off" else "Resume"
                if job.state != "done":
                    ui.button(words, on_click=lambda: rerun(job)).props('outline dense no-caps data-testid="again"')
                ui.button("Delete", on_click=lambda: delete_job(job)).props("outline dense no-caps color=negative")


def take_away(job: Job, place: Place) -> None:
    """Show the report, the pictures and the files of a finished run as links."""
    links = {"Report (HTML)": f"/runs/{job.id}/report"}
    if job.kind == "cross" or any(True for _ in job.result.glob("**/*.png")):
        links["Pictures (ZIP)"] = f"/runs/{job.id}/pictures.zip"
    listed = downloads(job)
    with ui.row().classes("gap-x-5 gap-y-1"):
        for words, target in links.items():
            ui.link(words, target).props('download data-testid="download"')
        for name in _FIRST:
            if name in listed:
                ui.link(name.rpartition("/")[2], f"/runs/{job.id}/files/{name}").props('download data-testid="download"')
    more = [n for n in listed if n not in _FIRST and (n.startswith("result/") or n.startswith("scan"))]
    if more:
        with ui.expansion(f"All files ({len(more)})").classes("w-full"), ui.column().classes("gap-0"):
            for name in more:
                ui.link(name, f"/runs/{job.id}/files/{name}").props("download")
    if "run.toml" in listed:
        again = ["krogh simulate --config run.toml --out again"]
    else:
        again = [shlex.join(("krogh", *s.arguments, "--out", s.out)) for s in job.steps]
    ui.label("Repeat it on the command line:").classes("krogh-soft")
    for line in again:
        ui.label(line).classes("krogh-mono")
