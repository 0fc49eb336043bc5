"""Pictures of a block: labelled, inside the page, and of the right plane."""

import numpy as np
import pytest
import xarray as xr

import krogh
from krogh.errors import InputError
from krogh.plots.block import chosen_frames, draw_block, plane_index
from krogh.plots.profile import draw_profile
from krogh.plots.render import _marked
from krogh.plots.section import draw_section
from krogh.plots.volume import render_volume

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


def test_a_profile_jumps_at_membranes_only(leaky):
    lines = [line for line in draw_profile(leaky).axes[0].lines if len(line.get_xdata()) > 3][:10]
    ends = {}
    for solid in lines[0:10:2]:  # the bands of one time, from blood to tissue
        ends[float(solid.get_xdata()[0])] = (float(solid.get_ydata()[0]), float(solid.get_ydata()[-1]))
    values = [ends[x] for x in sorted(ends)]
    tissue, before = values[-1][0], values[-2][1]  # end-feet and interstitium touch without a membrane
    assert tissue == pytest.approx(before, rel=0.05)
    assert abs(values[1][0] / values[0][1] - 1) > 0.2  # the luminal membrane


def test_what_a_map_marks_does_not_hang_on_its_largest_value():
    density = np.ones((8, 8))
    density[2:5, 2:5], density[6, 6] = 100.0, 1e5
    np.testing.assert_array_equal(_marked(density), density > 1)
    np.testing.assert_array_equal(_marked(np.where(density > 1, 0.0, 1.0)), density > 1)
    np.testing.assert_array_equal(_marked(np.where(density > 1, 1.2, 1.0)), density > 1)


def test_the_caption_of_a_volume_stands_alone(leaky, tmp_path, monkeypatch):
    scenes = []
    monkeypatch.setattr("krogh.plots.volume.run_renderer", lambda words, arrays: scenes.append((words, arrays)))
    monkeypatch.setattr("krogh.plots.volume.importlib.util.find_spec", lambda name: name)
    render_volume(leaky, tmp_path / "v.png", at_s=10.0)
    words, arrays = scenes[0]
    assert "A block of 40 x 40 µm" in words["caption"]
    assert "White surfaces are where it is" in words["caption"]
    assert "Orange" in words["caption"]
    assert len(words["faces"]) == len(words["layers"]) - 1
    assert all(np.abs(arrays["x"] - face).min() < 1e-9 for face in words["faces"])


def test_a_view_of_another_geometry_says_what_to_draw_instead():
    slab = krogh.simulate("caffeine", dose="1 mM constant", duration="10 s", cells=20).dataset
    with pytest.raises(InputError, match=r"another geometry, expected a run with --geometry block; use --view section, or all"):
        draw_profile(slab)
