"""Replacing single values, as --set does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krogh.compounds import get_compound, split_setting, with_values
from krogh.errors import InputError

from ._refusal import accepted_or_refused

MORPHINE = get_compound("morphine")


def test_the_original_is_untouched():
    changed = with_values(MORPHINE, {"logp": 1.0})
    assert changed.logp.value == 1.0
    assert MORPHINE.logp.value == 0.9
    assert with_values(MORPHINE, {}) == MORPHINE


def test_the_option_that_a_missing_value_suggests_works():
    with pytest.raises(InputError, match=r"--set raclopride\.fu_plasma=VALUE"):
        get_compound("raclopride").need("fu_plasma", "rat")
    assert with_values(MORPHINE, {"molar_mass_kg_mol": "285 g/mol"}).molar_mass_kg_mol.value == pytest.approx(0.285)


def test_species_wise_keys():
    every = with_values(MORPHINE, {"fu_plasma": "0.4"})
    assert {every.fu_plasma[s].value for s in ("human", "rat", "mouse")} == {0.4}
    one = with_values(MORPHINE, {"fu_plasma.rat": "0.4"})
    assert one.fu_plasma["rat"].value == 0.4
    assert one.fu_plasma["human"] is MORPHINE.fu_plasma["human"]
    assert with_values(MORPHINE, {"fu_plasma__rat": "0.4"}).fu_plasma == one.fu_plasma


def test_brain_binding_given_is_the_one_used():
    changed = with_values(MORPHINE, {"fu_brain.rat": "0.3"})
    assert "rat" not in changed.vu_brain_m3_kg
    assert "human" in changed.vu_brain_m3_kg
    back = with_values(changed, {"vu_brain": "2 mL/g"})
    assert not back.fu_brain
    assert back.vu_brain_m3_kg["rat"].value == pytest.approx(2e-3)


def test_permeability_becomes_the_first_and_needs_its_basis():
    changed = with_values(MORPHINE, {"permeability": "25 nm/s", "permeability_basis": "apparent"})
    assert changed.permeabilities[0].p_m_s.value == pytest.approx(2.5e-8)
    assert changed.permeabilities[1:] == MORPHINE.permeabilities
    with pytest.raises(InputError, match="permeability_basis"):
        with_values(MORPHINE, {"permeability": "25 nm/s"})
    with pytest.raises(InputError, match="permeability"):
        with_values(MORPHINE, {"permeability_basis": "apparent"})


def test_transporters_enzymes_and_plasma():
    changed = with_values(
        MORPHINE, {"P-gp.vmax": "1 pmol/cm2/min", "p-gp.km": "10 uM", "P-gp.parameters.apparent_clearance_m_s": "5 nm/s"}
    )
    pump = changed.transporters[0]
    assert pump.vmax_mol_m2_s.value == pytest.approx(1e-12 / 1e-4 / 60)
    assert pump.km_mol_m3.value == pytest.approx(1e-2)
    by_mass = with_values(MORPHINE, {"P-gp.km": "285.34 ng/mL"})
    assert by_mass.transporters[0].km_mol_m3.value == pytest.approx(1e-3)
    assert pump.parameters["apparent_clearance_m_s"].value == pytest.approx(5e-9)
    levodopa = with_values(get_compound("levodopa"), {"AADC.rate": "0 1/min", "LAT1.competitors.L-leucine": "9"})
    assert {m.rate_per_s.value for m in levodopa.metabolism} == {0.0}
    lat1 = levodopa.transporters[0]
    assert lat1.competitors["L-leucine"].value == 9.0
    one = with_values(get_compound("levodopa"), {"AADC.neuron.rate": "0 1/min"})
    assert [m.rate_per_s.value == 0 for m in one.metabolism] == [False, True]
    pk = with_values(MORPHINE, {"pk.human.cl": "20 mL/min/kg"}).pk["human"]
    assert pk.cl_m3_s.value == pytest.approx(20e-6 / 60 * 70)
    assert with_values(MORPHINE, {"pka_base": "8.0, 3.1"}).pka_base[1].value == 3.1
    assert with_values(MORPHINE, {"pk.human.body_mass": "60 kg"}).pk["human"].body_mass_kg.value == 60


def test_everything_given_is_marked_as_the_users():
    value = with_values(MORPHINE, {"fu_brain": 0.5}).fu_brain["human"]
    assert (value.status, value.source) == ("U", "user")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fu_brian", "0.3", "fu_brain"),
        ("fu_brain", "1.5", "0 to 1"),
        ("fu_brain.rats", "0.5", "rat"),
        ("P-gp.vmx", "1", "vmax"),
        ("P-gq.vmax", "1 pmol/cm2/min", "P-gp.vmax"),
        ("pk.mouse.cl", "1 L/h", "compound file"),
        ("pk.human.clearance", "1 L/h", "unknown key"),
        ("molar_mass", "285", "unit"),
        ("permeability", "25 kg", "permeability"),
    ],
)
def test_refused_in_one_line(key, value, said):
    with pytest.raises(InputError, match="morphine") as caught:
        with_values(MORPHINE, {key: value, **({"permeability_basis": "apparent"} if key == "permeability" else {})})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_split_setting():
    assert split_setting("morphine.P-gp.vmax = 1 pmol/cm2/min") == ("morphine", "P-gp.vmax", "1 pmol/cm2/min")
    for text in ("morphine", "morphine=3", ".x=3", "morphine.=3"):
        with pytest.raises(InputError, match="--set"):
            split_setting(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.one_of(st.text(max_size=12), st.sampled_from(["fu_brain", "P-gp.km", "pk.human.cl", "pka_acid", "permeability"])),
        st.one_of(st.none(), st.text(max_size=12), st.floats(), st.lists(st.text(max_size=4), max_size=2)),
        max_size=3,
    )
)
def test_any_setting_gives_a_compound_or_our_error(values):
    with accepted_or_refused():
        with_values(MORPHINE, values)
