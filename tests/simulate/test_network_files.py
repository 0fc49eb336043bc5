"""Vessels from SWC and VTK files are those of the two tables; what is no network is one line."""

import importlib.util

import numpy as np
import pytest

from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.io.network_file import read_network, read_vessel_file
from krogh.io.vtk import write_vessels
from krogh.transport.network.vessels import poiseuille_flow

from .test_cli_simulate import one_line
from .test_network_run import _NODES, _SEGMENTS

_SWC = "# made by hand\n1 2 0 20 20 3 -1\n2 2 40 20 20 3 1\n3 2 70 35 20 2 2\n5 2 70 8 20 2 2\n"
_PRESSURES = "node,pressure_Pa\n1,300\n3,100\n5,100\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in (("nodes.csv", _NODES), ("segments.csv", _SEGMENTS), ("v.swc", _SWC), ("p.csv", _PRESSURES)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _same(found, want):
    np.testing.assert_allclose(found.points_m, want.points_m, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(found.ends, want.ends)
    np.testing.assert_allclose(found.radius_m, want.radius_m, rtol=1e-6)
    np.testing.assert_allclose(poiseuille_flow(found).flow_m3_s, poiseuille_flow(want).flow_m3_s, rtol=1e-5)


def test_an_swc_file_is_the_network_of_the_tables(folder):
    found = read_vessel_file(folder / "v.swc", pressures=folder / "p.csv")
    _same(found, read_network(folder / "nodes.csv", folder / "segments.csv"))
    other = read_vessel_file(folder / "v.swc", "mm", folder / "p.csv")
    np.testing.assert_allclose(other.points_m, 1000 * found.points_m)
    np.testing.assert_allclose(other.radius_m, 1000 * found.radius_m)


def test_a_column_of_flows_takes_the_place_of_pressures(folder):
    want = read_network(folder / "nodes.csv", folder / "segments.csv")
    q = poiseuille_flow(want).flow_m3_s
    names, *rows = _SEGMENTS.strip().split("\n")
    (folder / "flows.csv").write_text("\n".join([names + ",flow_m3_s", f"{rows[0]},{q[0]}", f"{rows[1]},{q[1]}", f"{rows[2]},"]))
    lines = [",".join([*line.split(",")[:4], ""]) for line in _NODES.strip().split("\n")[1:]]
    (folder / "free.csv").write_text("\n".join(["node,x_m,y_m,z_m,pressure_Pa", *lines]))
    found = read_network(folder / "free.csv", folder / "flows.csv")
    assert np.isnan(found.pressure_pa).all()
    np.testing.assert_allclose(poiseuille_flow(found).flow_m3_s, q, rtol=1e-9)
    (folder / "flows.csv").write_text("\n".join([names + ",flow_m3_s", *(f"{r},fast" for r in rows)]))
    with pytest.raises(InputError, match=r"line 2, flow_m3_s: got 'fast'"):
        read_network(folder / "free.csv", folder / "flows.csv")


def test_a_run_from_an_swc_file(folder, capsys):
    sets = [x for k, v in (("file", "v.swc"), ("pressures", "p.csv"), ("cells", "6"), ("margin", "15 um")) for x in
            ("--set", f"network.{k}={folder / v if '.' in v else v}")]  # fmt: skip
    run = ["simulate", "caffeine", "--geometry", "network", "--dose", "1 uM constant", "--duration", "2 s", "--no-pictures"]
    assert _run([*run, *sets, "--out", str(folder / "out")]) == 0
    assert "1 inlets and 2 outlets" in capsys.readouterr().out


def _own_vtp(folder, want):
    """Write vessels as the package itself does: every segment with its own two points."""
    points = want.points_m[want.ends].reshape(-1, 3)
    return write_vessels(folder / "v.vtp", points, np.arange(len(points)).reshape(-1, 2), {"radius_m": want.radius_m})


def test_what_the_package_writes_it_reads(folder):
    pytest.importorskip("pyvista", reason="needs the extra 'viz3d'")
    want = read_network(folder / "nodes.csv", folder / "segments.csv")
    path = _own_vtp(folder, want)
    (folder / "q.csv").write_text("node,pressure_Pa\n0,300\n3,100\n5,100\n", encoding="utf-8")
    found = read_vessel_file(path, "m", folder / "q.csv")
    assert len(found.points_m) == 4  # points at one place are one node
    _same(found, want)


@pytest.mark.parametrize("library", ["pyvista", "meshio"])
def test_polylines_and_grids_by_either_library(folder, library, monkeypatch):
    pyvista = pytest.importorskip("pyvista", reason="needs the extra 'viz3d' to write the file")
    pytest.importorskip(library)
    want = read_network(folder / "nodes.csv", folder / "segments.csv")
    micro = want.points_m * 1e6
    if library == "pyvista":
        mesh = pyvista.PolyData(micro, lines=np.array([3, 0, 1, 2, 2, 1, 3]))
        mesh.point_data["Radius"] = [3.0, 3.0, 2.0, 2.0]
        mesh.point_data["pressure"] = [300.0, np.nan, 100.0, 100.0]
        path = folder / "lines.vtk"
        mesh.save(str(path))
    else:
        cells = np.concatenate([np.full((3, 1), 2), want.ends], axis=1).ravel()
        grid = pyvista.UnstructuredGrid(cells, np.full(3, 3), micro)
        grid.cell_data["radius"] = want.radius_m * 1e6
        grid.point_data["pressure_Pa"] = [300.0, np.nan, 100.0, 100.0]
        path = folder / "lines.vtu"
        grid.save(str(path), binary=True)
        here = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda n, *a: None if n == "pyvista" else here(n, *a))
    _same(read_vessel_file(path, "um"), want)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("2 2 40 20 20 3 1", "2 2 40 20 3 1"), "line 3: got 6 values"),
        (("70 35", "x 35"), "line 4"),
        (("70 35", "nan 35"), "line 4: got a value that is not finite"),
        (("70 35 20 2 2", "70 35 20 0 2"), "line 4: got radius 0"),
        (("5 2 70 8 20 2 2", "3 2 70 8 20 2 2"), "line 5: got node 3 twice"),
        (("70 8 20 2 2", "70 8 20 2 9"), "line 5: got parent 9"),
        (("70 35 20 2 2", "40 20 20 2 2"), "got length 0"),
        ((_SWC, "# nothing\n"), "no nodes"),
        ((_SWC, "1 2 0 0 0 1 -1\n"), "every node is a root"),
        (("70 35 20 2 2", "70 35 20 500 2"), "less than half"),
        (("3 2 70 35 20 2 2\n5 2 70 8 20 2 2", "3 2 70 35 20 2 -1\n5 2 70 8 20 2 3"), "no flow"),
    ],
)
def test_swc_files_that_are_no_network_are_one_line(folder, change, word, capsys):
    (folder / "v.swc").write_text(_SWC.replace(*change), encoding="utf-8")
    if word == "no flow":  # the inlet is not connected to an outlet
        (folder / "p.csv").write_text("node,pressure_Pa\n1,300\n3,100\n5,100\n", encoding="utf-8")
    sets = ["--set", f"network.file={folder / 'v.swc'}", "--set", f"network.pressures={folder / 'p.csv'}"]
    run = ["simulate", "caffeine", "--geometry", "network", "--duration", "1 s", "--set", "network.cells=4"]
    assert _run([*run, *sets, "--out", str(folder / "o")]) == 3
    assert word in one_line(capsys.readouterr().err)


def test_vtk_files_that_are_no_network_are_one_line(folder, monkeypatch):
    pyvista = pytest.importorskip("pyvista", reason="needs the extra 'viz3d'")
    with pytest.raises(InputError, match=r"network.unit: got none, expected the length unit of v.vtp"):
        read_vessel_file(folder / "v.vtp")
    with pytest.raises(InputError, match="no such file"):
        read_vessel_file(folder / "none.vtp", "m")
    with pytest.raises(InputError, match=r"a .swc, .vtp"):
        read_vessel_file(folder / "nodes.csv", "m")
    mesh = pyvista.PolyData(np.eye(3), lines=[2, 0, 1])
    mesh.save(str(folder / "bare.vtp"))
    with pytest.raises(InputError, match="an array 'radius'"):
        read_vessel_file(folder / "bare.vtp", "um")
    mesh.cell_data["radius"] = [0.1]
    mesh.save(str(folder / "still.vtp"))
    with pytest.raises(InputError, match=r"two or more open ends of still.vtp: 0, 1"):
        read_vessel_file(folder / "still.vtp", "um")
    (folder / "q.csv").write_text("node,pressure_Pa\n7,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: got node 7"):
        read_vessel_file(folder / "still.vtp", "um", folder / "q.csv")
    pyvista.Sphere(theta_resolution=4, phi_resolution=4).save(str(folder / "ball.vtp"))
    with pytest.raises(InputError, match="no lines"):
        read_vessel_file(folder / "ball.vtp", "um")
    monkeypatch.setattr("importlib.util.find_spec", lambda *a: None)
    with pytest.raises(InputError, match=r"neither pyvista nor meshio"):
        read_vessel_file(folder / "still.vtp", "um")
