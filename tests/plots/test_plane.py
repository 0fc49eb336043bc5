"""Any plane, strips, films and pages of a block and a network: labelled, of the right place, whole without a network."""

import json
import re
import subprocess

import numpy as np
import pytest
import xarray as xr

import krogh
from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.plots import movie, volume_html
from krogh.plots.plane import Plane, draw_plane, draw_strip
from krogh.plots.volume_html import write_volume_page

from .conftest import check


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("block")
    (folder / "run.toml").write_text(
        'compounds = ["mannitol"]\ngeometry = "block"\ndose = "1 mM constant"\nduration = "2 min"\n'
        "[block]\ncells = 20\ncells_y = 6\ncells_z = 5\nframes = 4\n"
        '[[block.patterns]]\nroute = "paracellular"\nfactor = 100.0\nradius = "6 um"\ncenter = ["10 um", "30 um"]\n',
        encoding="utf-8",
    )
    assert _run(["simulate", "--config", str(folder / "run.toml"), "--out", str(folder / "out"), "--no-pictures", "-q"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def leaky(run) -> xr.Dataset:
    from krogh.io.store import open_results

    return open_results(run).load()


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> xr.Dataset:
    folder = tmp_path_factory.mktemp("network")
    nodes, segments = folder / "nodes.csv", folder / "segments.csv"
    nodes.write_text("node,x_m,y_m,z_m,pressure_Pa\n0,0,2e-5,2e-5,300\n1,6e-5,3e-5,2e-5,100\n", encoding="utf-8")
    segments.write_text("segment,node_a,node_b,radius_m\n0,0,1,3e-6\n", encoding="utf-8")
    network = {"nodes": str(nodes), "segments": str(segments), "cells": 8, "margin": "15 um", "frames": 3}
    return krogh.simulate("caffeine", geometry="network", dose="1 uM constant", duration="10 s", network=network).dataset


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("plane", [Plane("y", 11e-6), Plane("x", 5e-6), Plane("x", layer="endothelium"), Plane("x"), Plane()])
def test_every_plane_of_a_block_is_labelled_and_inside_the_page(leaky, plane, scale):
    check(draw_plane(leaky, plane=plane, scale=scale))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_every_plane_of_a_network_is_labelled_and_inside_the_page(net, axis):
    figure = draw_plane(net, plane=Plane(axis, 20e-6), scale="linear")
    check(figure)
    assert f"plane {axis} =" in str(figure.get_label())


def test_a_plane_is_where_it_was_asked_for(leaky):
    assert "(endothelium)" in str(draw_plane(leaky, plane=Plane("x", layer="endothelium")).get_label())
    with pytest.raises(InputError, match="a length or a layer: lumen"):
        draw_plane(leaky, plane=Plane("x", layer="liver"))
    with pytest.raises(InputError, match="plane at x: got 900 um"):
        draw_plane(leaky, plane=Plane("x", 9e-4))
    with pytest.raises(InputError, match="plane at y: got 41 um"):
        draw_plane(leaky, plane=Plane("y", 41e-6))


def test_a_network_has_no_layers_along_x(net):
    with pytest.raises(InputError, match="no layers"):
        draw_plane(net, plane=Plane("x", layer="endothelium"))
    with pytest.raises(InputError, match="plane at y"):
        draw_plane(net, plane=Plane("y", 1.0))


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_strips_show_every_layer(leaky, scale):
    figure = draw_strip(leaky, scale=scale)
    check(figure)
    names = " ".join(t.get_text() for t in figure.axes[0].get_yticklabels())
    assert all(layer in names for layer in ("lumen", "endothelium", "interstitium"))
    with pytest.raises(InputError, match="two or more"):
        draw_strip(leaky.isel(frame=[0]))


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_page_needs_no_network_and_has_a_time_for_every_frame(leaky, net, tmp_path, scale):
    for data, traces in ((leaky, 6), (net, 2)):
        text = write_volume_page(data, tmp_path / "volume.html", scale=scale).read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", text)
        assert "not for diagnosis" in text
        frames = re.search(r'"method":"animate"', text)
        assert frames
        assert text.count('"method":"animate"') == data.frame.size
        figure = re.search(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", text, re.DOTALL)
        assert figure
        assert len(json.loads(figure.group(1))) == traces


def test_tubes_have_the_radius_of_their_vessel():
    start, end = np.zeros((1, 3)), np.array([[10.0, 0.0, 0.0]])
    points, corners = volume_html._tubes(start, end, np.array([2.5]))
    np.testing.assert_allclose(np.linalg.norm(points[:, 1:], axis=1), 2.5, rtol=1e-6)
    assert corners.max() == len(points) - 1


def test_a_film_holds_every_frame(leaky, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'movie'")
    path = movie.write_movie(leaky, tmp_path / "film.mp4", frame_s=0.2)
    # decoded by the tool itself: the reader of the package leaves its pipes open
    command = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-vf", "scale=64:48", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"h264" in done.stderr
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, 48, 64)
    assert len(pictures) == 2 * (leaky.frame.size - 1) + 20
    assert np.abs(pictures[0].astype(int) - pictures[-1]).max() > 50


@pytest.mark.parametrize(
    ("words", "extra"), [(["--view", "movie", "--mp4"], "krogh[movie]"), (["--view", "volume", "--html"], "krogh[viz3d]")]
)
def test_what_is_missing_is_named_in_one_line(run, words, extra, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None)
    assert _run(["plot", str(run), *words, "--out", str(tmp_path)]) == 3
    error = capsys.readouterr().err.strip()
    assert extra in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_planes_on_the_command_line(run, tmp_path, capsys):
    for plane, file in (("x=endothelium", "section_x_endothelium_mannitol.png"), ("y=12 um", "section_y_12um_mannitol.png")):
        assert _run(["plot", str(run), "--view", "section", "--plane", plane, "--out", str(tmp_path)]) == 0
        assert (tmp_path / file).stat().st_size > 10_000
    assert _run(["plot", str(run), "--view", "strip", "--place", "10 um,30 um", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    for wrong in ("12 um", "w=3 um", "x="):
        assert _run(["plot", str(run), "--view", "section", "--plane", wrong, "--out", str(tmp_path)]) == 2
        assert "--plane" in capsys.readouterr().err
