"""Pictures of a network: labelled and inside the page."""

import pytest

import krogh
from krogh.errors import InputError
from krogh.plots.network import draw_network
from krogh.plots.section import draw_section

from .conftest import check


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    nodes, segments = folder / "nodes.csv", folder / "segments.csv"
    nodes.write_text("node,x_m,y_m,z_m,pressure_Pa\n0,0,2e-5,2e-5,300\n1,6e-5,3e-5,2e-5,100\n", encoding="utf-8")
    segments.write_text("segment,node_a,node_b,radius_m\n0,0,1,3e-6\n", encoding="utf-8")
    network = {"nodes": str(nodes), "segments": str(segments), "cells": 8, "margin": "15 um", "frames": 4}
    return krogh.simulate("caffeine", geometry="network", dose="1 uM constant", duration="30 s", network=network).dataset


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_planes_are_labelled_and_inside_the_page(net, scale):
    check(draw_network(net, scale=scale))
    check(draw_network(net, "caffeine", scale=scale, at_m=10e-6))


def test_the_usual_section_of_a_network_is_its_plane(net, slab):
    assert "Plane through the network" in draw_section(net).get_label()
    with pytest.raises(InputError, match="--geometry network"):
        draw_network(slab)
