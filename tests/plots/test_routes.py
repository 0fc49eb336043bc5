from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.plots.conftest import check

from krogh.plots.routes import draw_routes


def test_bars_carry_the_amounts_both_ways(slab: xr.Dataset) -> None:
    figure = draw_routes(slab)
    check(figure)
    one, axis = slab.isel(compound=0), figure.axes[0]
    ends = [p.get_x() + p.get_width() for p in axis.patches]
    inward, outward = np.nan_to_num(one.route_inward.values), np.nan_to_num(one.route_outward.values)
    assert max(ends) == pytest.approx(inward.max() * 1e6, rel=1e-6)
    assert min(ends) == pytest.approx(-outward.max() * 1e6, rel=1e-6)
    assert "µmol/m²" in axis.get_xlabel()


def test_labels_have_unit_and_percent_and_the_net_is_said(slab: xr.Dataset) -> None:
    texts = [t.get_text() for t in draw_routes(slab).axes[0].texts]
    assert any("mol (99 %)" in t for t in texts)
    assert any(t.startswith("net ") and t.endswith(" in") for t in texts)


def test_routes_that_a_compound_does_not_use_are_left_out(slab: xr.Dataset) -> None:
    labels = [[t.get_text() for t in a.get_yticklabels()] for a in draw_routes(slab).axes]
    assert "LAT1" in labels[0]
    assert "P-gp" not in labels[0]
    assert "P-gp" in labels[list(slab.compound.values).index("morphine")]


def test_cylinder_counts_one_capillary(cylinder: xr.Dataset) -> None:
    figure = draw_routes(cylinder)
    check(figure)
    assert "mol]" in figure.axes[0].get_xlabel()
    assert "one capillary" in str(figure.get_label())


def test_one_nine_and_nothing(slab: xr.Dataset, nine: xr.Dataset) -> None:
    check(draw_routes(slab.isel(compound=[0])))
    check(draw_routes(nine))
    empty = slab.copy(deep=True)
    empty["route_inward"][:] = np.nan
    empty["route_outward"][:] = 0.0
    figure = draw_routes(empty)
    check(figure)
    assert any("nothing crossed" in t.get_text() for t in figure.axes[0].texts)
