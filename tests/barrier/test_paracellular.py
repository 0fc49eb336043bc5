"""The pore: Renkin's hindrance, and the fit repeated from the in-situ data."""

import csv
import itertools
import math
import os
from pathlib import Path

import pytest

from krogh.barrier.crossing import HEALTHY_PORE
from krogh.barrier.routes.paracellular import Pore, fit_pore, pore_permeability, renkin_hindrance, stokes_radius
from krogh.compounds import aqueous_diffusivity, get_compound
from krogh.errors import InputError

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
MARKERS = ("mannitol", "sucrose", "inulin")


def _in_situ():
    path = DATA / "pharma" / "drug_panel.csv"
    if not path.is_file():
        pytest.skip("the in-situ data are not here: set KROGH_DATA to the folder that holds pharma/")
    with path.open(newline="", encoding="utf-8") as file:
        rows = {r["name"]: r for r in csv.DictReader(file)}
    # mL/s/g to m3/s/kg is 1e-3; 100 cm2/g is 10 m2/kg
    return {name: 10 ** float(rows[name]["log10_PS0_insitu_rat_mL_per_s_per_g"]) * 1e-3 / 10.0 for name in MARKERS}


def _diffusivities():
    return [aqueous_diffusivity(get_compound(name)).value for name in MARKERS]


@pytest.mark.data
def test_the_fit_repeats_from_the_data():
    measured = _in_situ()
    pore = fit_pore(_diffusivities(), [measured[name] for name in MARKERS])
    assert pore.radius_m == pytest.approx(HEALTHY_PORE.radius_m, rel=5e-3)
    assert pore.area_fraction == pytest.approx(HEALTHY_PORE.area_fraction, rel=5e-3)


@pytest.mark.data
def test_one_pore_serves_three_markers_within_a_factor_of_two():
    measured = _in_situ()
    for name, d in zip(MARKERS, _diffusivities(), strict=True):
        assert 0.5 < pore_permeability(d, HEALTHY_PORE) / measured[name] < 2.0, name


def test_the_library_holds_the_same_markers():
    for name, d in zip(MARKERS, _diffusivities(), strict=True):
        measured = get_compound(name).permeabilities[0].p_m_s.value
        assert 0.5 < pore_permeability(d, HEALTHY_PORE) / measured < 2.0, name


def test_a_fit_finds_the_pore_that_made_the_data():
    pore = Pore(4e-9, 3e-6)
    d = [9e-10, 5e-10, 2e-10]
    found = fit_pore(d, [pore_permeability(x, pore) for x in d])
    assert found.radius_m == pytest.approx(4e-9, rel=2e-3)
    assert found.area_fraction == pytest.approx(3e-6, rel=5e-3)


def test_hindrance_falls_from_one_to_nothing():
    values = [renkin_hindrance(x / 50) for x in range(60)]
    assert values[0] == 1
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert renkin_hindrance(1.0) == renkin_hindrance(3.0) == 0
    assert renkin_hindrance(0.5) == pytest.approx(0.25 * (1 - 1.052 + 0.26125 - 0.0296875), rel=1e-12)


def test_leak_scales_the_open_area_and_length_divides():
    base = pore_permeability(7e-10, HEALTHY_PORE)
    assert pore_permeability(7e-10, HEALTHY_PORE, 3.0) == pytest.approx(3 * base, rel=1e-14)
    assert pore_permeability(7e-10, HEALTHY_PORE, 0.0) == 0
    longer = Pore(HEALTHY_PORE.radius_m, HEALTHY_PORE.area_fraction, 2 * HEALTHY_PORE.length_m)
    assert pore_permeability(7e-10, longer) == pytest.approx(base / 2, rel=1e-14)


def test_stokes_radius_of_water_like_and_large_molecules():
    assert stokes_radius(6.9e-10) == pytest.approx(4.76e-10, rel=0.01)  # mannitol, about 4.3 A
    assert stokes_radius(2e-10) == pytest.approx(stokes_radius(1e-10) / 2, rel=1e-14)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(InputError):
        pore_permeability(7e-10, HEALTHY_PORE, bad)
    with pytest.raises(InputError):
        stokes_radius(-abs(bad))
    with pytest.raises(InputError):
        fit_pore([1e-10, bad if bad < 0 else -1.0], [1e-9, 1e-9])


def test_one_marker_is_not_enough():
    with pytest.raises(InputError, match="pore markers"):
        fit_pore([1e-10], [1e-9])
