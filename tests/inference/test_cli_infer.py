"""``krogh infer``: from a table to estimates with intervals, files and pictures; a question without an answer is refused."""

import csv
import json

import numpy as np
import pytest
from tests.inference._cases import observations

from krogh.cli.infer_settings import read_settings
from krogh.cli.main import _run
from krogh.inference.parameters import find_parameter
from krogh.inference.predictors import predictor
from krogh.io.observations import read_observations
from krogh.runs.config import build_config
from krogh.runs.infer import build_experiment

T = np.array([5, 10, 20, 40, 60, 90, 120, 180, 240, 360.0]) * 60
COMMON = ["--compound", "morphine", "--species", "rat", "--dose", "4 mg/kg infusion over 10 min", "--cells", "16", "--quiet"]


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    config = {"species": "rat", "dose": "4 mg/kg infusion over 10 min", "cells": 16}
    e = build_experiment("x", build_config(config, (), {"compounds": ["morphine"]}))
    data = observations(T, np.ones(T.size), cv=0.05, matrix="interstitium")
    p = [find_parameter(n, e.subject) for n in ("P", "Vmax")]
    truth = np.array([[60e-9, 1.5 * p[1].nominal]])
    m = predictor({"study": e}, p, data)(truth)[0]
    seen = data.draw(m, np.random.default_rng(4))
    path = tmp_path_factory.mktemp("data") / "rat.csv"
    rows = [f"ECF,{t / 60:g},{'BLQ' if y < 60e-6 else f'{y * 1e6:.5g}'},5,60" for t, y in zip(T, seen, strict=True)]
    path.write_text("\n".join(["matrix,time [min],value [nM],cv [%],lloq [nM]", *rows]) + "\n")
    return path


def test_a_table_becomes_estimates_files_and_pictures(table, tmp_path, capsys):
    out = tmp_path / "o"
    assert _run(["infer", str(table), *COMMON, "--free", "P,Vmax", "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    p, vmax = record["parameters"]
    assert p["low"] < 60 < p["high"]
    assert p["unit"] == "nm/s"
    assert vmax["low"] < 1.5 * vmax["library"] < vmax["high"]
    assert record["below_limit"] > 0
    names = {"parameters", "identifiability", "residuals", "profiles", "curves"}
    assert names | {"inference", "run", "fit", "command"} <= {f.stem for f in out.iterdir()}
    rows = read(out / "residuals.csv")
    assert len(rows) == T.size
    assert [r["line"] for r in rows] == [str(i) for i in range(2, T.size + 2)]
    assert json.loads((out / "run.json").read_text())["inputs"][0]["name"] == "rat.csv"


def test_python_gives_what_the_command_gives(table):
    import krogh

    result = krogh.infer(table, "morphine", ["P"], species="rat", dose="4 mg/kg infusion over 10 min", cells=16, posterior=False)
    assert list(result.table.index) == ["P"]
    assert result.table.held["P"]
    assert result.combinations.empty
    axes = result.plot.fit().axes
    assert axes[0].get_ylabel() == "concentration [nM]"
    assert "P [nm/s]" in [a.get_xlabel() for a in result.plot.corner().axes]
    assert "<table" in result._repr_html_()


def test_vmax_and_km_together_are_refused_with_what_the_data_hold_and_nothing_is_lost(table, tmp_path, capsys):
    out = tmp_path / "o"
    known = ["--set", "morphine.permeability=60 nm/s", "--set", "morphine.permeability_basis=apparent"]
    base = ["infer", str(table), *COMMON, *known, "--free", "Vmax,Km", "--no-pictures"]
    assert _run([*base, "--out", str(out)]) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: Vmax, Km: got data that hold only Vmax/Km = ")
    assert error.count("\n") == 1
    assert {r["parameter"] for r in read(out / "identifiability.csv")} == {"Vmax", "Km", "Vmax/Km"}
    assert [r["estimate"] for r in read(out / "parameters.csv")] == ["", ""]
    assert _run([*base, "--unheld", "fix", "--out", str(tmp_path / "f"), "--json"]) == 0
    fixed = json.loads(capsys.readouterr().out)
    assert len(fixed["parameters"]) == 1
    assert "fixed at the library's value" in fixed["notes"][0]


def test_settings_of_a_data_set_come_from_its_table(table, tmp_path, capsys):
    text = table.read_text().replace("matrix,", "dataset,matrix,").replace("ECF,", "control,ECF,") + "blocked,ECF,60,900,5,60\n"
    (tmp_path / "two.csv").write_text(text)
    (tmp_path / "c.toml").write_text("[dataset.blocked]\nefflux = { P-gp = 0.0 }\n")
    args = ["infer", str(tmp_path / "two.csv"), *COMMON, "--free", "P", "--config", str(tmp_path / "c.toml")]
    assert _run([*args, "--dry-run"]) == 0
    assert "11 values of control, blocked" in capsys.readouterr().out
    (tmp_path / "c.toml").write_text("[dataset.other]\nleak_factor = 2\n")
    assert _run([*args, "--dry-run"]) == 3
    assert "dataset.other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("matrix,time [h],value [uM],sd [uM]", "plasma,1,2,-1", "line 2, sd"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,1,two,1", "line 2, value"),
        ("matrix,time [h],value [uM],sd [uM]", "liver,1,2,1", "line 2, matrix"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,1,BLQ,1", "line 2, value"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,,2,1", "line 2, time"),
        ("matrix,time [h],value [uM]", "plasma,1,2", "--cv"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,1,2,1,7", "5 cells"),
        ("matrix,time,value [uM]", "plasma,1,2", "unit in brackets"),
        ("matrix,time [h],value [kg]", "plasma,1,2", "header"),
        ("matrix,time [h]", "plasma,1", "no column 'value'"),
        ("matrix,time [h],value [uM],colour", "plasma,1,2,red", "'colour'"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,1,-2,1", "line 2, value: got '-2', expected a value >= 0"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,-1,2,1", "line 2, time: got '-1'"),
        ("matrix,time [h],value [uM],sd [uM]", "plasma,2024-05-01,2,1", "the time after the first dose"),
        ("matrix,time [h],value [uM],cv [%]", "plasma,1,0,8", "0 with a relative error only"),
        ("matrix,time [h],value [uM],sd [min]", "plasma,1,2,1", "got 'min', expected a concentration such as uM"),
        ("matrix;time [h];value [uM];sd [uM]", "plasma;1;2;1", "separated by ';', expected by commas"),
        ("matrix,time [h],value [uM],sd [uM]", "ECF AUC,1,2,1", "areas and concentrations stand in files of their own"),
        ("matrix,time [h],value [uM h],sd [uM h]", "ECF,1,2,1", "under a value [area], expected a unit such as uM"),
        ("matrix,time [h],value [uM],sd [uM]", "\n".join(["plasma,1,2,1"] * 10_001), "10,001 values, expected at most 10,000"),
    ],
)
def test_a_bad_row_is_one_line_with_its_number(header, row, said, tmp_path, capsys):
    (tmp_path / "d.csv").write_text(f"{header}\n{row}\n")
    assert _run(["infer", str(tmp_path / "d.csv"), *COMMON, "--free", "P", "--out", str(tmp_path / "o")]) == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [(["--prior", "P=2"], "--prior"), (["--prior", "P=10 nm/s, 0.5"], "--prior P"),
     (["--bounds", "P=5 nm/s to 1 nm/s"], "--bounds P"), (["--prior", "Km=1 mM, 2"], "--free"), (["--cv", "-3 %"], "--cv"),
     (["--unheld", "guess"], "--unheld")],
)  # fmt: skip
def test_a_bad_option_is_one_line(option, said, table, capsys):
    assert _run(["infer", str(table), *COMMON, "--free", "P", *option, "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_units_of_the_file_are_honoured(tmp_path):
    (tmp_path / "m.csv").write_text(
        "matrix,time [min],concentration [ng/mL],sd [ng/mL]\nplasma,30,285.34,28.534\nbrain,60,<10,1\n"
    )
    data = read_observations([tmp_path / "m.csv"], 0.28534)
    np.testing.assert_allclose(data.t_s, [1800, 3600])
    np.testing.assert_allclose([data.value[0], data.sd[0], data.lloq[1]], [1e-3, 1e-4, 10 / 285.34 * 1e-3])
    assert data.matrix == ("plasma", "brain total")
    assert data.censored.tolist() == [False, True]


@pytest.mark.parametrize("unit", ["ng min/mL", "ng/mL min", "ng*min/mL"])
def test_an_area_has_the_unit_of_a_concentration_times_a_time(unit, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"matrix,time [h],value [{unit}],sd [{unit}]\nECF AUC,2,285.34,28.534\n")
    data = read_observations([path], 0.28534)
    np.testing.assert_allclose([data.value[0], data.sd[0]], [60e-3, 6e-3])
    assert data.matrix == ("interstitium auc",)


def test_people_with_their_own_plasma_are_seen_through_their_lumbar_csf(tmp_path, capsys):
    for name, peak in (("one", 40), ("two", 80)):
        (tmp_path / f"{name}.csv").write_text(f"time [h],concentration [uM]\n0,0\n0.5,{peak}\n2,{0.5 * peak}\n4,{0.2 * peak}\n")
    rows = "".join(f"{n},lumbar CSF,{t},4\n" for n in ("one", "two") for t in (1, 3))
    table, config = tmp_path / "csf.csv", tmp_path / "c.toml"
    table.write_text("dataset,matrix,time [h],value [uM]\n" + rows)
    config.write_text('[dataset.one]\nplasma = "one.csv"\n[dataset.two]\nplasma = "two.csv"\n')
    given = {"compounds": ["acetaminophen"], "species": "human", "cells": 16}
    held = read_settings([table], given, [], config, None, [], "10 %")
    assert {p.name for p in held.inputs} == {"csf.csv", "c.toml", "one.csv", "two.csv"}
    p = [find_parameter("P", held.experiments["one"].subject)]
    m = predictor(held.experiments, p, held.data)(np.array([[30e-9]]))[0]
    assert m[:2].min() > 0
    np.testing.assert_allclose(m[2:], 2 * m[:2], rtol=1e-3)  # each by its own plasma
    args = ["infer", str(table), "--compound", "acetaminophen", "--free", "P", "--cv", "10 %", "--config", str(config), "--out"]
    assert _run([*args, str(tmp_path / "r"), "--species", "rat"]) == 3
    assert "species rat, expected human" in capsys.readouterr().err
