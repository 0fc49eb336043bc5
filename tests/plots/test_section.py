from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from tests.plots.conftest import check

from krogh.errors import InputError
from krogh.plots.bands import layer_bands, snapshots
from krogh.plots.section import colour_range, draw_section


@pytest.mark.parametrize("index", [0, 1, 2])
def test_slab(slab: xr.Dataset, index: int) -> None:
    figure = draw_section(slab, str(slab.compound.values[index]))
    check(figure)
    image, profile, bar = figure.axes
    assert len([c for c in image.collections if isinstance(c, QuadMesh)]) == 4 + 3
    assert 4 <= len(profile.get_legend().get_texts()) <= 6
    assert "[" in bar.get_ylabel()


def test_cylinder_shows_blood_and_layers_at_single_times(cylinder: xr.Dataset) -> None:
    for name in cylinder.compound.values:
        figure = draw_section(cylinder, str(name))
        check(figure)
        images = [a for a in figure.axes if any(isinstance(c, QuadMesh) for c in a.collections) and a.get_xlabel()]
        assert 3 <= len(images) <= 4
        assert all(len([c for c in a.collections if isinstance(c, QuadMesh)]) == 5 for a in images)


def test_every_layer_is_seen_with_its_true_thickness(slab: xr.Dataset) -> None:
    bands = layer_bands(slab)
    assert [b.name for b in bands] == ["endothelium", "basement membrane", "end-feet", "interstitium"]
    assert [b.size for b in bands][:3] == ["300 nm", "50 nm", "1 µm"]
    total = bands[-1].edges[-1] - bands[0].edges[0]
    for band, after in zip(bands, [*bands[1:], None], strict=True):
        assert np.all(np.diff(band.edges) > 0)
        assert (band.edges[-1] - band.edges[0]) / total > 0.1
        if after is not None:
            assert after.edges[0] == pytest.approx(band.edges[-1])
            assert after.start_m == pytest.approx(band.end_m)
    assert bands[-1].end_m == pytest.approx(float(slab.cell_width.sum()))


def test_colours_reach_from_the_faintest_peak_to_the_highest(slab: xr.Dataset) -> None:
    for i in range(slab.sizes["compound"]):
        one = slab.isel(compound=i)
        low, high = colour_range(one)
        for name in ("endothelium", "interstitium", "neuron"):
            assert low < float(one[name].max()) <= high * (1 + 1e-12)


def test_image_repeats_the_data(slab: xr.Dataset) -> None:
    """Rows between samples are interpolated; they stay within the neighbours."""
    one = slab.isel(compound=0)
    image = draw_section(slab).axes[0]
    lumen = [c for c in image.collections if isinstance(c, QuadMesh)][4].get_array()
    assert lumen is not None
    assert float(np.max(lumen)) == pytest.approx(float(one.plasma_free.max()) * 1e3, rel=0.02)


def test_times_are_different_and_end_while_drug_is_there(slab: xr.Dataset) -> None:
    one = slab.isel(compound=0)
    chosen = snapshots(one, 6, 0.0)
    assert chosen == sorted(set(chosen))
    assert chosen[0] > 0


def test_time_axis_is_linear_for_repeated_doses_or_on_request(slab: xr.Dataset) -> None:
    assert draw_section(slab).axes[0].get_yscale() == "log"
    figure = draw_section(slab, log_time=False)
    check(figure)
    assert figure.axes[0].get_yscale() == "linear"
    twice = slab.copy(deep=True)
    half = slab.sizes["time"] // 2
    twice["plasma_free"][:, half:] = slab["plasma_free"].values[:, : slab.sizes["time"] - half]
    assert draw_section(twice).axes[0].get_yscale() == "linear"


def test_missing_values(holed: xr.Dataset) -> None:
    check(draw_section(holed, "levodopa"))


def test_single_column_of_cells(cylinder: xr.Dataset) -> None:
    check(draw_section(cylinder.isel(z=[2])))


def test_unknown_compound_is_refused_with_the_nearest_name(slab: xr.Dataset) -> None:
    with pytest.raises(InputError, match="did you mean levodopa"):
        draw_section(slab, "levodpa")
    assert draw_section(slab, "LEVODOPA").axes
