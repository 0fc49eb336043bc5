"""``krogh gradient``: elasticities on the screen and as JSON, of products too, and one-line errors."""

import json

import pytest

from krogh.cli.main import _run

_SHORT = ["--duration", "1 h", "--cells", "24", "--rtol", "1e-3"]


def test_the_table_and_the_numbers_agree(capsys):
    assert _run(["gradient", "morphine", *_SHORT, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["gradients"]
    assert (found["compound"], found["metric"], found["medium"]) == ("morphine", "kp_uu", "interstitium")
    rows = {p["name"]: p for p in found["parameters"]}
    assert rows["luminal P-gp vmax_mol_m2_s"]["elasticity"] < 0 < rows["luminal passive permeability_m_s"]["elasticity"]
    pump = rows["luminal P-gp vmax_mol_m2_s"]
    assert pump["derivative"] == pytest.approx(pump["elasticity"] * found["value"] / pump["value"])
    assert _run(["gradient", "morphine", *_SHORT, "--top", "3"]) == 0
    text = capsys.readouterr().out
    assert f"kp_uu of the interstitium = {found['value']:.4g}" in text
    assert f"and {len(rows) - 3} more" in text
    assert "not for diagnosis" in text


def test_of_a_product_in_neurons(capsys):
    product = "dopamine (from levodopa)"
    words = ["gradient", "levodopa", *_SHORT, "--of", "auc", "--medium", "neuron", "--product", product, "--json"]
    assert _run(words) == 0
    (found,) = json.loads(capsys.readouterr().out)["gradients"]
    assert found["compound"] == product
    rows = {p["name"]: p["elasticity"] for p in found["parameters"]}
    assert rows["levodopa neuron AADC rate_per_s"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (["--of", "kp"], 3, "error: metric: got 'kp', expected kp_uu, auc, cmax, final"),
        (["--medium", "liver"], 3, "error: medium: got 'liver', expected endothelium"),
        (["--product", "dopamine"], 3, "expected morphine"),
        (["--set", "method=explicit"], 3, "expected an implicit one for gradients"),
    ],
)
def test_errors_are_one_line(extra, code, words, capsys):
    assert _run(["gradient", "morphine", *_SHORT, *extra]) == code
    error = capsys.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1
