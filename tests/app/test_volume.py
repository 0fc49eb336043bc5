"""The volume of the page: it holds the fields of the run, turns, plays, and its pixels follow time and angle."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.app.conftest import Page
from tests.app.made import solid_job
from tests.app.test_browser import Visit

import krogh
from krogh.app.pages.geometry import example_network, files_of_geometry, settings_of_geometry
from krogh.app.views.volume import MOST_CELLS, pack_volume
from krogh.app.workspace import Place, open_workspace
from krogh.errors import InputError
from krogh.io.store import open_results
from krogh.runs.config import build_config


@pytest.fixture(scope="module")
def solids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the job folders of a block and of a network, in one workspace."""
    workspace = tmp_path_factory.mktemp("solid") / "work"
    open_workspace(workspace, ("me",))
    place = Place("me", workspace / "me")
    return {name: place.runs / solid_job(place, name) for name in ("block", "network")}


def _values(packed: dict[str, Any], text: str) -> np.ndarray:
    share = np.frombuffer(base64.b64decode(text), np.uint8) / 255
    return packed["low"] * (packed["high"] / packed["low"]) ** share


def test_volume_of_a_block_is_its_field(solids: dict[str, Path]) -> None:
    one = open_results(solids["block"] / "result").isel(compound=0)
    packed = json.loads(json.dumps(pack_volume(one)))
    values = _values(packed, packed["values"]).reshape(packed["shape"])
    field = (
        one["field"].transpose("frame", "x", "y", "z").values / {"pM": 1e-9, "nM": 1e-6, "µM": 1e-3, "mM": 1.0}[packed["unit"]]
    )
    step = (packed["high"] / packed["low"]) ** (1 / 255)
    for shown, held, steps in ((values[:, 0], field[:, 0], 0.51), (values[:, -1], field[:, -1], 1.0)):  # thin cells: the next one
        assert np.abs(np.log(shown / np.clip(held, packed["low"], packed["high"]))).max() <= steps * np.log(step)
    assert [p["name"] for p in packed["planes"]][:2] == ["lumen", "endothelium"]
    assert packed["planes"][0]["at"] == 0.0
    assert packed["stored"] == one.sizes["frame"]


def test_volume_of_a_network_holds_vessels_inside_the_box(solids: dict[str, Path]) -> None:
    one = open_results(solids["network"] / "result").isel(compound=0)
    packed = json.loads(json.dumps(pack_volume(one)))
    ends, size = np.array(packed["vessels"]["ends_um"]), packed["edges_um"]
    assert (ends >= 0).all()
    assert (ends.reshape(-1, 3) <= np.array(size) + 1e-6).all()
    length = np.linalg.norm(ends[:, 3:] - ends[:, :3], axis=1).sum()
    nodes = np.array([[float(c) for c in row.split(",")[1:4]] for row in example_network()["nodes.csv"].splitlines()[1:]])
    links = np.array([[int(c) for c in row.split(",")[1:3]] for row in example_network()["segments.csv"].splitlines()[1:]])
    assert length == pytest.approx(1e6 * np.linalg.norm(nodes[links[:, 0]] - nodes[links[:, 1]], axis=1).sum(), rel=1e-4)
    blood = _values(packed, packed["vessels"]["values"])
    assert blood.size == packed["shape"][0] * len(ends)


def test_a_fine_field_is_thinned_and_a_slab_has_none() -> None:
    shape = {"cells": 70, "cells_y": 70, "cells_z": 1, "frames": 2}
    run = krogh.simulate("mannitol", dose="1 uM constant", geometry="block", duration="1 s", block=shape)
    packed = pack_volume(run.dataset.isel(compound=0))
    assert packed["shape"] == [2, MOST_CELLS, MOST_CELLS, 1]
    slab = krogh.simulate("mannitol", dose="1 uM constant", duration="1 s", cells=16)
    with pytest.raises(InputError, match="block or network"):
        pack_volume(slab.dataset.isel(compound=0))


def test_settings_of_a_geometry_are_those_of_the_command() -> None:
    form = {"geometry": "block", "cells": 16, "route": "P-gp", "shape": "pores", "factor": 0, "radius": 2}
    block = build_config({"compounds": ["morphine"], "geometry": "block", **settings_of_geometry(form)}).block
    assert (block.cells, block.cells_y, block.patterns[0].route, block.patterns[0].factor) == (32, 16, "P-gp", 0.0)
    assert settings_of_geometry({**form, "route": ""})["block"].get("patterns") is None
    assert settings_of_geometry({"geometry": "slab"}) == {}
    with pytest.raises(InputError, match="no table of segments"):
        settings_of_geometry({"geometry": "network", "files": {"nodes.csv": Path("x")}})
    assert set(files_of_geometry({"geometry": "network", "example": True})) == {"nodes.csv", "segments.csv"}


def test_volume_follows_time_angle_and_keyboard(browser: Any, pages: Callable[..., Page], solids: dict[str, Path]) -> None:
    page = pages(workspace=solids["block"].parents[2])
    visit = Visit(browser, page)
    visit.tab.set_default_timeout(120_000)
    for folder in solids.values():
        visit.go(f"{page.base}/?run={folder.name}")
        visit.tab.wait_for_function("document.querySelector('[data-testid=volume]')?.width > 300")
        visit.find("volume").scroll_into_view_if_needed()
        for name, key in (("volume-time", "Home"), ("volume", "ArrowLeft"), ("volume-above", "End"), ("volume-cut", "Home")):
            before = visit.pixels("volume")
            visit.find(name).focus()
            visit.tab.keyboard.press(key)
            if visit.find("volume-cut").input_value() == "0" and name == "volume-cut":
                continue  # it was whole already, or nothing is above the limit
            visit.tab.wait_for_function(f"document.querySelector('[data-testid=volume]').toDataURL() !== {json.dumps(before)}")
        visit.find("volume-play").click()
        visit.tab.wait_for_function("+document.querySelector('[data-testid=volume-time]').value > 50")
        assert "arrow keys turn it" in str(visit.find("volume").get_attribute("aria-label"))
    assert visit.foreign == []
    assert visit.problems == []
    visit.context.close()
