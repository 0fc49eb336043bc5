"""Flows at the open ends drive a network as pressures do; what does not add up is refused."""

from dataclasses import replace

import numpy as np
import pytest

from krogh.errors import InputError
from krogh.transport.network.vessels import poiseuille_flow, refine

from .test_network import _branched


def _by_flows(change=None):
    """Return the branched network with the flows that its pressures give, at its open ends only, and those flows by segment."""
    vessels = _branched()
    known = poiseuille_flow(vessels)
    signed = np.zeros(len(vessels.ends))
    for (a, b), q in zip(known.vessels.ends, known.flow_m3_s, strict=True):
        forward = np.flatnonzero((vessels.ends == (a, b)).all(1))
        signed[forward if forward.size else (vessels.ends == (b, a)).all(1)] = q if forward.size else -q
    degree = np.bincount(vessels.ends.ravel())
    flow = np.where((degree[vessels.ends] == 1).any(1), signed, np.nan)
    if change is not None:
        change(flow)
    return replace(vessels, pressure_pa=np.full(len(vessels.points_m), np.nan), flow_m3_s=flow), known


@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda flow: flow.__setitem__(5, np.nan),  # the way out follows
        lambda flow: flow.__setitem__(0, np.nan),  # the way in follows
        lambda flow: flow.__setitem__(5, flow[5] * 1.004),  # the digits of a table
    ],
    ids=["all", "outlet left blank", "inlet left blank", "rounded"],
)
def test_flows_at_open_ends_give_the_flow_of_the_pressures(change):
    vessels, known = _by_flows(change)
    for cut in (vessels, refine(vessels, 4e-6)):
        flow = poiseuille_flow(cut)
        q, ends, n = flow.flow_m3_s, flow.vessels.ends, len(cut.points_m)
        assert q.max() == pytest.approx(known.flow_m3_s.max(), rel=1e-10)
        net = np.bincount(ends[:, 1], q, n) - np.bincount(ends[:, 0], q, n)
        inner = np.bincount(ends.ravel(), minlength=n) > 1
        assert np.abs(net[inner]).max() <= 1e-12 * q.max()
        assert (flow.inlets.size, flow.outlets.size, flow.still_pieces) == (1, 1, 1)
    assert np.sort(poiseuille_flow(vessels).flow_m3_s) == pytest.approx(np.sort(known.flow_m3_s), rel=1e-9, abs=1e-12 * q.max())


def test_a_pressure_goes_before_a_flow_and_one_fixes_the_level():
    vessels, known = _by_flows()
    pressure = vessels.pressure_pa.copy()
    pressure[5] = 100.0
    flow = poiseuille_flow(replace(vessels, pressure_pa=pressure))
    assert flow.pressure_pa[0] == pytest.approx(400.0, rel=1e-9)
    assert np.sort(flow.flow_m3_s) == pytest.approx(np.sort(known.flow_m3_s), rel=1e-9, abs=1e-25)


def test_flows_that_do_not_add_up_are_refused():
    vessels, _ = _by_flows(lambda flow: flow.__setitem__(5, 0.5 * flow[5]))
    with pytest.raises(InputError, match="flows that add up") as caught:
        poiseuille_flow(vessels)
    assert "m3/s in and" in str(caught.value)
    assert "\n" not in str(caught.value)
    still, _ = _by_flows(lambda flow: flow.__setitem__(slice(None), 0.0))
    with pytest.raises(InputError, match="no flow"):
        poiseuille_flow(still)
