from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.plots.conftest import check

from krogh.plots.style import CURVES
from krogh.plots.timecourse import draw_timecourse


@pytest.mark.parametrize("log", [True, False])
def test_one_panel_per_compound_with_dose_and_ratio(slab: xr.Dataset, log: bool) -> None:
    figure = draw_timecourse(slab, log=log)
    check(figure)
    assert len(figure.axes) == slab.sizes["compound"]
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert titles[0] == "levodopa, 100 mg oral"
    notes = [t.get_text() for t in figure.axes[0].texts]
    assert any(n.startswith("Kp,uu 0.1") and "permeability-limited" in n for n in notes)


def test_legend_names_every_matrix_as_free_or_total(slab: xr.Dataset) -> None:
    labels = [t.get_text() for t in draw_timecourse(slab).legends[0].get_texts()]
    assert labels == [c.label for c in CURVES]
    assert all("free" in label or "total" in label for label in labels)


def test_formed_compound_has_no_plasma_curve_but_the_others(slab: xr.Dataset) -> None:
    names = list(slab.compound.values)
    axis = draw_timecourse(slab).axes[names.index("dopamine (from levodopa)")]
    colours = {line.get_color() for line in axis.lines}
    assert colours == {c.colour for c in CURVES if not c.variable.startswith("plasma")}
    assert any("formed inside" in t.get_text() for t in axis.texts)


def test_floor_shows_the_peak_of_every_curve(slab: xr.Dataset) -> None:
    for axis in draw_timecourse(slab).axes:
        low, high = axis.get_ylim()
        for line in axis.lines:
            assert low < np.nanmax(line.get_ydata()) < high


@pytest.mark.parametrize("count", [1, 9])
def test_few_and_many_compounds(slab: xr.Dataset, nine: xr.Dataset, count: int) -> None:
    figure = draw_timecourse(nine if count == 9 else slab.isel(compound=[0]))
    check(figure)
    assert len(figure.axes) == count


def test_missing_curves(holed: xr.Dataset) -> None:
    check(draw_timecourse(holed))
    everything = xr.full_like(holed["neuron"], np.nan)
    figure = draw_timecourse(holed.assign({c.variable: everything for c in CURVES}))
    check(figure)
    assert any("no concentration" in t.get_text() for t in figure.axes[0].texts)


def test_cylinder(cylinder: xr.Dataset) -> None:
    check(draw_timecourse(cylinder))


def test_more_than_24_compounds_are_said(nine: xr.Dataset) -> None:
    many = nine.isel(compound=[i % 9 for i in range(26)])
    figure = draw_timecourse(many)
    assert len(figure.axes) == 24
    assert "first 24 of 26" in " ".join(t.get_text() for t in figure.texts)
