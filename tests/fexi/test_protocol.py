"""Protocols: what is refused, what is worked out, and the presets."""

import dataclasses

import numpy as np
import pytest

from krogh.errors import InputError
from krogh.fexi.presets import PRESETS, crusher_q_from_slice, preset
from krogh.fexi.protocol import Protocol

GOOD = {"filter_b": [0, 0, 250, 250], "b": [0, 250, 0, 250], "mixing_time_s": [0.02] * 4}

REFUSED = [
    ({"mixing_time_s": [20, 20, 200, 200]}, "looks like ms"),
    ({"b": [0, 0.25, 0, 0.25]}, "looks like ms/um2"),
    ({"filter_b": [0, 0, 0.25, 0.25]}, "looks like ms/um2"),
    ({"b": [0, 2.5e8, 0, 2.5e8]}, "looks like s/m2"),
    ({"b": [0, 250, 50, 250]}, "no volume with b = 0"),
    ({"b": [50, 250, 50, 50], "require_b0": False}, "at least two different b"),
    ({"filter_b": [250] * 4}, "no unfiltered pair"),
    ({"filter_b": [0] * 4}, "no filtered pair"),
    ({"b": [0, 250, 0]}, "one per volume"),
    ({"mixing_time_s": [0.02] * 5}, "one per volume"),
    ({"b": [0, -250, 0, 250]}, "finite value >= 0"),
    ({"b": [0, np.nan, 0, 250]}, "finite value >= 0"),
    ({"mixing_time_s": [0.02, np.inf, 0.02, 0.02]}, "finite value >= 0"),
    ({"b": ["zero", 250, 0, 250]}, "one number per volume"),
    ({"b": [0], "filter_b": [0], "mixing_time_s": [0]}, "at least 4"),
    ({"series": [1, 1, 1, 1]}, "one filter b and mixing time per series"),
    ({"series": [1, 1, 2.5, 2.5]}, "whole numbers"),
    ({"series": [1, 1, 2]}, "one per volume"),
    ({"directions": np.ones((4, 2))}, r"shape \(4, 3\)"),
    ({"echo_time_filter_s": -1.0}, "finite number >= 0"),
    ({"crusher_q_rad_m": [1.0, 2.0]}, "one per volume"),
    ({"crusher_q_rad_m": 6283.0, "crusher_b_per_second_s_m2_s": 4e7}, "one of the two"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        Protocol.from_s_mm2(**(GOOD | change))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("protocol.")


def test_series_are_worked_out_and_units_converted():
    protocol = preset("human-bbb")
    np.testing.assert_array_equal(protocol.series, [1, 1, 2, 2, 3, 3, 4, 4])
    assert protocol.b_s_m2.max() == protocol.filter_b_s_m2.max() == 250e6
    assert protocol.mixing_time_s.max() == pytest.approx(0.4)
    with pytest.raises(ValueError, match="read-only"):
        protocol.b_s_m2[0] = 1


def test_crusher_from_slice_and_from_b_per_second():
    assert crusher_q_from_slice(5e-3) == pytest.approx(6283.2, rel=1e-5)
    by_name, by_q = preset("bbb-crusher-2.5mm"), preset("bbb-crusher", crusher_q_rad_m=12566.37)
    np.testing.assert_allclose(by_name.crusher_b_s_m2, by_q.crusher_b_s_m2, rtol=1e-6)
    rate = dataclasses.replace(preset("bbb-crusher"), crusher_b_per_second_s_m2_s=12566.37**2)
    np.testing.assert_allclose(rate.crusher_b_s_m2, by_q.crusher_b_s_m2)
    human = preset("human-bbb", slice_thickness_m=1e-3)
    assert human.crusher_b_s_m2.max() == pytest.approx(395e6, rel=0.01)  # notes, section 1.4


def test_hash_and_equality_follow_the_content():
    first, again = preset("human-bbb"), preset("human-bbb")
    assert first == again
    assert first.content_hash() == again.content_hash()
    assert hash(first) == hash(again)
    assert first != dataclasses.replace(first, field_strength_t=3.0)
    assert first.take(np.arange(4)).n_series == 2


def test_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="human-bbb"):
        preset("human-bb")
    for name in PRESETS:
        assert preset(name).n_volumes in (8, 24)
