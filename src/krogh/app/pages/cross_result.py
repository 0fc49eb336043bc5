"""Show a finished simulation: curves, the section that plays, routes, compounds side by side, exposure, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from krogh.app.jobs import Job
from krogh.app.pages.frame import Here, apart, card, empty, say, table
from krogh.app.pages.runs import take_away
from krogh.app.views.volume import has_volume
from krogh.errors import KroghError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Section", "show_result"]


class Section(ui.element, component="../static/section.js"):
    """Play the section of one compound."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._props["source"] = source
        self._props["name"] = f"section{self.id}"

    def play(self, source: str) -> None:
        """Change the compound."""
        self._props["source"] = source
        self.update()


class Volume(ui.element, component="../static/volume.js"):
    """Show the field of one compound in three dimensions."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._props["source"] = source
        self._props["name"] = f"volume{self.id}"


def _load(job: Job) -> Any:
    from krogh.io.store import open_results

    return open_results(job.result)


async def show_result(me: Here, job: Job) -> None:
    """Fill the right half of the page."""
    try:
        data = await apart(_load, job)
    except KroghError as error:
        say(error)
        return
    names = [str(n) for n in data["compound"].values]
    with card("From blood to neuron"):
        _curves(me, data, names)
    with card("Through the layers"):
        which = (
            ui.select(names, value=names[0], label="Compound").props('data-testid="section-compound"').style("min-width:14rem")
        )
        section = Section(f"/runs/{job.id}/section/0")
        which.on_value_change(lambda: section.play(f"/runs/{job.id}/section/{names.index(which.value)}"))
    if has_volume(data):
        with card("In three dimensions"):
            _volumes(job, names)
    with card("By which route"):
        _routes(me, data, names)
    with card("Exposure"):
        from krogh.report.simulation import exposure_table

        table(exposure_table(data), name="exposure")
        for name in names:
            if text := str(data["notes"].sel(compound=name).item()):
                ui.label(f"{name}: {text}").classes("krogh-warn")
        worst = float(abs(data["mass_defect_run"]).max())
        ui.label(f"Mass balance of the run: {worst:.0e} of the throughput.").classes("krogh-soft")
    with card("Take it with you"):
        take_away(job, me.place)


def _volumes(job: Job, names: list[str]) -> None:
    which = ui.select(names, value=names[0], label="Compound").style("min-width:14rem") if len(names) > 1 else None
    box = ui.column().classes("w-full")

    def draw(name: str) -> None:
        box.clear()
        with box:
            Volume(f"/runs/{job.id}/volume/{names.index(name)}")

    if which is not None:
        which.on_value_change(lambda: draw(which.value))
    draw(names[0])


def _curves(me: Here, data: xr.Dataset, names: list[str]) -> None:
    from krogh.app.views.figures import MEDIA, side_by_side, timecourse_figure

    views = {
        **{n: f"{n}: plasma to neuron" for n in names},
        **({f"*{m}": f"side by side: {w}" for m, w in MEDIA.items()} if len(names) > 1 else {}),
    }
    with ui.row().classes("items-center"):
        first = "*interstitium" if len(names) > 1 else names[0]
        view = ui.select(views, value=first, label="Show").props('data-testid="curve-view"').style("min-width:16rem")
        log = ui.switch("logarithmic", value=True)
    box = ui.column().classes("w-full")

    def draw() -> None:
        box.clear()
        with box:
            if view.value.startswith("*"):
                figure = side_by_side(data, view.value[1:], dark=me.dark, log=log.value)
            else:
                figure = timecourse_figure(data.sel(compound=view.value), dark=me.dark, log=log.value)
            ui.plotly(figure).classes("w-full").props('data-testid="curves"')

    view.on_value_change(draw)
    log.on_value_change(draw)
    draw()


def _routes(me: Here, data: xr.Dataset, names: list[str]) -> None:
    from krogh.app.views.figures import flow_figure

    which = ui.select(names, value=names[0], label="Compound").style("min-width:14rem")
    box = ui.column().classes("w-full")

    def draw() -> None:
        box.clear()
        with box:
            figure = flow_figure(data.sel(compound=which.value), dark=me.dark)
            if figure is None:
                empty("Nothing of it crossed from blood: it is formed inside the brain.")
            else:
                ui.plotly(figure).classes("w-full").props('data-testid="flow"')

    which.on_value_change(draw)
    draw()
