"""Doses in words."""

import pytest

from krogh.blood.dose import parse_dose
from krogh.errors import InputError


@pytest.mark.parametrize(
    ("text", "route", "size", "dimension", "over", "every", "count"),
    [
        ("100 mg oral", "oral", 1e-4, "mass", 0, 0, 1),
        ("  100mg   po ", "oral", 1e-4, "mass", 0, 0, 1),
        ("4 mg/kg iv", "iv", 4e-6, "mass_per_body_mass", 0, 0, 1),
        ("2 nmol bolus", "iv", 2e-9, "amount", 0, 0, 1),
        ("2 umol/kg intravenous", "iv", 2e-6, "amount_per_body_mass", 0, 0, 1),
        ("5 mg infusion over 1 h", "infusion", 5e-6, "mass", 3600, 0, 1),
        ("5 mg iv over 30 min", "infusion", 5e-6, "mass", 1800, 0, 1),
        ("100 mg oral every 8 h x 3", "oral", 1e-4, "mass", 0, 28800, 3),
        ("1e-1 g ORAL every 1 d x4", "oral", 1e-4, "mass", 0, 86400, 4),
        ("1 uM constant", "constant", 1e-3, "concentration", 0, 0, 1),
    ],
)
def test_good_words(text, route, size, dimension, over, every, count):
    dose = parse_dose(text)
    assert (dose.route, dose.dimension, dose.count) == (route, dimension, count)
    assert dose.size == pytest.approx(size)
    assert (dose.over_s, dose.every_s) == pytest.approx((over, every))


@pytest.mark.parametrize(
    "text",
    [
        "", "oral", "100 mg", "100 oral", "mg oral", "100 mg by mouth", "0 mg oral", "-5 mg oral", "nan mg oral", "1e999 mg oral",
        "5 mg infusion", "5 mg infusion over 0 h", "5 mg infusion over 3 mg", "100 mg oral every 8 h", "100 mg oral x 3",
        "100 mg oral every 0 h x 3", "100 mg oral every 8 h x 0", "100 mg oral every 8 h x 9999", "100 mg oral every 8 mg x 3",
        "1 mg constant", "1 uM oral", "5 furlongs iv", "100 mg oral; rm -rf", "..e+ mg oral", "1 2 mg oral", "-1 uM constant",
    ],
)  # fmt: skip
def test_bad_words_are_refused_in_one_line(text):
    with pytest.raises(InputError) as caught:
        parse_dose(text)
    assert "\n" not in str(caught.value)
    assert "dose" in str(caught.value)


def test_amounts():
    assert parse_dose("100 mg iv").amount_mol(0.2, 70.0) == pytest.approx(5e-4)
    assert parse_dose("1 mg/kg iv").amount_mol(0.2, 70.0) == pytest.approx(3.5e-4)
    assert parse_dose("2 umol iv").amount_mol(0.2, 70.0) == pytest.approx(2e-6)
    assert parse_dose("2 umol/kg iv").amount_mol(0.2, 70.0) == pytest.approx(1.4e-4)
    assert parse_dose("1 mg oral every 8 h x 3").times_s() == [0, 28800, 57600]


@pytest.mark.parametrize(
    "text", ["100 mg oral", "4 mg/kg iv", "5 mg infusion over 1 h", "100 mg oral every 8 h x 3", "1 uM constant"]
)
def test_described_doses_read_back(text):
    dose = parse_dose(text)
    again = parse_dose(dose.describe())
    assert again == dose or again.size == pytest.approx(dose.size)
    assert again.route == dose.route
