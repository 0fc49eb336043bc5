"""Pictures of a block: labelled, inside the page, and of the right plane."""

import numpy as np
import pytest
import xarray as xr

import krogh
from krogh.errors import InputError
from krogh.plots.block import chosen_frames, draw_block, plane_index
from krogh.plots.profile import draw_profile
from krogh.plots.section import draw_section

from .conftest import check


@pytest.fixture(scope="module")
def leaky() -> xr.Dataset:
    pattern = {"route": "paracellular", "factor": 100.0, "radius": "6 um", "center": ["10 um", "30 um"]}
    block = {"cells": 20, "cells_y": 8, "cells_z": 8, "frames": 6, "patterns": [pattern]}
    return krogh.simulate("mannitol", geometry="block", dose="1 mM constant", duration="10 min", block=block).dataset


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_sections_are_labelled_and_inside_the_page(leaky, scale):
    figure = draw_block(leaky, scale=scale)
    check(figure)
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert "map of paracellular" in titles
    assert sum(t.startswith("after") for t in titles) >= 5


def test_profiles_are_labelled_and_inside_the_page(leaky):
    check(draw_profile(leaky))
    check(draw_profile(leaky, y_m=1e-6, z_m=39e-6, log=False))


def test_the_usual_section_of_a_block_is_its_plane(leaky):
    assert "Section through the block" in draw_section(leaky).get_label()


def test_the_plane_goes_through_what_a_map_marks(leaky):
    one = leaky.isel(compound=0)
    assert float(one.z[plane_index(one, "z", None)]) == pytest.approx(30e-6, abs=6e-6)
    assert float(one.y[plane_index(one, "y", None)]) == pytest.approx(10e-6, abs=6e-6)
    assert plane_index(one, "z", 1e-6) == 0
    with pytest.raises(InputError, match="0 to 40 um"):
        plane_index(one, "z", 41e-6)


def test_frames_rise_and_end(leaky):
    frames = chosen_frames(leaky.isel(compound=0))
    assert frames == sorted(set(frames))
    assert frames[-1] == leaky.frame.size - 1


def test_a_block_of_single_cells_can_be_drawn():
    block = {"cells": 20, "cells_y": 1, "cells_z": 1, "frames": 1}
    one = krogh.simulate("caffeine", geometry="block", dose="1 uM constant", duration="1 min", block=block).dataset
    check(draw_block(one))


def test_other_runs_have_no_block(slab):
    with pytest.raises(InputError, match="--geometry block"):
        draw_block(slab)


def test_an_empty_block_is_dark(leaky):
    empty = leaky.copy(deep=True)
    empty["field"] = empty["field"] * 0
    check(draw_block(empty))
    assert np.isfinite(draw_block(empty).get_size_inches()).all()
