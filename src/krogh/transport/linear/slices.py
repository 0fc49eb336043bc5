"""See the graph of a cylinder as one path, the same in every slice, and the blood that flows through the slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from krogh.transport.graph import Graph
from krogh.transport.operator import Slopes

__all__ = ["SliceSlopes", "Slices"]


@dataclass(frozen=True, slots=True)
class SliceSlopes:
    """Slopes of the flows by path edge (or node) and slice; every number is a species x species matrix.

    Attributes
    ----------
    tail, head : array (path edge, nz, S, S)
        Of what crosses each edge of the path.
    node : array (path node, nz, S, S)
        Of losses and reactions.
    blood : array (S, nz)
        Of what leaves the model with the blood of each slice.
    """

    tail: np.ndarray
    head: np.ndarray
    node: np.ndarray
    blood: np.ndarray


class Slices:
    """Number the nodes of a graph of structure ``cylinder``: blood of every slice, then the path node by node, slice by slice.

    Parameters
    ----------
    graph : Graph
        As :func:`~krogh.transport.cylinder.cylinder_graph` makes it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nz = int(graph.layout["n_z"])
        self.species = graph.shape[1]
        self.tail, self.head = graph.layout["path_tail"], graph.layout["path_head"]
        self.nodes = graph.shape[2] // self.nz - 1
        #: Edges of the path that start in blood: the wall, and what passes the endothelium.
        self.walls = np.flatnonzero(self.tail == self.nodes)
        inner = np.flatnonzero(self.tail < self.nodes)
        self.parent = np.full(self.nodes, -1, dtype=np.int64)
        self.edge = np.full(self.nodes, -1, dtype=np.int64)
        self.parent[self.head[inner]], self.edge[self.head[inner]] = self.tail[inner], inner
        leaves = np.arange(int(graph.layout["n_chain"]), self.nodes)
        #: Every node before its parent: compartments, then the path from the tissue to the blood.
        self.order = np.concatenate([leaves, np.arange(leaves[0] if leaves.size else self.nodes)[::-1]]).astype(np.int64)

    @cached_property
    def axial(self) -> np.ndarray:
        """Return the conductance between neighbouring slices (S, path node)."""
        out = np.zeros((self.species, self.nodes))
        if self.nz > 1:
            first, cells = self.tail.size * self.nz, self.graph.layout["cell_node"]
            out[:, cells] = self.graph.conductance[0][:, first : first + cells.size * (self.nz - 1) : self.nz - 1]
        return out

    @cached_property
    def flow(self) -> np.ndarray:
        """Return the flow of blood per free concentration (S,)."""
        return self.graph.conductance[0][:, -1]

    @cached_property
    def upstream(self) -> np.ndarray:
        """Return the share of the inlet in the mean blood of a slice (S,)."""
        assert self.graph.blend is not None
        return self.graph.blend[0][:, int(self.walls[0]) * self.nz]

    @cached_property
    def uniform(self) -> bool:
        """Return whether every slice is like the others, but for what the routes do."""
        graph, radial = self.graph, self.tail.size * self.nz
        g = graph.conductance[0]
        along = g[:, radial : g.shape[1] - self.nz].reshape(self.species, -1, max(self.nz - 1, 1))
        assert graph.blend is not None
        wall = graph.blend[0][:, :radial].reshape(self.species, -1, self.nz)[:, self.walls]
        alike = [self.path(graph.loss[0]), g[:, :radial].reshape(self.species, -1, self.nz), along, g[:, None, -self.nz :]]
        same = all(x.size == 0 or bool(np.all(x == x[..., :1])) for x in alike)
        return same and bool(np.all(wall == wall[:, :1, :1]))

    def path(self, values: np.ndarray) -> np.ndarray:
        """Return the values (S, N) of the path as (S, path node, nz)."""
        return values[:, self.nz :].reshape(self.species, self.nodes, self.nz)

    def slopes(self, slopes: Slopes) -> SliceSlopes:
        """Return the slopes by path edge and slice."""
        s, nz, radial = self.species, self.nz, self.tail.size * self.nz

        def matrices(values: np.ndarray) -> np.ndarray:
            return values[0] if slopes.coupled else values[0, 0, :, None, None]

        node = matrices(slopes.node)
        tail, head = (matrices(x)[:radial].reshape(-1, nz, s, s) for x in (slopes.tail, slopes.head))
        blood = np.diagonal(node[:nz], axis1=1, axis2=2).T
        return SliceSlopes(tail, head, node[nz:].reshape(-1, nz, s, s), blood)
