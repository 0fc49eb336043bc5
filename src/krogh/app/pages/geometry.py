"""Ask what a block or a network needs beyond the settings of a slab: where the barrier differs, the tables of the vessels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nicegui import ui

from krogh.app.pages.frame import Here
from krogh.app.pages.uploads import upload
from krogh.errors import InputError

__all__ = ["example_network", "files_of_geometry", "geometry_fields", "settings_of_geometry"]

_ROUTES = {"": "nowhere", "paracellular": "open junctions", "P-gp": "P-gp", "passive": "passive crossing"}
_SHAPES = {"patch": "one round patch", "pores": "eight spots"}
_TABLES = {"nodes": "Nodes: node,x_m,y_m,z_m,pressure_Pa", "segments": "Segments: segment,node_a,node_b,radius_m"}


def example_network() -> dict[str, str]:
    """Return the two tables of a made-up network: one arteriole end that parts twice and comes together again."""
    places = [(0, 60, 40), (40, 60, 40), (80, 90, 60), (80, 30, 20), (120, 105, 40), (120, 75, 75), (120, 45, 10), (120, 15, 40),
              (160, 90, 60), (160, 30, 20), (200, 60, 40), (240, 60, 40)]  # fmt: skip
    links = [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7), (4, 8), (5, 8), (6, 9), (7, 9), (8, 10), (9, 10), (10, 11)]
    pressure = {0: "600", 11: "100"}
    nodes = [f"{i},{x}e-6,{y}e-6,{z}e-6,{pressure.get(i, '')}" for i, (x, y, z) in enumerate(places)]
    segments = [f"{i},{a},{b},{'4e-6' if {a, b} & {0, 11} else '2.8e-6'}" for i, (a, b) in enumerate(links)]
    return {
        "nodes.csv": "\n".join(["node,x_m,y_m,z_m,pressure_Pa", *nodes]) + "\n",
        "segments.csv": "\n".join(["segment,node_a,node_b,radius_m", *segments]) + "\n",
    }


def settings_of_geometry(form: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the chosen geometry that the form gives; none for slab and cylinder.

    Raises
    ------
    InputError
        If a network has no tables.
    """
    cells = int(form.get("cells") or 24)
    if form["geometry"] == "block":
        block: dict[str, Any] = {"cells": max(32, cells), "cells_y": cells, "cells_z": cells}
        if form.get("route"):
            pattern = {"route": form["route"], "shape": form["shape"], "factor": float(form["factor"])}
            block["patterns"] = [{**pattern, "radius": f"{float(form['radius']):g} um"}]
        return {"block": block}
    if form["geometry"] == "network":
        missing = [n for n in _TABLES if f"{n}.csv" not in form.get("files", {})]
        if missing and not form.get("example"):
            raise InputError("network", got=f"no table of {' and '.join(missing)}", expected="two CSV files, or the example")
        return {"network": {"nodes": "nodes.csv", "segments": "segments.csv", "cells": cells, "margin": "15 um"}}
    return {}


def files_of_geometry(form: dict[str, Any]) -> dict[str, str | Path]:
    """Return the files that go with the settings."""
    if form["geometry"] != "network":
        return {}
    return dict(example_network()) if form.get("example") else dict(form["files"])


def geometry_fields(me: Here, form: dict[str, Any], before: dict[str, Any], chosen: ui.select, largest: int) -> None:
    """Show the fields of the chosen geometry."""
    block = before.get("block", {})
    pattern: dict[str, Any] = next(iter(block.get("patterns", [])), {})
    form["files"] = {}
    solid = ui.column().classes("w-full").bind_visibility_from(chosen, "value", lambda v: v in ("block", "network"))
    with solid:
        held = block.get("cells_y") or before.get("network", {}).get("cells") or 24
        cells = ui.number("Cells a side: finer takes longer", value=held, min=8, max=64, step=8).classes("w-full")
        cells.props('data-testid="cells"').bind_value_to(form, "cells")
    with ui.column().classes("w-full").bind_visibility_from(chosen, "value", value="block"):
        _choice(form, "route", "Where the barrier differs", _ROUTES, pattern.get("route", ""))
        _choice(form, "shape", "As", _SHAPES, pattern.get("shape", "patch"))
        for key, label, value, most in (
            ("factor", "Density there over healthy (0: none)", 100, 1e6),
            ("radius", "Radius [µm]", 5, 500),
        ):
            held = float(str(pattern.get(key, value)).split()[0])
            ui.number(label, value=held, min=0, max=most).classes("w-full").bind_value_to(form, key)
    with ui.column().classes("w-full").bind_visibility_from(chosen, "value", value="network"):
        example = ui.switch("Take a made-up network of 14 capillaries", value=True).props('data-testid="example-network"')
        example.bind_value_to(form, "example")
        with ui.column().classes("w-full").bind_visibility_from(example, "value", value=False):
            for name, label in _TABLES.items():
                upload(me, label, (".csv",), largest, _keeper(form, name), name=f"upload-{name}")


def _choice(form: dict[str, Any], key: str, label: str, options: dict[str, str], value: str) -> None:
    field = ui.select(options, label=label, value=value if value in options else "").classes("w-full")
    field.props(f'data-testid="{key}"').bind_value_to(form, key)


def _keeper(form: dict[str, Any], name: str) -> Any:
    def keep(suffix: str, path: Path, shown: str) -> None:
        form["files"][f"{name}.csv"] = path

    return keep
