"""Charge at a pH, against values worked out by hand and against limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krogh.compounds import Compound, Value, mean_charge, neutral_fraction
from krogh.errors import InputError


def compound(acids=(), bases=()):
    return Compound("x", pka_acid=tuple(Value(p, "t", "A") for p in acids), pka_base=tuple(Value(p, "t", "A") for p in bases))


def test_monoprotic_acid_and_base_by_hand():
    assert neutral_fraction(compound([4.4]), 7.4) == pytest.approx(1 / 1001)
    assert mean_charge(compound([4.4]), 7.4) == pytest.approx(-1000 / 1001)
    assert neutral_fraction(compound((), [9.4]), 7.4) == pytest.approx(1 / 101)
    assert mean_charge(compound((), [9.4]), 7.4) == pytest.approx(100 / 101)


def test_half_charged_at_the_pka():
    assert neutral_fraction(compound([7.0]), 7.0) == pytest.approx(0.5)
    assert neutral_fraction(compound((), [7.0]), 7.0) == pytest.approx(0.5)


def test_zwitterion_is_not_neutral_although_its_mean_charge_is_zero():
    glycine_like = compound([2.0], [10.0])
    assert mean_charge(glycine_like, 6.0) == pytest.approx(0.0, abs=1e-12)
    assert neutral_fraction(glycine_like, 6.0) == pytest.approx(1e-8, rel=1e-3)


def test_several_sites_multiply():
    assert neutral_fraction(compound([3.0, 7.0], [8.0]), 7.0) == pytest.approx(1 / 10001 * 0.5 * 1 / 11)


def test_no_site_is_neutral():
    assert neutral_fraction(compound(), 7.4) == 1.0
    assert mean_charge(compound(), 7.4) == 0.0


@pytest.mark.parametrize("ph", [math.nan, math.inf])
def test_ph_must_be_finite(ph):
    with pytest.raises(InputError, match="pH"):
        neutral_fraction(compound([4.0]), ph)


PKA = st.lists(st.floats(-10, 20), max_size=6)


@given(PKA, PKA, st.floats(-1e6, 1e6))
def test_bounds_hold_everywhere(acids, bases, ph):
    c = compound(acids, bases)
    assert 0.0 <= neutral_fraction(c, ph) <= 1.0
    assert -len(acids) <= mean_charge(c, ph) <= len(bases)


@given(st.floats(-10, 20), st.floats(-5, 20))
def test_acid_and_base_mirror_each_other(pka, ph):
    acid, base = neutral_fraction(compound([pka]), ph), neutral_fraction(compound((), [pka]), ph)
    assert acid + base == pytest.approx(1.0)


@given(PKA, PKA, st.floats(0, 14), st.floats(1e-3, 3))
def test_charge_falls_with_ph(acids, bases, ph, step):
    c = compound(acids, bases)
    assert mean_charge(c, ph + step) <= mean_charge(c, ph) + 1e-12
