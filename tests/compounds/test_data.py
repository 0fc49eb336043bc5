"""The typed-in numbers against the tables that they were read from (KROGH_DATA, default ../shared/data)."""

import csv
import os
from pathlib import Path

import pytest

from krogh.compounds import get_compound, names

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[3] / "shared" / "data")) / "pharma"
OTHER_NAME = {
    "l-glucose": "D-glucose",
    "temozolamide": "temozolomide",
    "ldopa": "levodopa",
    "p-f-phenylalanine": "L-phenylalanine",
}

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the data folder is absent: set KROGH_DATA"),
]


def rows(path):
    with (DATA / path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def held(method):
    """Name (lower case) -> permeability in m/s of the library's compounds by one method."""
    return {n.lower(): p.p_m_s.value for n in names() for p in get_compound(n).permeabilities if p.method == method}


def library_name(name):
    return OTHER_NAME.get(name.lower(), name).lower()


@pytest.mark.parametrize(
    ("method", "dataset", "at_least"), [("in situ perfusion", "Smith_2024", 25), ("Luco 2006 compilation", "Luco_2006", 8)]
)
def test_perfusion_values(method, dataset, at_least):
    table = {
        library_name(r["compound"]): float(r["PS_mL_per_s_per_g"])
        for r in rows("in_situ_permeability/rat_in_situ_perfusion_PS.csv")
        if r["dataset"] == dataset
    }
    mine = held(method)
    shared = set(table) & set(mine)
    assert len(shared) >= at_least
    for name in shared:  # PS [mL/s/g] / 100 cm2/g is 1e-4 m/s
        assert mine[name] == pytest.approx(table[name] * 1e-4, rel=2e-3), name


def test_pampa_values():
    table = {library_name(r["compound"]): float(r["P0_m_per_s"]) for r in rows("in_situ_permeability/pampa_bbb_tsinman2011.csv")}
    mine = held("PAMPA")
    shared = set(table) & set(mine)
    assert len(shared) >= 15
    for name in shared:
        assert mine[name] == pytest.approx(table[name], rel=2e-3), name


YAMAMOTO = rows("published_models/yamamoto2017_rat_drug_parameters.csv") if DATA.is_dir() else []


@pytest.mark.parametrize("row", YAMAMOTO, ids=lambda r: r["drug"])
def test_rat_plasma_models(row):
    compound = get_compound(row["drug"])
    pk = compound.pk["rat"]
    assert pk.body_mass_kg.value == float(row["body_weight_kg"])
    assert pk.basis == ("unbound" if "UNBOUND" in row["flag"] else "total")
    pairs = [
        (pk.cl_m3_s, "CL_m3_per_s"),
        (pk.v1_m3, "V1_m3"),
        (pk.q2_m3_s, "Q2_m3_per_s"),
        (pk.v2_m3, "V2_m3"),
        (pk.q3_m3_s, "Q3_m3_per_s"),
        (pk.v3_m3, "V3_m3"),
    ]
    for value, column in pairs:
        if row[column]:
            assert value.value == pytest.approx(float(row[column]), rel=1e-3), column
        else:
            assert value is None
    assert compound.kp_uu["rat"].value == float(row["Kpuu_ECF"])
    in_silico = [p.p_m_s.value for p in compound.permeabilities if p.method == "in silico"]
    assert in_silico == [pytest.approx(float(row["P0_transmembrane_m_per_s"]), rel=2e-3)]


@pytest.mark.parametrize(
    ("name", "column"),
    [("acetaminophen", "Paracetamol"), ("ibuprofen", "Ibuprofen"), ("indomethacin", "Indomethacin"), ("mannitol", "Mannitol")],
)
def test_human_plasma_models(name, column):
    table = {
        r["parameter"]: float(r[column] or 0)
        for r in rows("human_cns_timeseries/human_plasma_pk_parameters.csv")
        if r["unit"] != "text"
    }
    pk = get_compound(name).pk["human"]
    hour, litre = 3600.0, 1e-3
    assert pk.v1_m3.value == pytest.approx(table["V1"] * litre)
    assert pk.cl_m3_s.value == pytest.approx(table["CL"] * litre / hour)
    for value, key, factor in (
        (pk.q2_m3_s, "Q2", litre / hour),
        (pk.v2_m3, "V2", litre),
        (pk.v3_m3, "V3", litre),
        (pk.lag_s, "Tlag", hour),
    ):
        assert (0.0 if value is None else value.value) == pytest.approx(table[key] * factor)
    assert (0.0 if pk.ka_per_s is None else pk.ka_per_s.value) == pytest.approx(table["ka"] / hour)


def test_every_entry_of_the_panel_is_in_the_library():
    short = {
        "[11C]PBR28 (PET ligand)": "PBR28",
        "transferrin (holo)": "transferrin",
        "IgG, non-binding": "IgG",
        "IgG, anti-transferrin receptor": "anti-TfR IgG",
    }
    for row in rows("drug_panel.csv"):
        compound = get_compound(short.get(row["name"], row["name"]))
        if row["smiles"]:
            assert compound.smiles == row["smiles"]
        assert len(compound.pka_acid) == len([p for p in row["pka_acid"].split(";") if p])
