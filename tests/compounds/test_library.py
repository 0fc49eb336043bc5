"""The embedded library: every file loads, every value has a source, derived values follow from what they are derived from."""

import dataclasses
import math

import pytest

from krogh.compounds import (
    Value,
    get_compound,
    leicns_diffusivity,
    missing_for_simulation,
    missing_kinetics,
    names,
    neutral_fraction,
    predict_permeability,
)
from krogh.compounds.library import _stems, file_stem
from krogh.errors import InputError

ALL = names()


def values_of(item):
    """Every Value inside a dataclass, at any depth."""
    if isinstance(item, Value):
        yield item
    elif dataclasses.is_dataclass(item):
        for field in dataclasses.fields(item):
            yield from values_of(getattr(item, field.name))
    elif isinstance(item, dict):
        for held in item.values():
            yield from values_of(held)
    elif isinstance(item, tuple):
        for held in item:
            yield from values_of(held)


def test_at_least_forty_compounds_with_unique_names():
    assert len(ALL) >= 42
    every = [n.lower() for name in ALL for n in (name, *get_compound(name).aliases)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", ALL)
def test_every_value_has_a_source_and_an_embedded_status(name):
    compound = get_compound(name)
    found = list(values_of(compound))
    assert found
    for value in found:
        assert value.source.strip()
        assert value.status in ("V", "R", "C", "A")
        assert math.isfinite(value.value)
        if value.status == "A":
            assert len(value.source) > 5  # an assumption says why
    for transporter in compound.transporters:
        assert transporter.source.strip()
        assert transporter.status in ("V", "R", "C", "A")
    assert compound.role


@pytest.mark.parametrize("name", ALL)
def test_name_and_file_agree_and_case_does_not_matter(name):
    assert file_stem(name) in _stems()
    assert get_compound(name.upper()) is get_compound(name)
    for alias in get_compound(name).aliases:
        assert get_compound(alias) is get_compound(name)


@pytest.mark.parametrize("name", ["levodopa", "dopamine", "caffeine", "morphine"])
def test_the_four_main_compounds_are_complete(name):
    assert missing_for_simulation(get_compound(name), "human") == []


@pytest.mark.parametrize("name", ["levodopa", "caffeine", "morphine"])
def test_complete_for_the_rat_where_a_plasma_model_exists(name):
    assert missing_for_simulation(get_compound(name), "rat") == []


@pytest.mark.parametrize("name", ["mannitol", "acetaminophen", "ibuprofen", "indomethacin", "diazepam", "fentanyl"])
def test_complete_for_man(name):
    assert missing_for_simulation(get_compound(name), "human") == []


@pytest.mark.parametrize("name", ["levodopa", "caffeine", "morphine"])
def test_oral_absorption(name):
    pk = get_compound(name).pk["human"]
    assert pk.ka_per_s is not None
    assert 0 < pk.bioavailability.value <= 1


def test_ethanol_has_no_linear_plasma_model_and_says_why():
    ethanol = get_compound("ethanol")
    assert not ethanol.pk
    assert "saturates" in ethanol.notes


def test_levodopa_vmax_follows_from_the_human_influx_constant():
    levodopa = get_compound("levodopa")
    lat1 = next(t for t in levodopa.transporters if t.name == "LAT1")
    total = 1 + sum(c.value for c in lat1.competitors.values())
    assert 10 < total < 30  # plasma amino acids raise Km by this factor
    fu = levodopa.fu_plasma["human"].value
    k1_m3_s_kg = 0.031e-6 / 60 / 1e-3
    carrier_m_s = lat1.vmax_mol_m2_s.value / lat1.km_mol_m3.value / total
    assert fu * carrier_m_s * 10.0 == pytest.approx(k1_m3_s_kg, rel=2e-3)


def test_levodopa_carrier_dwarfs_its_diffusion():
    levodopa = get_compound("levodopa")
    passive = levodopa.permeabilities[0].p_m_s.value * neutral_fraction(levodopa, 7.4)
    assert passive < 1e-3 * 5e-8


def test_morphine_efflux_follows_from_the_inhibitor_experiment():
    pump = next(t for t in get_compound("morphine").transporters if t.name == "P-gp")
    expected = (0.0195 - 0.0113) / 60 * 1.7e-3 / 10.0
    assert pump.parameters["apparent_clearance_m_s"].value == pytest.approx(expected, rel=1e-3)
    assert pump.vmax_mol_m2_s.value / pump.km_mol_m3.value == pytest.approx(expected, rel=1e-3)


def test_dopamine_crosses_far_less_than_levodopa_and_has_no_implausible_value():
    dopamine = get_compound("dopamine")
    assert all("Luco" not in p.method for p in dopamine.permeabilities)
    assert dopamine.permeabilities[0].p_m_s.value * neutral_fraction(dopamine, 7.4) < 0.1 * 5.2e-8
    assert {m.product for m in get_compound("levodopa").metabolism} == {"dopamine"}


@pytest.mark.parametrize("name", ALL)
def test_computed_values_equal_their_equations(name):
    compound = get_compound(name)
    mass = compound.molar_mass_kg_mol.value
    assert compound.diffusivity_m2_s.value == pytest.approx(leicns_diffusivity(mass).value, rel=5e-3)
    assert ("outside its range" in compound.diffusivity_m2_s.source) == (mass > 2)
    for p in compound.permeabilities:
        if p.method == "Smith 2024 line":
            line = predict_permeability(compound.logp.value, mass)
            assert p.basis == line.basis == "intrinsic"
            assert p.p_m_s.value == pytest.approx(line.p_m_s.value, rel=5e-3)
            assert p.p_m_s.low == pytest.approx(line.p_m_s.low, rel=5e-3)


@pytest.mark.parametrize("name", ALL)
def test_permeabilities_are_ordered_and_never_mixed(name):
    order = ["in situ perfusion", "PAMPA", "Luco 2006 compilation", "microdialysis", "Smith 2024 line", "in silico"]
    basis = dict.fromkeys(order, "intrinsic") | {"Luco 2006 compilation": "apparent", "microdialysis": "apparent"}
    held = [(p.method.removesuffix(" model"), p.basis) for p in get_compound(name).permeabilities]
    assert [m for m, _ in held] == sorted((m for m, _ in held), key=order.index)
    assert all(basis[m] == b for m, b in held)


def test_blank_kinetics_are_named():
    quinidine = get_compound("quinidine")
    assert missing_kinetics(quinidine.transporters[0]) == ["vmax"]
    antibody = get_compound("anti-TfR IgG")
    assert "parameters.kd_mol_m3" in missing_kinetics(antibody.transporters[0])


def test_unknown_name_lists_the_nearest():
    with pytest.raises(InputError, match="levodopa") as caught:
        get_compound("levodpa")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in ALL if get_compound(n).smiles])
def test_descriptors_agree_with_rdkit(name):
    chem = pytest.importorskip("rdkit.Chem")
    from rdkit.Chem import Descriptors, rdMolDescriptors

    compound = get_compound(name)
    molecule = chem.MolFromSmiles(compound.smiles)
    assert compound.molar_mass_kg_mol.value * 1e3 == pytest.approx(Descriptors.MolWt(molecule), abs=0.0101)
    assert compound.tpsa_m2.value * 1e20 == pytest.approx(rdMolDescriptors.CalcTPSA(molecule), abs=0.0501)
    assert compound.hbd.value == rdMolDescriptors.CalcNumHBD(molecule)
    assert compound.hba.value == rdMolDescriptors.CalcNumHBA(molecule)
    assert compound.rotatable_bonds.value == rdMolDescriptors.CalcNumRotatableBonds(molecule)
