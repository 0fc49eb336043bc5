"""Measured curves: straight lines between samples, refusal of what is no curve."""

import numpy as np
import pytest

from krogh.blood.curve import CurveBlood, check_curve
from krogh.errors import InputError

T, C = np.array([0.0, 10.0, 40.0]), np.array([1.0, 3.0, 0.5])
FU = np.array([[0.25]])


def test_values_area_and_events():
    blood = CurveBlood(T, C, FU)
    assert [blood.total(t)[0, 0] for t in (0, 5, 10, 25, 40, 99)] == pytest.approx([1, 2, 3, 1.75, 0.5, 0.5])
    assert blood.free(5.0)[0, 0] == pytest.approx(0.5)
    assert blood.auc_total(40.0)[0, 0] == pytest.approx(20 + 52.5)
    assert blood.auc_total(25.0)[0, 0] == pytest.approx(20 + 0.5 * (3 + 1.75) * 15)
    assert blood.auc_total(60.0)[0, 0] == pytest.approx(72.5 + 10)
    np.testing.assert_array_equal(blood.events(40.0), [10.0])


def test_before_the_first_sample_it_rises_from_nothing():
    blood = CurveBlood(T[1:], C[1:], FU)
    assert [blood.total(t)[0, 0] for t in (0, 5, 10)] == pytest.approx([0, 1.5, 3])
    assert blood.auc_total(10.0)[0, 0] == pytest.approx(15)


def test_other_species_are_absent_from_blood():
    blood = CurveBlood(T, C, np.array([[1.0, 0.5]]), index=1)
    np.testing.assert_allclose(blood.total(10.0), [[0.0, 3.0]])


@pytest.mark.parametrize(
    ("t", "c", "word"),
    [
        ([0.0], [1.0], "at least 2"),
        ([0.0, 1.0], [1.0], "at least 2"),
        ([0.0, 0.0], [1.0, 1.0], "line 3"),
        ([0.0, 2.0, 1.0], [1.0, 1.0, 1.0], "line 4"),
        ([0.0, np.nan], [1.0, 1.0], "line 3"),
        ([0.0, 1.0], [1.0, np.inf], "line 3"),
        ([-1.0, 1.0], [1.0, 1.0], "line 2"),
        ([0.0, 1.0], [1.0, -1.0], "line 3"),
    ],
)
def test_what_is_no_curve_is_refused_with_its_line(t, c, word):
    with pytest.raises(InputError, match=word):
        check_curve(np.array(t), np.array(c), "plasma.csv")
    check_curve(T, C, "plasma.csv")
