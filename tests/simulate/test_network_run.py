"""``krogh simulate --geometry network`` and its pictures as a user meets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import krogh
from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.io.network_file import read_network
from krogh.io.store import open_results
from krogh.plots.network import draw_network

from .test_cli_simulate import one_line

_NODES = (
    "node,x_m,y_m,z_m,pressure_Pa\n0,0,20e-6,20e-6,300\n1,40e-6,20e-6,20e-6,\n2,70e-6,35e-6,20e-6,100\n3,70e-6,8e-6,20e-6,100\n"
)
_SEGMENTS = "segment,node_a,node_b,radius_m\n0,0,1,3e-6\n1,1,2,2.5e-6\n2,1,3,2.5e-6\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    (folder / "nodes.csv").write_text(_NODES, encoding="utf-8")
    (folder / "segments.csv").write_text(_SEGMENTS, encoding="utf-8")
    return folder


def settings(folder, **changes):
    return {
        "nodes": str(folder / "nodes.csv"),
        "segments": str(folder / "segments.csv"),
        "cells": 10,
        "margin": "15 um",
        **changes,
    }


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    config = files / "run.toml"
    config.write_text(
        'compounds = ["levodopa"]\ngeometry = "network"\ndose = "100 mg oral"\nduration = "5 min"\n[network]\n'
        'nodes = "nodes.csv"\nsegments = "segments.csv"\ncells = 10\nmargin = "15 um"\nframes = 4\n',
        encoding="utf-8",
    )
    assert _run(["simulate", "--config", str(config), "--no-pictures", "--quiet", "--out", str(out)]) == 0
    return out


def test_a_product_is_formed_and_mass_is_kept(finished):
    data = open_results(finished)
    assert list(data.compound.values) == ["levodopa", "dopamine (from levodopa)"]
    assert float(data.mass_defect_run.max()) <= 1e-12
    assert float(data.neuron.sel(compound="dopamine (from levodopa)").max()) > 0
    assert "1 inlets and 2 outlets" in str(data.notes.values[0])
    assert data.tissue.dims == ("compound", "frame", "box_x", "box_y", "box_z")


def test_a_network_agrees_with_the_slab_where_flow_and_place_do_not_matter(files):
    # an hour at constant plasma: both settle at the same ratio to plasma
    common = {"dose": "1 uM constant", "duration": "3 h", "rtol": 1e-3}
    flat = krogh.simulate("caffeine", cells=24, **common).dataset
    net = krogh.simulate("caffeine", geometry="network", network=settings(files), **common).dataset
    assert float(net.interstitium[0, -1]) == pytest.approx(float(flat.interstitium[0, -1]), rel=0.01)


def test_pictures_and_files_of_a_network(finished, tmp_path):
    data = open_results(finished)
    with pytest.raises(InputError, match="plane at z"):
        draw_network(data, at_m=1.0)
    for view, count in (("section", 1), ("movie", 1), ("vtk", 10), ("all", 4)):
        assert _run(["plot", str(finished), "--view", view, "--out", str(tmp_path / view)]) == 0
        assert len(list((tmp_path / view).iterdir())) == count


def test_paraview_files_of_a_network_are_read_back(finished, tmp_path):
    pyvista = pytest.importorskip("pyvista")
    assert _run(["plot", str(finished), "--view", "vtk", "--out", str(tmp_path)]) == 0
    data = open_results(finished).isel(compound=0, frame=3)
    grid = pyvista.read(str(tmp_path / "vtk_levodopa_003.vti"))
    np.testing.assert_allclose(grid.cell_data["free_mol_m3"], data.tissue.values.transpose(2, 1, 0).ravel(), rtol=1e-6)
    vessels = pyvista.read(str(tmp_path / "vtk_levodopa_003.vtp"))
    np.testing.assert_allclose(vessels.cell_data["free_mol_m3"], data.segment_blood.values, rtol=1e-6)
    for name, ending in (("vtk_levodopa", "vti"), ("vtk_levodopa_vessels", "vtp")):
        series = pyvista.get_reader(str(tmp_path / f"{name}.pvd"))
        assert series.datasets[3].path == f"vtk_levodopa_003.{ending}"
        np.testing.assert_allclose(series.time_values, open_results(finished).frame.values, rtol=1e-8)


@pytest.mark.parametrize(
    ("nodes", "segments", "word"),
    [
        (_NODES.replace("70e-6,8e-6", "x,8e-6"), _SEGMENTS, "line 5, x_m"),
        (_NODES.replace("pressure_Pa", "p"), _SEGMENTS, "no column pressure_Pa"),
        (_NODES.replace("3,70e-6", "2,70e-6"), _SEGMENTS, "node 2 twice"),
        (_NODES, _SEGMENTS.replace("1,3,", "1,9,"), "line 4"),
        (_NODES, _SEGMENTS.replace("3e-6", "-3e-6"), "segment 0"),
        (_NODES.replace(",100", ","), _SEGMENTS, "no flow"),
        (_NODES, "segment,node_a,node_b,radius_m\n", "no rows"),
    ],
)
def test_tables_that_are_no_network_are_one_line(nodes, segments, word, tmp_path, capsys):
    (tmp_path / "nodes.csv").write_text(nodes, encoding="utf-8")
    (tmp_path / "segments.csv").write_text(segments, encoding="utf-8")
    sets = [x for n in ("nodes", "segments") for x in ("--set", f"network.{n}={tmp_path / n}.csv")]
    assert _run(["simulate", "caffeine", "--geometry", "network", *sets, "--out", str(tmp_path / "o")]) == 3
    assert word in one_line(capsys.readouterr().err)


def test_missing_files_and_settings_are_one_line(files, tmp_path, capsys):
    assert _run(["simulate", "caffeine", "--geometry", "network", "--out", str(tmp_path / "o")]) == 3
    assert "network.nodes" in one_line(capsys.readouterr().err)
    with pytest.raises(InputError, match="no such file"):
        read_network(Path("none.csv"), files / "segments.csv")
    with pytest.raises(InputError, match="longest"):
        krogh.simulate("caffeine", geometry="network", duration="1 s", network=settings(files, longest="0 um"))
    with pytest.raises(InputError, match="GiB"):
        krogh.simulate("caffeine", geometry="network", duration="1 s", network=settings(files, cells=512))
