"""The examples of the how-to run as printed, and the reference names every key."""

import re
from pathlib import Path

import pytest

from krogh.compounds import missing_for_simulation, schema
from krogh.compounds.values import STATUSES
from krogh.io.compound_file import read_compound_file

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "compounds.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "compound-file.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_own_compound_of_the_how_to_is_complete(tmp_path):
    (example,) = blocks(HOW_TO, "toml")
    path = tmp_path / "example-1.toml"
    path.write_text(example, encoding="utf-8")
    compound = read_compound_file(path)
    assert missing_for_simulation(compound, "human") == []
    assert compound.pk["human"].v1_m3.value == pytest.approx(0.063)
    assert compound.transporters[0].vmax_mol_m2_s.high == pytest.approx(0.8e-9 / 1e-4 / 60)


@pytest.mark.parametrize("code", blocks(HOW_TO, "python"))
def test_python_of_the_how_to_runs(code):
    names = {}
    exec(compile(code, "how-to", "exec"), names)
    if "changed" in names:
        assert names["changed"].fu_plasma["rat"].value == 0.8


def test_reference_names_every_key_and_status():
    keys = {*schema.COMPOUND_KEYS, *schema.PERMEABILITY_KEYS, *schema.TRANSPORTER_KEYS, *schema.METABOLISM_KEYS, *schema.PK_KEYS}
    for key in sorted(keys):
        assert re.search(rf"[`\[.]{key}[`\] .]", REFERENCE), key
    for word in (*STATUSES, *schema.SPECIES, *schema.PARAMETER_SUFFIXES):
        assert f"`{word}`" in REFERENCE, word
