"""``krogh predict``: text, JSON, one line for what is wrong."""

import json

import pytest

from krogh.cli.main import _run


def test_structure_text_names_basis_interval_and_trust(capsys):
    assert _run(["predict", "structure", "caffeine", "CCN(CC)CC", "C[N+](C)(C)CCO", "--equations"]) == 0
    out = capsys.readouterr().out
    assert "-0.01 measured" in out
    assert "calculated" in out
    assert "outside: permanently charged" in out
    assert "apparent permeability" in out
    assert "not for diagnosis" in out


def test_structure_json_holds_everything_in_order(capsys):
    assert _run(["predict", "structure", "CCO", "diazepam", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [f["molecule"] for f in found] == ["CCO", "diazepam"]
    assert found[0]["log10_ps_low_90"] < found[0]["log10_ps_intrinsic_mL_s_g"] < found[0]["log10_ps_high_90"]
    assert {e["quantity"] for e in found[0]["equations"]} == {
        "intrinsic permeability", "apparent permeability", "assay permeability", "logBB"
    }  # fmt: skip


def test_profile_and_assay(tmp_path, capsys):
    file = tmp_path / "p.csv"
    file.write_text("z [nm],dG [kJ/mol],D [cm2/s]\n-2,0,1e-5\n0,0,1e-5\n2,0,1e-5\n", encoding="utf-8")
    assert _run(["predict", "profile", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["membrane_m_s"] == pytest.approx(0.25)
    assert _run(["predict", "assay", "12e-6 cm/s", "--mass", "300", "--water", "100 um", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["membrane_m_s"] > 1.2e-7


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["structure", "xx("], 3, "valid SMILES"),
        (["structure", "CCO", "CCC", "--logp", "1"], 2, "--logp"),
        (["structure", "inulin"], 3, "no structure"),
        (["assay", "1 m/s", "--mass", "300", "--water", "1 mm"], 3, "lower bound"),
        (["profile", "missing.csv"], 3, "missing.csv"),
    ],
)
def test_one_line(arguments, code, words, capsys):
    assert _run(["predict", *arguments]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "z,dG\n1,2\n", "z [nm],dG [eV]\n0,0\n", "z [nm],dG [kJ/mol]\n0,x\n", "z [nm],dG [kJ/mol]\n0\n", "\x00"]
)
def test_bad_profiles_are_one_line(text, tmp_path, capsys):
    file = tmp_path / "bad.csv"
    file.write_text(text, encoding="utf-8")
    assert _run(["predict", "profile", str(file), "--diffusivity", "1e-5 cm2/s"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
