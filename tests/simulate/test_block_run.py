"""``krogh simulate --geometry block`` and ``krogh plot`` as a user meets them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

import krogh
from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.io.store import open_results

from .test_cli_simulate import one_line

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
_SMALL = {"cells": 20, "cells_y": 8, "cells_z": 6, "frames": 4}


def block(**settings):
    return {**_SMALL, **settings}


def test_a_block_of_a_reservoir_without_patterns_is_the_slab():
    settings = {"dose": "10 mg iv", "duration": "2 h", "rtol": 1e-5}
    flat = krogh.simulate("morphine", cells=20, **settings).dataset
    solid = krogh.simulate("morphine", geometry="block", block=block(lumen="reservoir"), **settings).dataset
    for name in ("kp_uu", "auc_interstitium", "auc_neuron", "auc_brain_total", "cmax_interstitium", "half_time_s"):
        np.testing.assert_allclose(solid[name].values, flat[name].values, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(solid.route_inward.values, flat.route_inward.values, rtol=1e-4)
    np.testing.assert_allclose(solid.profile.values, flat.profile.values, atol=1e-4 * float(flat.profile.max()))
    last = solid.field.isel(frame=-1).values
    np.testing.assert_allclose(last, np.broadcast_to(last[:, :, :1, :1], last.shape), rtol=1e-6)


def test_products_and_carriers_run_in_a_block():
    settings = {"dose": "100 mg oral", "duration": "1 h"}
    flat = krogh.simulate("levodopa", cells=20, **settings).dataset
    solid = krogh.simulate("levodopa", geometry="block", block=block(lumen="reservoir"), **settings).dataset
    assert list(solid.compound.values) == list(flat.compound.values)
    np.testing.assert_allclose(solid.auc_neuron.values, flat.auc_neuron.values, rtol=1e-3)
    assert float(solid.mass_defect_run.max()) <= 1e-13


def test_a_leak_lets_more_in_and_is_seen_in_the_basement_membrane():
    leak = [{"route": "paracellular", "factor": 300.0, "radius": "8 um"}]
    settings = {"dose": "1 mM constant", "duration": "2 min", "geometry": "block"}
    tight = krogh.simulate("mannitol", block=block(), **settings).dataset
    leaky = krogh.simulate("mannitol", block=block(patterns=leak), **settings).dataset
    assert float(leaky.auc_interstitium.item()) > 5 * float(tight.auc_interstitium.item())
    membrane = leaky.field.isel(compound=0, frame=1).values[leaky.layer.values == "basement membrane"].mean(0)
    assert membrane[4, 3] > 1.5 * membrane[0, 0]
    assert np.isnan(float(leaky.kp_uu_steady.item()))
    assert float(leaky.density_paracellular.max()) == pytest.approx(300.0)


def test_uneven_tissue_from_files_functions_and_numbers(tmp_path, monkeypatch):
    import nibabel

    monkeypatch.chdir(tmp_path)
    settings = {"dose": "10 mg iv", "duration": "10 min", "geometry": "block"}
    image = np.random.default_rng(0).uniform(0.5, 2.0, (5, 16, 3))
    np.save("binding.npy", image)
    nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), np.eye(4)), "binding.nii.gz")
    own = {"quantity": "storage"}
    runs = [
        krogh.simulate("morphine", block=block(tissue=[{**own, **how}]), **settings).dataset
        for how in (
            {"shape": "volume", "file": "binding.npy"},
            {"shape": "volume", "file": "binding.nii.gz"},
            {"shape": "values", "values": image.tolist()},
        )
    ]
    for other in runs[1:]:
        np.testing.assert_allclose(other.auc_brain_total.values, runs[0].auc_brain_total.values, rtol=1e-6)
    drawn = runs[0].tissue_storage.values[0]
    assert np.all(drawn[runs[0].layer.values != "interstitium"] == 1.0)
    assert drawn.min() < 0.8
    assert float(runs[0].mass_defect_run.max()) <= 1e-13
    assert np.isnan(float(runs[0].kp_uu_steady.item()))
    plain = krogh.simulate("morphine", block=block(), **settings).dataset
    sink = [
        {"quantity": "uptake", "rate": "1 1/s", "shape": "function", "function": lambda x, y, z: 1.0 * (y < 20e-6) + 0 * x * z}
    ]
    cleared = krogh.simulate("morphine", block=block(tissue=sink), **settings).dataset
    assert float(cleared.auc_interstitium.item()) < 0.1 * float(plain.auc_interstitium.item())
    full = [{"quantity": "storage", "medium": "neuron", "factor": 5.0, "radius": "9 um"}]
    bound = krogh.simulate("morphine", block=block(tissue=full), **settings).dataset
    assert float(bound.auc_brain_total.item()) > float(plain.auc_brain_total.item())
    assert float(bound.auc_neuron.item()) < float(plain.auc_neuron.item())


def test_a_number_for_the_whole_layer_is_the_layer_with_that_number():
    settings = {"dose": "10 mg iv", "duration": "10 min", "geometry": "block", "rtol": 1e-6}
    number = [{"quantity": "diffusivity", "shape": "uniform", "factor": 0.2}]
    same = [
        {"quantity": "diffusivity", "shape": "function", "function": lambda x, y, z: 0.2 * (1 + 1e-14 * (y > 5e-6)) + 0 * x * z}
    ]
    one, two = (krogh.simulate("morphine", block=block(tissue=t), **settings).dataset for t in (number, same))
    np.testing.assert_allclose(two.auc_interstitium.values, one.auc_interstitium.values, rtol=1e-6)


@pytest.mark.parametrize(
    ("tissue", "word"),
    [
        ({"quantity": "diffusivity", "factor": 0.0}, "> 0"),
        ({"quantity": "diffusivity", "medium": "interstition"}, "interstitium"),
        ({"quantity": "exchange"}, "diffusivity or storage or uptake"),
        ({"quantity": "diffusivity", "medium": "neuron"}, "storage or exchange"),
        ({"quantity": "storage", "compound": "codeine"}, "codeine"),
        ({"quantity": "storage", "center": ["90 um", "1 um", "1 um"]}, "within"),
        ({"quantity": "storage", "radius": "0 um"}, "radius"),
        ({"quantity": "uptake", "rate": "3 um"}, "rate"),
        ({"quantity": "storage", "shape": "volume"}, "no file"),
        ({"quantity": "storage", "shape": "volume", "file": "none.npy"}, "no such file"),
        ({"quantity": "storage", "shape": "volume", "file": "nan.npy"}, "nan.npy.*not a number"),
        ({"quantity": "storage", "shape": "volume", "file": "negative.npy"}, "negative.npy.*-1"),
        ({"quantity": "storage", "shape": "volume", "file": "flat.npy"}, "8 x 6 values.*three dimensions"),
        ({"quantity": "storage", "shape": "volume", "file": "text.npy"}, "NPY or NIfTI"),
        ({"quantity": "storage", "shape": "volume", "file": "text.nii"}, "text.nii"),
        ({"quantity": "storage", "shape": "values", "values": [["a"]]}, "nested lists"),
        ({"quantity": "storage", "shape": "function"}, "no function"),
        ({"quantity": "density"}, "tissue.0.quantity"),
    ],
)
def test_tissue_that_is_none_is_refused(tissue, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("nan.npy", np.full((2, 2, 2), np.nan))
    np.save("negative.npy", -np.ones((2, 2, 2)))
    np.save("flat.npy", np.ones((8, 6)))
    Path("text.npy").write_text("words")
    Path("text.nii").write_text("words")
    with pytest.raises(InputError, match=word) as caught:
        krogh.simulate("morphine", geometry="block", duration="1 s", block=block(tissue=[tissue]))
    assert "\n" not in str(caught.value)


def test_every_example_is_accepted(capsys):
    files = sorted(EXAMPLES.glob("block-*.toml"))
    assert len(files) >= 4
    for file in files:
        assert _run(["simulate", "--config", str(file), "--dry-run"]) == 0, file
    assert "block of" in capsys.readouterr().out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("block") / "run"
    config = out.parent / "run.toml"
    table = tomllib.loads((EXAMPLES / "block-morphine-pgp-hole.toml").read_text(encoding="utf-8"))
    assert table["geometry"] == "block"
    text = (
        (EXAMPLES / "block-morphine-pgp-hole.toml").read_text(encoding="utf-8").replace("= 32", "= 8").replace("= 40\n", "= 20\n")
    )
    config.write_text(text, encoding="utf-8")
    assert _run(["simulate", "--config", str(config), "--duration", "10 min", "--no-pictures", "--quiet", "--out", str(out)]) == 0
    return out


def test_views_of_a_finished_run(finished, tmp_path, capsys):
    capsys.readouterr()
    for view, files in (("section", 1), ("profile", 1), ("movie", 1), ("vtk", 17), ("all", 3)):
        assert _run(["plot", str(finished), "--view", view, "--out", str(tmp_path / view), "--json"]) == 0
        named = json.loads(capsys.readouterr().out)["files"]
        made = [p for p in (tmp_path / view).iterdir() if p.stat().st_size > 500]
        assert len(made) == len(named) == files, view
    data = open_results(finished)
    assert data.field.dims == ("compound", "frame", "x", "y", "z")
    assert float(data.x[0]) < 0 < float(data.x[-1])  # blood lies before the wall


def test_the_movie_moves(finished, tmp_path):
    from PIL import Image

    assert _run(["plot", str(finished), "--view", "movie", "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "movie_morphine.gif") as picture:
        assert picture.n_frames == 16


def test_paraview_files_hold_the_field(finished, tmp_path):
    pyvista = pytest.importorskip("pyvista")
    assert _run(["plot", str(finished), "--view", "vtk", "--out", str(tmp_path)]) == 0
    grid = pyvista.read(str(tmp_path / "vtk_morphine_015.vtr"))
    want = open_results(finished).field.isel(compound=0, frame=15).values
    np.testing.assert_allclose(grid.cell_data["free_mol_m3"], want.transpose(2, 1, 0).ravel(), rtol=1e-6)
    assert grid.bounds[3] == pytest.approx(40e-6, rel=1e-5)
    series = pyvista.get_reader(str(tmp_path / "vtk_morphine.pvd"))
    np.testing.assert_allclose(series.time_values, open_results(finished).frame.values, rtol=1e-8)
    assert series.datasets[15].path == "vtk_morphine_015.vtr"
    assert _run(["plot", str(finished), "--view", "vtk", "--out", str(tmp_path)]) == 5  # nothing is written over unasked


def test_a_missing_or_broken_renderer_is_one_line(finished, tmp_path, capsys, monkeypatch):
    import importlib.util
    import sys

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pyvista" else real(name, *a))
    assert _run(["plot", str(finished), "--view", "volume", "--out", str(tmp_path)]) == 3
    assert "viz3d" in one_line(capsys.readouterr().err)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: real("numpy"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert _run(["plot", str(finished), "--view", "volume", "--out", str(tmp_path)]) == 4
    assert "renderer failed" in one_line(capsys.readouterr().err)


def test_wrong_requests_of_a_picture_are_one_line(finished, tmp_path, capsys):
    for arguments, code in (
        (["--view", "dance"], 2),
        (["--view", "section", "--scale", "cubic"], 2),
        (["--view", "section", "--at", "1 m"], 3),
        (["--view", "section", "--at", "1 s"], 3),
        (["--view", "profile", "--place", "1 um"], 2),
        (["--view", "section", "--compound", "water"], 3),
    ):
        assert _run(["plot", str(finished), *arguments, "--out", str(tmp_path)]) == code, arguments
        one_line(capsys.readouterr().err)
    assert _run(["plot", str(tmp_path)]) == 3
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"patterns": [{"route": "P-gq"}]}, "P-gp"),
        ({"patterns": [{"route": "P-gp", "radius": "30 um"}]}, "fit"),
        ({"patterns": [{"route": "P-gp", "radius": "-1 um"}]}, "radius"),
        ({"patterns": [{"route": "P-gp", "shape": "pores", "radius": "30 um"}]}, "fit"),
        ({"patterns": [{"route": "P-gp", "shape": "values", "values": [[1, 0], [1]]}]}, "rows of equal length"),
        ({"patterns": [{"route": "P-gp", "shape": "values", "values": [[1, 0, 1, 0]]}]}, "1 x 4 values.*8 x 6"),
        ({"patterns": [{"route": "P-gp", "shape": "values", "values": [[1.0, float("nan")]]}]}, "got nan"),
        ({"patterns": [{"route": "P-gp", "shape": "values"}]}, "no values"),
        ({"patterns": [{"route": "P-gp", "center": ["50 um", "2 um"]}]}, "within"),
        ({"patterns": [{"route": "P-gp", "shape": "image"}]}, "no file"),
        ({"patterns": [{"route": "P-gp", "shape": "function"}]}, "function"),
        ({"patterns": [{"route": "P-gp", "shape": "function", "function": lambda y, z: y * np.nan}]}, "finite"),
        ({"width": "0 um"}, "length"),
        ({"width": "5 s"}, "block.width"),
        ({"cells_y": 0}, "cells_y"),
        ({"cells": 2000, "cells_y": 1024, "cells_z": 1024}, "GiB"),
    ],
)
def test_geometry_that_is_none_is_refused(settings, word):
    with pytest.raises(InputError, match=word):
        krogh.simulate("morphine", geometry="block", duration="1 min", block=block(**settings))


def test_maps_and_images_are_read_or_refused(tmp_path, capsys, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray((np.arange(8 * 6 * 4).reshape(16, 12) % 256).astype(np.uint8)).save("grey.png")
    Image.fromarray(np.zeros((7, 5), np.uint8)).save("odd.png")
    Path("text.png").write_text("no picture")
    Path("nan.csv").write_text("\n".join([",".join(["nan"] * 6)] * 8))
    Path("small.csv").write_text("1,2\n3,4\n")
    Path("words.csv").write_text("a,b\n")

    def with_file(shape, file):
        pattern = {"route": "P-gp", "shape": shape, "file": file}
        return krogh.simulate("morphine", geometry="block", duration="1 s", block=block(patterns=[pattern])).dataset

    assert 0 < float(with_file("image", "grey.png")["density_P-gp"].mean()) < 1
    pattern = {"route": "P-gp", "shape": "values", "values": [[1, 0, 3]]}
    drawn = krogh.simulate("morphine", geometry="block", duration="1 s", block=block(patterns=[pattern])).dataset["density_P-gp"]
    np.testing.assert_array_equal(drawn.values[0], np.tile([1, 1, 0, 0, 3, 3], (8, 1)))
    for shape, file, word in (
        ("image", "odd.png", "7 x 5"),
        ("image", "text.png", "no picture"),
        ("image", "none.png", "no such file"),
        ("map", "nan.csv", r"nan.csv, row 1, column \d: got nan, expected a finite density"),
        ("map", "small.csv", "8 x 6"),
        ("map", "words.csv", "numbers"),
    ):
        with pytest.raises(InputError, match=word):
            with_file(shape, file)
