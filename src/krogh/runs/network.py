"""Turn the settings of a network into its problem."""

from __future__ import annotations

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.runs.block import frame_times
from krogh.runs.config import NetworkConfig
from krogh.transport.march import BloodSource
from krogh.transport.network.assemble import Tissue
from krogh.transport.network.problem import NetworkProblem
from krogh.transport.network.vessels import Flow, Vessels, poiseuille_flow, refine
from krogh.units import parse_quantity

__all__ = ["describe_network", "network_problem"]


def describe_network(flow: Flow) -> str:
    """Return what a reader must know of a network: open ends, and what stands still."""
    pieces, still = int(flow.vessels.pieces.max()) + 1, int((flow.flow_m3_s == 0).sum())
    return (
        f"network of {len(flow.flow_m3_s)} segments in {pieces} pieces, {flow.inlets.size} inlets and "
        f"{flow.outlets.size} outlets; {flow.still_pieces} pieces and {still} segments without flow exchange with the tissue only"
    )


def network_problem(
    settings: NetworkConfig, barrier: Barrier, blood: BloodSource, duration_s: float, vessels: Vessels | None
) -> NetworkProblem:
    """Return the problem of a network.

    Raises
    ------
    InputError
        If no network was given, a length is no length, or the network does not flow.
    """
    if vessels is None:
        raise InputError("network", got="no vessels", expected="network.nodes and network.segments (CSV), or network.file")
    longest = parse_quantity(settings.longest, "length", where="network.longest")
    if not longest > 0:
        raise InputError("network.longest", got=settings.longest, expected="a length > 0")
    margin = parse_quantity(settings.margin, "length", where="network.margin")
    flow = poiseuille_flow(refine(vessels, longest))
    tissue = Tissue.around(vessels.points_m, settings.cells, margin)
    fu = getattr(blood, "fu", 1.0)
    return NetworkProblem(barrier, blood, duration_s, flow, tissue, fu, frame_times(duration_s, settings.frames))
