"""Membrane profile and assay against closed forms."""

import math

import numpy as np
import pytest

from krogh.compounds.predict import assay_permeability, barrier_from_membrane, profile_permeability
from krogh.errors import InputError

RT = 8.314462618 * 310.15


def test_flat_profile_is_a_sheet_of_water():
    z = np.linspace(-2e-9, 2e-9, 9)
    assert profile_permeability(z, np.zeros(9), 1e-9) == pytest.approx(1e-9 / 4e-9, rel=1e-12)


def test_square_barrier_counts_by_its_boltzmann_factor():
    z = np.linspace(0.0, 4e-9, 5)
    energy = np.full(5, 3 * RT)
    assert profile_permeability(z, energy, 1e-9) == pytest.approx(0.25 * math.exp(-3), rel=1e-12)


def test_linear_ramp_against_its_integral_second_order():
    exact = 1e-9 / (4e-9 * (math.exp(5) - 1) / 5)
    errors = []
    for n in (40, 80):
        z = np.linspace(0.0, 4e-9, n + 1)
        errors.append(abs(profile_permeability(z, 5 * RT * z / 4e-9, 1e-9) / exact - 1))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_two_membranes_in_series_halve_it():
    assert barrier_from_membrane(2e-6, "test").p_m_s.value == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("z", "g", "d"),
    [([0, 1], [0, 0], 1.0), ([0, 1, 1], [0, 0, 0], 1.0), ([0, 1, 2], [0, math.nan, 0], 1.0), ([0, 1, 2], [0, 0, 0], 0.0),
     ([0, 1, 2], [0, 1e7, 0], 1.0)],
)  # fmt: skip
def test_profile_refuses(z, g, d):
    with pytest.raises(InputError, match="profile"):
        profile_permeability(np.array(z, dtype=float), np.array(g, dtype=float), d)


def test_assay_closes_its_circle():
    membrane, leak, water, bare, neutral = 3e-6, 2e-7, 1e-4, 5e-5, 0.01
    d = 7e-10
    apparent = 1 / (water / d + 1 / bare + 1 / (membrane + leak))
    found = assay_permeability(
        apparent, diffusivity_m2_s=d, water_m=water, filter_m_s=bare, leak_m_s=leak, neutral_fraction=neutral
    )
    assert found.membrane == pytest.approx(membrane, rel=1e-9)
    assert found.intrinsic == pytest.approx(membrane / neutral, rel=1e-9)
    assert found.share_of_water == pytest.approx(apparent * (water / d + 1 / bare))


def test_assay_at_the_limit_of_water_is_refused():
    with pytest.raises(InputError, match="lower bound"):
        assay_permeability(6.9e-6, diffusivity_m2_s=7e-10, water_m=1e-4)
    with pytest.raises(InputError, match="between the cells"):
        assay_permeability(1e-8, diffusivity_m2_s=7e-10, water_m=1e-4, leak_m_s=1e-8)
