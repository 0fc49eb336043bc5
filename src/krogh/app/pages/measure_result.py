"""Show a finished fit: a map beside its uncertainty on the brain, the curve of the voxel, the regions, what can be known."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from krogh.app.jobs import Job
from krogh.app.pages.frame import Here, apart, card, empty, table
from krogh.app.pages.runs import take_away
from krogh.app.views.brain import curve_figure, fitted_maps, scan_of
from krogh.app.views.scan import checks_table, protocol_of, volume_names
from krogh.errors import KroghError
from krogh.io.run_folder import read_run
from krogh.report.fexi_fit import regions_table

__all__ = ["Brain", "show_result", "show_volumes"]


class Brain(ui.element, component="../static/brain.js"):
    """Show maps over the anatomy, with one cross-hair for all."""

    def __init__(self, sources: list[str], anatomy: str, on_voxel: Any) -> None:
        super().__init__()
        self._props["sources"] = sources
        self._props["anatomy"] = anatomy
        self._props["name"] = f"brain{self.id}"
        self.on("voxel", on_voxel)

    def show(self, sources: list[str]) -> None:
        """Change the maps; the cross-hair stays."""
        self._props["sources"] = sources
        self.update()


def show_volumes(address: str, names: list[str]) -> None:
    """Show the volumes of a scan, one at a time, as they were acquired."""
    which = ui.select(dict(enumerate(names)), value=0, label="Volume").classes("w-full").props('data-testid="volume-of-scan"')
    viewer = Brain([f"{address}/0"], f"{address}/0", lambda _: None)
    which.on_value_change(lambda: viewer.show([f"{address}/{which.value}"]))


def _scan_of(job: Job) -> Any:
    protocol = next(job.result.glob("sub-*/dwi/*_desc-used_fexi.tsv"))
    return protocol_of(str(protocol), {}), scan_of(job.folder)


async def _scan(job: Job) -> None:
    try:
        plan, path = await apart(_scan_of, job)
        checks = await apart(checks_table, plan, path)
    except (KroghError, StopIteration, RuntimeError) as error:
        empty(f"The scan cannot be shown: {str(error)[:200]}")
        return
    table(checks, name="checks")
    show_volumes(f"/runs/{job.id}/scan", volume_names(plan))


def _beside(job: Job, name: str, maps: dict[str, Any]) -> list[str]:
    """Return the addresses of a map and of its uncertainty; of one without an SD the reasons stand beside it."""
    other = f"{name}Sd" if f"{name}Sd" in maps else "flag"
    return [f"/runs/{job.id}/map/{n}" for n in ([name] if other == name else [name, other])]


async def show_result(me: Here, job: Job) -> None:
    """Fill the right half of the page."""
    maps = await apart(fitted_maps, job.result)
    stored = read_run(job.result)
    names = [n for n in maps if not n.endswith(("Sd", "Low", "High")) and n != "s0"]
    with card("Maps on the brain"):
        if "s0" not in maps or not names:
            empty("This run holds no maps.")
            return
        first = "axr" if "axr" in names else names[0]
        which = ui.select(names, value=first, label="Map").props('data-testid="map"').style("min-width:12rem")
        ui.label("A map and its uncertainty; drag, or use the arrow keys, to move the cross-hair in both.").classes("krogh-soft")
        viewer = Brain(_beside(job, first, maps), f"/runs/{job.id}/map/s0", lambda e: voxel(e.args))
        which.on_value_change(lambda: viewer.show(_beside(job, which.value, maps)))
    with card("The voxel under the cross-hair"):
        words = ui.label("").props('data-testid="voxel-words"')
        box = ui.column().classes("w-full")
    with card("Regions"):
        table_of = stored.table("regions.tsv", most=200)
        if table_of:
            table(regions_table(table_of), name="regions")
        snr = stored.record.get("snr")
        ui.label(f"SNR {snr:.0f} in the unfiltered b = 0 volume." if isinstance(snr, (int, float)) else "SNR not known.").classes(
            "krogh-soft"
        )
    with card("The scan as it was acquired"), ui.expansion("Volumes and checks").classes("w-full") as opened:
        inside = ui.column().classes("w-full")

        async def look() -> None:
            if opened.value and not inside.default_slot.children:
                with inside:
                    await _scan(job)

        opened.on_value_change(look)
    with card("What this scan can tell"):
        for note in stored.notes or ("The voxels hold the exchange rate as far as this protocol allows.",):
            ui.label(note)
        ui.label("Bias to expect, from relaxation and crushers, is in 'What FEXI cannot tell' of the documentation.").classes(
            "krogh-soft"
        )
    with card("Take it with you"):
        take_away(job, me.place)

    async def voxel(number: Any) -> None:
        try:
            figure, text = await apart(curve_figure, job.folder, job.result, int(number), dark=me.dark)
        except (KroghError, ValueError, TypeError, StopIteration) as error:
            box.clear()
            words.set_text(str(error)[:200])
            return
        words.set_text(text)
        box.clear()
        with box:
            ui.plotly(figure).classes("w-full").props('data-testid="voxel-curve"')
