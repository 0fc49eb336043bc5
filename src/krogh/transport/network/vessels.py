"""Hold a network of vessels, cut it into short segments, and find its flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

from krogh.errors import InputError
from krogh.transport.network.open_ends import open_ends

__all__ = ["Flow", "Vessels", "crosswise", "poiseuille_flow", "refine"]

#: Apparent viscosity of blood in capillaries [Pa s]; assumed.
VISCOSITY_PA_S = 3e-3


@dataclass(frozen=True)
class Vessels:
    """Straight segments between nodes.

    Attributes
    ----------
    points_m : array (n, 3)
        Positions of the nodes [m].
    ends : int array (m, 2)
        Nodes at the ends of each segment.
    radius_m : array (m,)
        Inner radius [m].
    pressure_pa : array (n,)
        Pressure [Pa]; used at the open ends (nodes of one segment), NaN where unknown.
    flow_m3_s : array (m,), optional
        Flow from the first to the second end [m3/s]; used at open ends whose pressure is unknown, NaN where unknown.
    """

    points_m: np.ndarray
    ends: np.ndarray
    radius_m: np.ndarray
    pressure_pa: np.ndarray
    flow_m3_s: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse what is no network; the message names the segment."""
        if self.ends.size == 0:
            raise InputError("network", got="no segments", expected="at least one")
        if self.ends.min() < 0 or self.ends.max() >= len(self.points_m):
            bad = int(np.flatnonzero((self.ends < 0).any(1) | (self.ends >= len(self.points_m)).any(1))[0])
            raise InputError(f"segment {bad}", got=f"nodes {self.ends[bad].tolist()}", expected=f"0 to {len(self.points_m) - 1}")
        if not np.all(np.isfinite(self.points_m)):
            bad = int(np.flatnonzero(~np.isfinite(self.points_m).all(1))[0])
            raise InputError(f"node {bad}", got="a position that is not a number", expected="finite coordinates [m]")
        for what, values in (("radius", self.radius_m), ("length", self.length_m)):
            wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if wrong.size:
                raise InputError(f"segment {wrong[0]}", got=f"{what} {values[wrong[0]]:g} m", expected="a finite value > 0 m")

    @property
    def length_m(self) -> np.ndarray:
        """Return the length of each segment (m,)."""
        return np.linalg.norm(self.points_m[self.ends[:, 1]] - self.points_m[self.ends[:, 0]], axis=1)

    @property
    def pieces(self) -> np.ndarray:
        """Return the connected piece that each node belongs to (n,)."""
        n = len(self.points_m)
        join = scipy.sparse.coo_matrix((np.ones(len(self.ends)), self.ends.T), shape=(n, n))
        return scipy.sparse.csgraph.connected_components(join, directed=False)[1]


@dataclass(frozen=True)
class Flow:
    """The flow in every segment, all turned downstream.

    Attributes
    ----------
    vessels : Vessels
        Segments in an order in which blood reaches them, each from its upstream to its downstream end.
    flow_m3_s : array (m,)
        Flow >= 0 [m3/s].
    pressure_pa : array (n,)
        Pressure of every node.
    still_pieces : int
        Connected pieces without flow: nothing at their open ends drives any.
    """

    vessels: Vessels
    flow_m3_s: np.ndarray
    pressure_pa: np.ndarray
    still_pieces: int

    @property
    def inlets(self) -> np.ndarray:
        """Return the segments that arterial blood enters from outside."""
        fed = np.isin(self.vessels.ends[:, 0], self.vessels.ends[self.flow_m3_s > 0, 1])
        return np.flatnonzero((self.flow_m3_s > 0) & ~fed)

    @property
    def outlets(self) -> np.ndarray:
        """Return the segments that blood leaves the network from."""
        goes_on = np.isin(self.vessels.ends[:, 1], self.vessels.ends[self.flow_m3_s > 0, 0])
        return np.flatnonzero((self.flow_m3_s > 0) & ~goes_on)


def refine(vessels: Vessels, longest_m: float) -> Vessels:
    """Return the same vessels in segments of at most `longest_m`."""
    count = np.maximum(1, np.ceil(vessels.length_m / longest_m - 1e-9)).astype(int)
    points, ends, radius = [*vessels.points_m], [], []
    flow = None if vessels.flow_m3_s is None else np.repeat(vessels.flow_m3_s, count)
    for (a, b), n, r in zip(vessels.ends, count, vessels.radius_m, strict=True):
        before = a
        for k in range(1, n + 1):
            after = b
            if k < n:
                after = len(points)
                points.append(vessels.points_m[a] + (vessels.points_m[b] - vessels.points_m[a]) * (k / n))
            ends.append((before, after))
            radius.append(r)
            before = after
    pressure = np.full(len(points), np.nan)
    pressure[: len(vessels.pressure_pa)] = vessels.pressure_pa
    return Vessels(np.array(points), np.array(ends), np.array(radius), pressure, flow)


def poiseuille_flow(vessels: Vessels, *, viscosity_pa_s: float = VISCOSITY_PA_S) -> Flow:
    """Return the flow by Poiseuille's law from pressures or flows at the open ends; what enters a node leaves it.

    ``Q = pi R^4 / (8 mu L) (p_a - p_b)``. A piece that nothing drives stands still: its open ends have neither two different
    pressures nor a flow. Flows of inner segments follow; given ones are not used.

    Raises
    ------
    InputError
        If no piece flows, or the flows that are given do not add up.
    """
    n, ends = len(vessels.points_m), vessels.ends
    conductance = np.pi * vessels.radius_m**4 / (8 * viscosity_pa_s * vessels.length_m)
    given, piece = open_ends(vessels), vessels.pieces
    flowing = given.flowing
    if not flowing.any():
        raise InputError("network", got="no flow: no piece has two open ends with different pressures, or a flow",
                         expected="pressures at an inlet and an outlet that are connected, or flows at open ends")  # fmt: skip
    fixed = np.isfinite(given.held_pa)
    pressure = np.where(fixed, given.held_pa, 0.0)
    free = np.flatnonzero(flowing & ~fixed)
    if free.size:
        rows = np.concatenate([ends[:, 0], ends[:, 1], ends[:, 0], ends[:, 1]])
        cols = np.concatenate([ends[:, 0], ends[:, 1], ends[:, 1], ends[:, 0]])
        data = np.concatenate([conductance, conductance, -conductance, -conductance])
        k = scipy.sparse.coo_matrix((data, (rows, cols)), shape=(n, n)).tocsr()
        right = given.inflow_m3_s[free] - (k[free] @ pressure)
        pressure[free] = scipy.sparse.linalg.spsolve(k[free][:, free].tocsc(), right)
    flow = np.where(flowing[ends[:, 0]], conductance * (pressure[ends[:, 0]] - pressure[ends[:, 1]]), 0.0)
    # what is below round-off of the largest flow stands still
    flow[np.abs(flow) < 1e-12 * np.abs(flow).max()] = 0.0
    turned = np.where((flow < 0)[:, None], ends[:, ::-1], ends)
    order = np.lexsort((np.arange(len(ends)), -pressure[turned[:, 0]], ~flowing[turned[:, 0]]))
    sorted_vessels = Vessels(vessels.points_m, turned[order], vessels.radius_m[order], vessels.pressure_pa)
    still = len(np.unique(piece)) - len(np.unique(piece[flowing]))
    return Flow(sorted_vessels, np.abs(flow)[order], pressure, still)


def crosswise(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors (segment, 3) across every segment, at right angles to it and to each other."""
    axis = (end - start) / np.linalg.norm(end - start, axis=1)[:, None]
    helper = np.eye(3)[np.abs(axis).argmin(axis=1)]
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1)[:, None]
    return first, np.cross(axis, first)
