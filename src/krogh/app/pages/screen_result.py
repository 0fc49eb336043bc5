"""Show a finished screen: any two numbers against each other, the ranking, each molecule, and what was rejected."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from nicegui import ui

from krogh.app.jobs import Job
from krogh.app.pages.frame import Here, apart, card, empty, say, table
from krogh.app.pages.property_card import property_card, structure_svg
from krogh.app.pages.runs import take_away
from krogh.app.views.screen import AXES, molecule_table, read_screen, scatter_figure
from krogh.errors import InputError, KroghError
from krogh.io.run_folder import read_run
from krogh.report.generic import stored_table

__all__ = ["show_result"]

_MOST_REJECTS = 200
Record = dict[str, Any]


class Ranked(ui.element, component="../static/ranked.js"):
    """Show the ranking; a name calls `on_molecule` with the row of the molecule."""

    def __init__(self, source: str, on_molecule: Callable[[Any], None]) -> None:
        super().__init__()
        self._props["source"] = source
        self._props["name"] = f"ranked{self.id}"
        self.on("molecule", lambda e: on_molecule(e.args))


async def show_result(me: Here, job: Job) -> None:
    """Fill the right half of the page."""
    try:
        records = await apart(read_screen, job.result)
    except KroghError as error:
        say(error)
        return
    stored = read_run(job.result).table("rejects.csv", most=_MOST_REJECTS)
    rejected = len(stored.rows) + stored.left_out if stored else 0
    opened = _opener(records)
    with card("Ranking"):
        ui.label(f"{len(records) + rejected} rows: {len(records)} screened, {rejected} rejected.").props('data-testid="count"')
        if records:
            ui.label("Kp,uu to three digits, then permeability. A heading sorts, a name opens its molecule.").classes(
                "krogh-soft"
            )
            Ranked(f"/runs/{job.id}/screen", opened)
        else:
            empty("No molecule could be screened; the reasons are below.")
    if records:
        with card("One against the other"):
            _scatter(me, records, opened)
    if stored and stored.rows:
        with card(f"Rejected: {rejected}"):
            table(stored_table(stored), name="rejects")
    with card("Take it with you"):
        take_away(job, me.place)


def _scatter(me: Here, records: list[Record], opened: Callable[[Any], None]) -> None:
    choices = {key: axis.label for key, axis in AXES.items()}
    with ui.row().classes("items-center"):
        x = ui.select(choices, value="tpsa_A2", label="Across").props('data-testid="x"').style("min-width:13rem")
        y = ui.select(choices, value="permeability_intrinsic_m_s", label="Up").props('data-testid="y"').style("min-width:13rem")
    box = ui.column().classes("w-full gap-1")

    def draw() -> None:
        box.clear()
        with box:
            figure, missing = scatter_figure(records, x.value, y.value, dark=me.dark)
            plot = ui.plotly(figure).classes("w-full").props('data-testid="scatter"')
            plot.on("plotly_click", lambda e: opened((e.args.get("points") or [{}])[0].get("customdata")))
            words = "Bars: 90 % interval of a prediction. A click opens the molecule; the table does the same from the keyboard."
            ui.label(words + (f" {missing} molecules lack one of the two." if missing else "")).classes("krogh-soft")

    x.on_value_change(draw)
    y.on_value_change(draw)
    draw()


def _opener(records: list[Record]) -> Callable[[Any], None]:
    """Return a function that shows the molecule of a row, with steps to the next and the one before by rank."""
    places = {int(r["row"]): k for k, r in enumerate(records)}
    with ui.dialog().props('aria-label="molecule"') as dialog, ui.card().classes("krogh-molecule"):
        inside = ui.column().classes("w-full gap-2")

    def show(place: int) -> None:
        inside.clear()
        with inside:
            with ui.row().classes("items-center w-full justify-between no-wrap"):
                with ui.row().classes("gap-2"):
                    for words, step, icon in (("better ranked", -1, "‹"), ("worse ranked", 1, "›")):
                        button = ui.button(icon, on_click=lambda step=step: show(place + step))
                        button.props(f'outline dense no-caps padding="xs md" aria-label="{words}"')
                        button.set_enabled(0 <= place + step < len(records))
                ui.button("Close", on_click=dialog.close).props('outline dense no-caps padding="xs md"')
            _molecule(records[place], len(records))
        dialog.open()

    def opened(row: Any) -> None:
        if isinstance(row, (int, float)) and int(row) in places:
            show(places[int(row)])

    return opened


def _molecule(record: Record, count: int) -> None:
    name = record["name"] or "no name"
    ui.label(name).style("font-weight:650;font-size:1.1rem;overflow-wrap:anywhere").props('data-testid="molecule-name"')
    ui.label(f"rank {record['rank']:.0f} of {count}, row {record['row']:.0f} of the table").classes("krogh-soft")
    drawing = structure_svg(record["smiles"])
    if drawing:  # as an image: a drawing from a stranger's text runs nothing
        address = "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")
        picture = ui.element("img").props(f'src="{address}" data-testid="structure"').classes("krogh-structure")
        picture._props["alt"] = f"structure of {name}"
    ui.label(record["smiles"]).classes("krogh-mono krogh-soft")
    if record["outside_because"]:
        ui.label(f"Outside of the domain of the prediction: {record['outside_because']}").classes("krogh-warn")
    for key, words in (("assumed", "Assumed"), ("notes", "Note")):
        if record[key]:
            ui.label(f"{words}: {record[key]}").classes("krogh-soft")
    table(molecule_table(record), name="molecule-card")
    _known(record["molecule"])


def _known(molecule: str) -> None:
    """Show what the library holds, where the molecule was asked for by name."""
    from krogh.compounds import get_compound

    try:
        compound = get_compound(molecule)
    except InputError:
        return
    property_card(compound)
