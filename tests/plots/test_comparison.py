from __future__ import annotations

import pytest
import xarray as xr
from tests.plots.conftest import check

from krogh.errors import InputError
from krogh.plots.comparison import comparison_words, draw_comparison, formed_label


@pytest.mark.parametrize("geometry", ["slab", "cylinder"])
def test_side_by_side_on_one_concentration_axis(geometry: str, request: pytest.FixtureRequest) -> None:
    figure = draw_comparison(request.getfixturevalue(geometry))
    check(figure)
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert len(left.lines) == 5
    assert len(right.lines) == 3
    assert figure.texts[0].get_text() == "Why levodopa gets in and dopamine does not"


def test_words_say_why_with_the_numbers_of_the_run(slab: xr.Dataset) -> None:
    names = list(slab.compound.values)
    a, formed, b = (slab.isel(compound=names.index(n)) for n in ("levodopa", "dopamine (from levodopa)", "dopamine"))
    first, second = comparison_words(a, b, formed)
    assert "a carrier takes it across" in first
    assert "LAT1 99 %" in first
    assert "The brain makes dopamine of it" in first
    assert "no carrier takes it" in second
    assert "leaks in" in second


def test_without_the_formed_compound_and_for_other_pairs(slab: xr.Dataset) -> None:
    names = list(slab.compound.values)
    rest = slab.isel(compound=[names.index("morphine"), names.index("levodopa")])
    assert formed_label(rest, "levodopa", "dopamine") is None
    figure = draw_comparison(rest, "morphine", "levodopa")
    check(figure)
    assert figure.texts[0].get_text() == "Morphine beside levodopa"


def test_missing_curves(holed: xr.Dataset) -> None:
    check(draw_comparison(holed))


def test_absent_compound_is_refused(slab: xr.Dataset) -> None:
    with pytest.raises(InputError, match="caffeine"):
        draw_comparison(slab, "caffeine")
