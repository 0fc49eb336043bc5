"""Units of the laboratory into numbers per area, against values worked out by hand and the shared table."""

import csv
import math
import os
from pathlib import Path

import pytest

from krogh.barrier.conversions import permeability_from_in_situ, vmax_from_brain_mass, vmax_from_protein
from krogh.errors import InputError

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def test_vmax_per_protein_by_hand():
    # 2 nmol/min/mg * 0.3 mg/g = 0.6 nmol/min/g = 1e-11 mol/s/g = 1e-8 mol/s/kg; over 10 m2/kg
    assert vmax_from_protein(2.0, 0.3, 10.0) == pytest.approx(1e-9, rel=1e-14)


def test_vmax_per_gram_by_hand():
    # phenylalanine, 35 nmol/g/min over 100 cm2/g (Pollay 1976)
    assert vmax_from_brain_mass(35.0, 10.0) == pytest.approx(35e-9 / 60 / 1e-3 / 10, rel=1e-14)
    assert vmax_from_brain_mass(35.0, 10.0) == pytest.approx(5.83e-8, rel=1e-3)


def test_permeability_by_hand():
    assert permeability_from_in_situ(8.8e-6, 10.0) == pytest.approx(8.8e-10, rel=1e-14)


@pytest.mark.data
def test_the_shared_table_of_carriers_converts_the_same_way():
    path = DATA / "pharma" / "carrier_kinetics.csv"
    if not path.is_file():
        pytest.skip("carrier_kinetics.csv is not here: set KROGH_DATA to the folder that holds pharma/")
    checked = 0
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value, _, unit = row["Vmax_original"].partition(" ")
            try:
                number = float(value.split("+-")[0])
                listed = float(row["Vmax_mol_per_m2_s_at_100cm2_per_g"])
            except ValueError:
                continue
            if unit == "nmol/g/min":
                assert vmax_from_brain_mass(number, 10.0) == pytest.approx(listed, rel=1e-2), row["substrate"]
                checked += 1
    assert checked >= 2


@pytest.mark.data
def test_the_shared_table_of_perfusions_converts_the_same_way():
    path = DATA / "pharma" / "in_situ_permeability" / "rat_in_situ_perfusion_PS.csv"
    if not path.is_file():
        pytest.skip("the in-situ data are not here: set KROGH_DATA to the folder that holds pharma/")
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            listed = float(row["P_m_per_s_if_100cm2_per_g"])
            assert permeability_from_in_situ(float(row["PS_mL_per_s_per_g"]), 10.0) == pytest.approx(listed, rel=1e-2)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("function", "good"),
    [(vmax_from_protein, (1.0, 1.0, 1.0)), (vmax_from_brain_mass, (1.0, 1.0)), (permeability_from_in_situ, (1.0, 1.0))],
)
def test_bad_numbers_are_refused(function, good, bad):
    for place in range(len(good)):
        with pytest.raises(InputError):
            function(*good[:place], bad, *good[place + 1 :])
    with pytest.raises(InputError):
        function(*good[:-1], 0.0)
    assert function(0.0, *good[1:]) == 0
