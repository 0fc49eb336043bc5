"""Assemble the Krogh cylinder: blood flows along a capillary and loses drug through its wall to the tissue around it.

Blood is a chain of channel cells with upwind flow; the wall of each sees the concentration (1 - theta) c_out + theta c_in with
``theta = 1/a - 1/(exp(a) - 1)``, a = wall conductance / flow: the exact mean over the cell for a linear wall, so the Crone-Renkin
extraction comes out for any number of cells, and any flux law stays conservative and second order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.transport.graph import Graph, Reaction, RouteEdges
from krogh.transport.mesh import Mesh
from krogh.transport.path import path_graph

__all__ = ["Capillary", "cylinder_graph", "mean_weight"]


@dataclass(frozen=True, slots=True)
class Capillary:
    """Describe the vessel in the middle of the cylinder.

    Attributes
    ----------
    radius_m, length_m : float
        Inner radius and length [m], > 0.
    velocity_m_s : float
        Mean plasma velocity [m/s], > 0.
    """

    radius_m: float
    length_m: float
    velocity_m_s: float

    def __post_init__(self) -> None:
        """Refuse what is no vessel."""
        for name, unit in (("radius_m", "m"), ("length_m", "m"), ("velocity_m_s", "m/s")):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"capillary {name}", got=value, expected=f"a finite value > 0 {unit}")

    @property
    def flow_m3_s(self) -> float:
        """Return the flow [m3/s]."""
        return float(np.pi * self.radius_m**2 * self.velocity_m_s)


def mean_weight(a: np.ndarray) -> np.ndarray:
    """Return theta = 1/a - 1/(exp(a) - 1), the share of the inlet in the mean of an exponential decay; 1/2 at a = 0."""
    a = np.asarray(a, dtype=float)
    small = a < 1e-3
    safe = np.where(small, 1.0, np.minimum(a, 700.0))
    return np.where(small, 0.5 - a / 12.0, 1.0 / safe - 1.0 / np.expm1(safe))


def cylinder_graph(barrier: Barrier, mesh: Mesh, capillary: Capillary, n_z: int, fu_plasma: np.ndarray) -> Graph:
    """Return the graph of a Krogh cylinder, amounts in mol per capillary.

    Parameters
    ----------
    barrier : Barrier
        Layers, membranes and cells; a membrane at face 0 is required (the wall).
    mesh : Mesh
        Radial cells, starting at the wall.
    capillary : Capillary
        The vessel.
    n_z : int
        Cells along it, >= 1.
    fu_plasma : array, broadcast to (B, S)
        Unbound fraction: blood stores and carries the total, u / fu.
    """
    if barrier.batch != 1:
        raise InputError("cylinder", got=f"a batch of {barrier.batch}", expected="one problem at a time")
    if not any(m.face == 0 for m in barrier.membranes):
        raise InputError("cylinder", got="no membrane at the capillary wall", expected="a membrane at face 0")
    if n_z < 1:
        raise InputError("cells along the capillary", got=n_z, expected=">= 1")
    return _Cylinder(barrier, mesh, capillary, n_z, barrier.expand(fu_plasma)).graph()


class _Cylinder:
    """Tile one radial path along the vessel: node p of slice k has index n_z (1 + p) + k, the blood of slice k index k."""

    def __init__(self, barrier: Barrier, mesh: Mesh, capillary: Capillary, n_z: int, fu: np.ndarray) -> None:
        self.barrier, self.mesh, self.capillary, self.n_z, self.fu = barrier, mesh, capillary, n_z, fu
        self.path = path_graph(barrier, mesh, radius_m=capillary.radius_m)
        self.dz = capillary.length_m / n_z
        self.n_nodes = n_z * (1 + self.path.shape[2])

    def _tile(self, per_length: np.ndarray) -> np.ndarray:
        """Return (B, S, node of the path) per metre as (B, S, node * n_z), in amounts of one slice."""
        return np.repeat(per_length * self.dz, self.n_z, axis=-1)

    def _index(self, nodes: np.ndarray) -> np.ndarray:
        """Return the nodes of all slices, path node by path node; the path's blood (index N) becomes the slice's blood."""
        k = np.arange(self.n_z)
        base = np.where(nodes == self.path.shape[2], 0, self.n_z * (1 + nodes))
        return (base[:, None] + k).ravel()

    def graph(self) -> Graph:
        """Assemble."""
        path, n_z = self.path, self.n_z
        b, s, _ = path.shape
        blood_volume = np.pi * self.capillary.radius_m**2 * self.dz
        blood = np.broadcast_to((blood_volume / self.fu)[..., None], (b, s, n_z))
        flow = np.broadcast_to((self.capillary.flow_m3_s / self.fu)[..., None], (b, s, n_z))
        zeros = np.zeros((b, s, n_z))
        outflow = np.zeros((b, s, self.n_nodes))
        outflow[..., n_z - 1] = flow[..., 0]
        axial_tail, axial_head, axial = self._axial()
        k = np.arange(n_z)
        channel_tail = np.where(k == 0, self.n_nodes, k - 1)
        radial = self._index(path.tail), self._index(path.head)
        count = radial[0].size
        conductance = np.concatenate([self._tile(path.conductance), axial, flow], -1)
        head_factor = np.concatenate([np.repeat(path.head_factor, n_z, -1), np.ones_like(axial), zeros], -1)
        tail = np.concatenate([radial[0], axial_tail, channel_tail])
        routes = tuple(self._route(t) for t in path.routes)
        graph = Graph(
            capacity=np.concatenate([blood, self._tile(path.capacity)], -1),
            tail=tail, head=np.concatenate([radial[1], axial_head, k]), conductance=conductance,
            tail_factor=np.ones_like(conductance), head_factor=head_factor,
            loss=np.concatenate([zeros, self._tile(path.loss)], -1), outflow=outflow, routes=routes,
            reactions=tuple(self._reaction(r) for r in path.reactions), parent=self._parent(),
            media={"blood": k} | {name: self._index(nodes) for name, nodes in path.media.items()},
            structure="cylinder", layout={**path.layout, "n_z": n_z, "dz_m": self.dz, "path_tail": path.tail,
            "path_head": path.head},
        )  # fmt: skip
        upstream = tail.copy()
        from_blood = np.flatnonzero(path.tail == path.shape[2])
        wall = (from_blood[:, None] * n_z + k).ravel()
        upstream[wall] = np.tile(channel_tail, from_blood.size)
        blend = np.zeros((b, s, tail.size))
        blend[..., wall] = self._theta()[..., None]
        assert count == path.tail.size * n_z
        return replace(graph, upstream=upstream, blend=blend)

    def _route(self, term: RouteEdges) -> RouteEdges:
        edges = (term.edges[:, None] * self.n_z + np.arange(self.n_z)).ravel()
        return RouteEdges(term.route, edges, np.repeat(term.area * self.dz, self.n_z), term.where)

    def _reaction(self, term: Reaction) -> Reaction:
        return Reaction(term.law, self._index(term.nodes), np.repeat(term.volume * self.dz, self.n_z), term.where)

    def _axial(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the edges between slices: diffusion along the vessel in every cell of the wall and tissue."""
        nodes = self.path.layout["cell_node"]
        d = np.stack([self.barrier.expand(layer.diffusivity_m2_s) for layer in self.barrier.layers], -1)[..., self.mesh.layer]
        edge = self.capillary.radius_m + self.mesh.edge_m
        ring = np.pi * (edge[1:] ** 2 - edge[:-1] ** 2)
        index = self._index(nodes).reshape(nodes.size, self.n_z)
        conductance = np.repeat(d * ring / self.dz, self.n_z - 1, axis=-1)
        return index[:, :-1].ravel(), index[:, 1:].ravel(), conductance

    def _theta(self) -> np.ndarray:
        """Return theta (B, S) from the wall conductance at low concentration."""
        b, s, n = self.path.shape
        zero = np.zeros((b, s, 1))
        first = self.path.layout["cell_node"][0]
        half = 1.0 / self.path.conductance[..., first - 1]  # face 0 to the first cell, per metre
        wall, past = np.zeros((b, s)), np.zeros((b, s))
        for term in self.path.routes:
            if self.path.tail[term.edges[0]] != n:
                continue
            slope = term.route.flux(zero, zero).d_blood
            slope = np.diagonal(slope, axis1=1, axis2=2)[:, 0] if slope.ndim == 4 else slope[..., 0]
            if term.where == "blood-brain":
                past += term.area * slope
            else:
                wall += term.area * slope
        series = np.where(wall > 0, 1.0 / (1.0 / np.where(wall > 0, wall, 1.0) + half), 0.0)
        return mean_weight((series + past) * self.dz * self.fu / self.capillary.flow_m3_s)

    def _parent(self) -> np.ndarray:
        k = np.arange(self.n_z)
        radial = [np.where(p < 0, k, self.n_z * (1 + p) + k) for p in self.path.parent]
        return np.concatenate([k - 1, *radial]).astype(np.int64)
