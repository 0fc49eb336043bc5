"""Reading a compound: what is accepted, and one line for everything that is not."""

import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krogh.compounds import aqueous_diffusivity, compound_from_mapping, leicns_diffusivity, predict_permeability, schema
from krogh.errors import InputError

from ._refusal import accepted_or_refused

V = {"value": 300.0, "unit": "g/mol", "source": "a paper", "status": "V"}
PERMEABILITY = {
    "value": 0.025,
    "unit": "mL/s/g",
    "surface": "100 cm2/g",
    "basis": "intrinsic",
    "method": "in situ perfusion",
    "species": "rat",
    "source": "s",
    "status": "V",
}


def parse(**entries):
    return compound_from_mapping({"name": "mine", **entries}, where="mine.toml")


def refusal(**entries):
    with pytest.raises(InputError) as caught:
        parse(**entries)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mine.toml")
    return message


def test_table_with_unit_and_range():
    mass = parse(molar_mass={**V, "low": 290, "high": 310}).molar_mass_kg_mol
    assert mass.value == pytest.approx(0.3)
    assert (mass.low, mass.high) == (pytest.approx(0.29), pytest.approx(0.31))
    assert (mass.source, mass.status) == ("a paper", "V")


def test_plain_text_and_numbers_are_the_users():
    mine = parse(molar_mass="300 g/mol", logp=2, fu_brain={"rat": "0.3"}, permeability="25nm/s", permeability_basis="apparent")
    assert mine.molar_mass_kg_mol.value == pytest.approx(0.3)
    assert mine.fu_brain["rat"].value == 0.3
    assert mine.permeabilities[0].p_m_s.value == pytest.approx(2.5e-8)
    assert mine.permeabilities[0].basis == "apparent"
    assert {v.status for v in (mine.molar_mass_kg_mol, mine.logp, mine.permeabilities[0].p_m_s)} == {"U"}
    assert mine.logp.source == "user"


def test_ps_is_divided_by_the_surface_given():
    assert parse(permeability=[PERMEABILITY]).permeabilities[0].p_m_s.value == pytest.approx(2.5e-6)


def test_logarithms():
    entry = {**PERMEABILITY, "value": -5.92, "unit": "log10 cm/s"}
    assert parse(permeability=[entry]).permeabilities[0].p_m_s.value == pytest.approx(10**-5.92 * 1e-2)


def test_plasma_values_per_kg_are_multiplied_by_the_body_mass():
    pk = parse(pk={"rat": {"body_mass": "0.25 kg", "v1": "0.8 L/kg", "cl": "10 mL/min/kg"}}).pk["rat"]
    assert pk.v1_m3.value == pytest.approx(0.2e-3)
    assert pk.cl_m3_s.value == pytest.approx(2.5e-6 / 60)


def test_mass_concentration_uses_the_molar_mass():
    transporter = {"name": "pump", "route": "efflux", "substrate": "yes", "source": "s", "status": "V", "km": "300 ng/mL"}
    assert parse(molar_mass="300 g/mol", transporter=[transporter]).transporters[0].km_mol_m3.value == pytest.approx(1e-3)
    assert "km" in refusal(transporter=[transporter])


def test_parameter_dimension_is_told_by_the_end_of_its_name():
    t = {"name": "TfR", "route": "receptor", "substrate": "yes", "source": "s", "status": "V"}
    t["parameters"] = {
        "receptor_mol_m2": "3 fmol/cm2",
        "kd_mol_m3": "20 nM",
        "internalisation_per_s": "6 1/h",
        "luminal_share": "0.05",
    }
    held = parse(transporter=[t]).transporters[0].parameters
    assert held["receptor_mol_m2"].value == pytest.approx(3e-11)
    assert held["kd_mol_m3"].value == pytest.approx(2e-5)
    assert held["internalisation_per_s"].value == pytest.approx(6 / 3600)
    assert held["luminal_share"].value == 0.05


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"molar_mas": V}, "molar_mass"),
        ({"molar_mass": 300}, "unit"),
        ({"molar_mass": {**V, "unit": "furlong"}}, "molar_mass"),
        ({"molar_mass": {k: V[k] for k in V if k != "unit"}}, "unit"),
        ({"molar_mass": {k: V[k] for k in V if k != "status"}}, "status"),
        ({"molar_mass": {k: V[k] for k in V if k != "source"}}, "source"),
        ({"molar_mass": {**V, "source": " "}}, "source"),
        ({"molar_mass": {**V, "status": "X"}}, "V, R, C, A, U"),
        ({"molar_mass": {**V, "value": -1.0}}, "> 0"),
        ({"molar_mass": {**V, "value": math.nan}}, "finite"),
        ({"molar_mass": {**V, "value": "300"}}, "number"),
        ({"molar_mass": {**V, "value": True}}, "number"),
        ({"molar_mass": {**V, "value": 10**400}}, "finite"),
        ({"molar_mass": {**V, "low": 400}}, "low <= value <= high"),
        ({"molar_mass": {**V, "typo": 1}}, "typo"),
        ({"molar_mass": "1" * 500}, "number with its unit"),
        ({"fu_plasma": {"human": "1.2"}}, "0 to 1"),
        ({"fu_plasma": {"human": "0"}}, "0 to 1"),
        ({"fu_plasma": {"human": "-0.1"}}, "0 to 1"),
        ({"fu_plasma": {"humn": "0.5"}}, "human"),
        ({"fu_plasma": "0.5"}, "a table"),
        ({"pka_acid": "4.5"}, "a list"),
        ({"permeability": "25 nm/s"}, "intrinsic or apparent"),
        ({"permeability": [{**PERMEABILITY, "basis": "both"}]}, "intrinsic, apparent"),
        ({"permeability": [{k: v for k, v in PERMEABILITY.items() if k != "surface"}]}, "permeability"),
        ({"permeability": [PERMEABILITY], "permeability_basis": "apparent"}, "basis"),
        ({"permeability": [{**PERMEABILITY, "value": 500, "unit": "log10 cm/s"}]}, "logarithm"),
        ({"pk": {"human": {"body_mass": "70 kg", "v1": "10 L"}}}, "cl"),
        ({"pk": {"human": {"body_mass": "70 kg", "v1": "10 L", "cl": "1 L/h", "q2": "1 L/h"}}}, "q2 and v2"),
        ({"metabolism": [{"enzyme": "AADC", "location": "moon", "rate": "1 1/min"}]}, "endothelium"),
        ({"transporter": [{"name": "P-gp", "route": "tunnel", "substrate": "yes", "source": "s", "status": "V"}]}, "carrier"),
        ({"aliases": [1]}, "text"),
        ({"name": "a.b"}, "without"),
    ],
)
def test_refused_in_one_line(entries, said):
    assert said in refusal(**entries)


def test_missing_name():
    with pytest.raises(InputError, match="name"):
        compound_from_mapping({})


def test_need_names_the_option():
    with pytest.raises(InputError, match=r"--set mine\.fu_plasma"):
        parse().need("fu_plasma", "human")


def test_diffusivity_falls_back_to_the_formula_and_says_when_out_of_range():
    value = aqueous_diffusivity(parse(molar_mass="194.19 g/mol"))
    assert value.value == pytest.approx(6.8e-10, rel=2e-3)  # caffeine, as tabulated
    assert value.status == "C"
    assert "outside its range" in leicns_diffusivity(150.0).source
    assert aqueous_diffusivity(parse(diffusivity="5e-10 m2/s")).value == 5e-10
    with pytest.raises(InputError, match="molar mass"):
        leicns_diffusivity(0.0)
    with pytest.raises(InputError, match="molar_mass"):
        aqueous_diffusivity(parse())


def test_smith_line_by_hand():
    # caffeine: -1.24 + 0.887 (-0.01 - 0.5 log10 194.19) = -2.2636; PS / 100 cm2/g
    p = predict_permeability(-0.01, 0.19419)
    assert math.log10(p.p_m_s.value * 1e4) == pytest.approx(-2.2636, abs=1e-3)
    with pytest.raises(InputError, match="prediction"):
        predict_permeability(math.nan, 0.2)


KEYS = st.sampled_from(
    sorted({*schema.COMPOUND_KEYS, *schema.PERMEABILITY_KEYS, *schema.TRANSPORTER_KEYS, *schema.PK_KEYS, *schema.SPECIES})
)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["0.3", "25 nm/s", "V", "A", "rat", "intrinsic", "5 kg", "log10 cm/s", "efflux", "1e999 kg", "yes"]),
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=8)), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, TREE, max_size=8))
def test_any_mapping_gives_a_compound_or_our_error(table):
    with accepted_or_refused():
        compound_from_mapping({"name": "x", **table})


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_toml_gives_a_compound_or_our_error(text):
    try:
        table = tomllib.loads('name = "x"\n' + text)
    except ValueError:
        return
    with accepted_or_refused():
        compound_from_mapping(table)


def test_solubility_diffusion_gives_a_permeability():
    sheet = {"partition": 2.0, "membrane_diffusivity": "1e-12 m2/s", "membrane_thickness": "4 nm"}
    words = {"basis": "intrinsic", "method": "solubility-diffusion", "species": "in silico"}
    table = {"name": "x", "permeability": [{**sheet, **words}]}
    held = compound_from_mapping(table, where="x.toml").permeabilities[0]
    assert held.p_m_s.value == pytest.approx(5e-4)
    assert held.p_m_s.status == "C"
    assert "K 2" in held.p_m_s.source
    with pytest.raises(InputError, match="one of them"):
        compound_from_mapping({**table, "permeability": [{**table["permeability"][0], "value": 1}]}, where="x.toml")
