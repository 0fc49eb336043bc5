"""Small runs to draw, and checks that hold for every picture."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import krogh
from krogh.plots.style import NOTICE, house_style


@pytest.fixture(scope="session")
def slab() -> xr.Dataset:
    return krogh.simulate("levodopa", "dopamine", "morphine", cells=24, duration="3 h").dataset


@pytest.fixture(scope="session")
def cylinder() -> xr.Dataset:
    return krogh.simulate("levodopa", "dopamine", geometry="cylinder", cells=24, cells_along=5, duration="3 h").dataset


@pytest.fixture(scope="session")
def nine(slab: xr.Dataset) -> xr.Dataset:
    one = slab.isel(compound=[0])
    parts = []
    for i in range(9):
        part = one.assign_coords(compound=[f"compound {i}"])
        part["plasma_free"] = part["plasma_free"] * 10.0 ** (i - 6)
        parts.append(part)
    return xr.concat(parts, dim="compound", data_vars="minimal", coords="minimal", compat="override", join="override")


@pytest.fixture
def holed(slab: xr.Dataset) -> xr.Dataset:
    """A run with curves that are missing, in whole or in part."""
    data = slab.copy(deep=True)
    data["neuron"][0] = np.nan
    data["plasma_free"][0, 50:] = np.nan
    data["plasma_total"][0] = np.nan
    data["profile"][0, 60:90] = np.nan
    data["kp_uu"][1] = np.nan
    return data


def check(figure: Figure) -> None:
    """Assert what a journal asks of every figure: labels with units, a caption, nothing cut off, no legend over data."""
    with house_style():
        figure.canvas.draw()
        _check_axes(figure)
        captions = [t.get_text() for t in figure.texts if t.get_gid() == "caption"]
        assert len(captions) >= 2
        assert captions[-1] == NOTICE
        assert len(" ".join(captions)) > 150
        _check_inside(figure)
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert not any(box.overlaps(a.get_window_extent()) for a in figure.axes)


def _check_axes(figure: Figure) -> None:
    assert figure.axes
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            label = axis.get_label_text()
            if any(t.get_text() and t.get_visible() for t in axis.get_ticklabels()):
                assert re.search(r"\[.+\]", label) or label == "route", (axes.get_title(loc="left"), label)


def _check_inside(figure: Figure) -> None:
    drawn = [("axes", a.get_tightbbox()) for a in figure.axes]
    drawn += [(t.get_text(), t.get_window_extent()) for t in figure.texts]
    drawn += [("legend", legend.get_window_extent()) for legend in figure.legends]
    for what, box in drawn:
        assert box is not None
        assert box.x0 >= -1, what
        assert box.y0 >= -1, what
        assert box.x1 <= figure.bbox.width + 1, what
        assert box.y1 <= figure.bbox.height + 1, what
