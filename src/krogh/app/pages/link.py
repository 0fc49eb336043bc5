"""The page Link: permeability of the barrier to water, from a scan, beside its permeability to drugs, from a simulation."""

from __future__ import annotations

import math
from typing import Any

from fastapi import Request
from nicegui import ui

from krogh.app.jobs import Job, list_jobs
from krogh.app.pages.frame import PATIENCE_S, Here, apart, card, empty, frame, here, say
from krogh.app.views.figures import CYCLE, layout
from krogh.app.workspace import Workspace
from krogh.errors import KroghError
from krogh.io.run_folder import read_run

__all__ = ["link_figure", "register"]


def _water(job: Job) -> list[tuple[str, float, float, float]]:
    """Return region, P, low and high [m/s]; the interval of P is that of the exchange rate, whose multiple P is."""
    stored = read_run(job.result).table("regions.tsv", most=200)
    found = []
    for row in stored.rows if stored else ():
        cells = dict(zip(stored.columns, row, strict=False)) if stored else {}
        rate = "axr" if "axr" in cells else "k"
        p, value = _float(cells.get("p")) * 1e-6, _float(cells.get(rate))
        low, high = (_float(cells.get(f"{rate}_{end}")) for end in ("low", "high"))
        if not (math.isfinite(low) or math.isfinite(high)):
            continue  # nothing is known of this region
        if p > 0 and value > 0:
            found.append((cells.get("region", ""), p, p * low / value, p * high / value))
    return found


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:  # n/a: an open end
        return math.nan


def _drugs(job: Job) -> list[tuple[str, float]]:
    from krogh.io.store import open_results

    data = open_results(job.result)
    values = [(str(n), float(data["permeability_m_s"].sel(compound=n))) for n in data["compound"].values]
    return [(n, p) for n, p in values if math.isfinite(p) and p > 0]


def link_figure(
    water: list[tuple[str, float, float, float]], drugs: list[tuple[str, float]], *, dark: bool = False
) -> dict[str, Any]:
    """Return water and drugs on one logarithmic axis of permeability [um/s]."""
    data: list[dict[str, Any]] = []
    if water:
        up = [(h - p) * 1e6 if math.isfinite(h) else 0.0 for _, p, _, h in water]
        down = [(p - low) * 1e6 if math.isfinite(low) else 0.0 for _, p, low, _ in water]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "water, measured (95 % interval)",
                "x": [p * 1e6 for _, p, *_ in water],
                "y": [f"water, {n}" + ("" if math.isfinite(h) else " (no upper end)") for n, *_, h in water],
                "marker": {"size": 12, "color": CYCLE[0]},
                "error_x": {"type": "data", "array": up, "arrayminus": down, "symmetric": False},
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "drugs, simulated",
            "x": [p * 1e6 for _, p in drugs],
            "y": [n for n, _ in drugs],
            "marker": {"size": 12, "color": CYCLE[1], "symbol": "diamond"},
        }
    )
    x = {"title": {"text": "permeability [µm/s]"}, "type": "log", "exponentformat": "power"}
    shape = layout(
        dark, height=170 + 34 * (len(water) + len(drugs)), xaxis=x, yaxis={"autorange": "reversed"}, hovermode="closest"
    )
    return {"data": data, "layout": shape, "config": {"displayModeBar": False, "responsive": True}}


def register(workspace: Workspace) -> None:
    """Add the page."""

    @ui.page("/link", response_timeout=PATIENCE_S)
    def link(request: Request) -> None:
        me = here(request, workspace)
        with frame(me, "/link"):
            ui.html("<h1 style='font-size:1.4rem;margin:.8rem 0'>Water beside drugs</h1>", sanitize=False)
            jobs = [j for j in list_jobs(me.place) if j.state == "done"]
            scans, drugs = ({j.id: j.title for j in jobs if j.kind == kind} for kind in ("measure", "cross"))
            if not scans or not drugs:
                missing = " and ".join(
                    n for n, held in (("a finished run of Measure", scans), ("a finished run of Cross", drugs)) if not held
                )
                empty(f"This page puts both halves side by side. It needs {missing}.")
                return
            with card("Permeability of the same barrier"):
                with ui.row():
                    scan = ui.select(scans, value=next(iter(scans)), label="Water from").style("min-width:16rem")
                    drug = ui.select(drugs, value=next(iter(drugs)), label="Drugs from").style("min-width:16rem")
                box = ui.column().classes("w-full")
                by_id = {j.id: j for j in jobs}

                async def draw() -> None:
                    await _draw(me, box, by_id[scan.value], by_id[drug.value])

                scan.on_value_change(draw)
                drug.on_value_change(draw)
                with box:
                    ui.label("Reading both runs ...").classes("krogh-soft")
                ui.timer(0.0, draw, once=True)  # after the page is there: the server waits only 3 s for a page


async def _draw(me: Here, box: ui.column, scan: Job, drug: Job) -> None:
    try:
        water, drugs = await apart(_water, scan), await apart(_drugs, drug)
    except KroghError as error:
        say(error)
        return
    box.clear()
    with box:
        ui.plotly(link_figure(water, drugs, dark=me.dark)).classes("w-full").props('data-testid="link"')
        settings = drug.about.get("settings", {})
        state = {k: settings[k] for k in ("leak_factor", "pericyte_coverage", "efflux", "amino_acids") if k in settings}
        words = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in state.items() if v not in (1, 1.0, {}))
        ui.label(f"State of the barrier in the simulation: {words or 'healthy'}. In the scan: as it was.").classes("krogh-soft")
        ui.label(
            "P of water is k_ie r / 2 with the stated capillary radius; its interval is that of the exchange rate alone. "
            "Water crosses through membranes and channels: a raised P of water is no proof that the junctions let a drug pass."
        ).classes("krogh-soft")
