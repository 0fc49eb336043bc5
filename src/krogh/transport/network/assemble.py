"""Assemble a network in its tissue as one graph: blood cells, the wall of every segment, tissue cells and their compartments.

Blood is one cell a segment, upwind, with the exactly fitted exchange of the cylinder where one segment feeds it. The wall is the
barrier without its last layer, as a radial path; the last layer is the tissue, a uniform grid with closed faces.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.transport.cylinder import mean_weight
from krogh.transport.graph import Graph, Reaction, RouteEdges
from krogh.transport.mesh import layered_mesh
from krogh.transport.network.coupling import exchange_factor, spread_weights
from krogh.transport.network.tissue import Tissue
from krogh.transport.network.vessels import Flow
from krogh.transport.path import path_graph

__all__ = ["Tissue", "network_graph"]

_REACH = 3.0  # radius of the spread exchange over that of the vessel with its wall


def network_graph(
    barrier: Barrier, flow: Flow, tissue: Tissue, fu_plasma: np.ndarray, *, wall_cells: tuple[int, ...] | None = None
) -> Graph:
    """Return the graph of a network; amounts in mol.

    Parameters
    ----------
    barrier : Barrier
        Layers from blood to tissue; the last one is the tissue, with all cell compartments in it.
    flow : Flow
        Vessels with their flow.
    tissue : Tissue
        The grid around them.
    fu_plasma : array, broadcast to (1, S)
        Unbound fraction: blood stores and carries the total.
    wall_cells : tuple of int, optional
        Cells in each layer of the wall; two by default.

    Raises
    ------
    InputError
        If the barrier has no wall, a vessel does not fit into the tissue, or a cell compartment lies in the wall.
    """
    if barrier.batch != 1 or len(barrier.layers) < 2 or not any(m.face == 0 for m in barrier.membranes):
        raise InputError(
            "network", got="a barrier without a wall", expected="one problem, a membrane at face 0, two layers or more"
        )
    last = len(barrier.layers) - 1
    if any(c.layer != last for c in barrier.cells) or any(m.face == last for m in barrier.membranes):
        raise InputError(
            "network", got="cells or a membrane elsewhere", expected="cell compartments in the last layer, no membrane at it"
        )
    size = np.array(tissue.shape) * tissue.spacing_m
    if 2 * float(flow.vessels.radius_m.max()) > float(size.min()):
        k = int(flow.vessels.radius_m.argmax())
        raise InputError(
            f"segment {k}",
            got=f"radius {flow.vessels.radius_m[k] * 1e6:g} um",
            expected=f"less than half the block, {size.min() * 5e5:g} um",
            hint="widen the block with network.margin, or check the units of the radius",
        )
    return _Network(barrier, flow, tissue, barrier.expand(fu_plasma), wall_cells).graph()


class _Network:
    """Node numbers: blood m, wall (path node p, segment k) m (1 + p) + k, outer faces, tissue cells, compartments."""

    def __init__(self, barrier: Barrier, flow: Flow, tissue: Tissue, fu: np.ndarray, wall_cells: tuple[int, ...] | None) -> None:
        self.barrier, self.flow, self.tissue, self.fu = barrier, flow, tissue, fu
        self.wall = replace(barrier, layers=barrier.layers[:-1], cells=())
        self.mesh = layered_mesh(self.wall.layers, wall_cells or (2,) * len(self.wall.layers), ratio=1.0)
        self.m = len(flow.flow_m3_s)
        self.length = flow.vessels.length_m
        radii, self.kind = np.unique(flow.vessels.radius_m, return_inverse=True)
        self.paths = [path_graph(self.wall, self.mesh, radius_m=float(r)) for r in radii]
        self.path = self.paths[0]
        self.p = self.path.shape[2]
        self.outer = self.m * (1 + self.p)
        self.first = self.outer + self.m
        self.n = self.first + tissue.cells * (1 + len(barrier.cells))
        self.outer_radius = flow.vessels.radius_m + self.mesh.edge_m[-1]
        self.reach = np.maximum(_REACH * self.outer_radius, tissue.spacing_m)
        self.weights = spread_weights(flow.vessels, self.reach, tissue.shape, tissue.origin_m, tissue.spacing_m)

    def _per_segment(self, values: list[np.ndarray]) -> np.ndarray:
        """Return path quantities per metre (B, S, X) of every radius as amounts (B, S, X m)."""
        tiled = np.stack(values, axis=-1)[..., self.kind] * self.length
        return tiled.reshape(*tiled.shape[:2], -1)

    def _index(self, nodes: np.ndarray) -> np.ndarray:
        k = np.arange(self.m)
        return (np.where(nodes == self.p, 0, self.m * (1 + nodes))[:, None] + k).ravel()

    def graph(self) -> Graph:
        s = len(self.barrier.species)
        capacity, loss, outflow = (np.zeros((1, s, self.n)) for _ in range(3))
        volume = np.pi * self.flow.vessels.radius_m**2 * self.length
        capacity[..., : self.m] = volume / self.fu[..., None]
        walls = slice(self.m, self.outer)
        capacity[..., walls] = self._per_segment([p.capacity for p in self.paths])
        loss[..., walls] = self._per_segment([p.loss for p in self.paths])
        self._fill_tissue(capacity, loss)
        out = self.flow.outlets
        outflow[..., out] = self.flow.flow_m3_s[out] / self.fu[..., None]
        edges = [self._radial(), self._outer_edges(), self._spread_edges(), self._lateral(), self._leaf_edges(), self._blood()]
        tail, head = (np.concatenate([e[i] for e in edges]) for i in (0, 1))
        conductance, factor = (np.concatenate([e[i] for e in edges], -1) for i in (2, 3))
        graph = Graph(
            capacity=capacity, tail=tail, head=head, conductance=conductance, tail_factor=np.ones_like(conductance),
            head_factor=factor, loss=loss, outflow=outflow, routes=self._routes(), reactions=self._reactions(),
            parent=self._parent(), media=self._media(), structure="embedded",
            layout={"first_tissue": self.first, "shape": self.tissue.shape, "cells": len(self.barrier.cells),
                    "spread": (self.path.tail.size * self.m + self.m, edges[2][0].size), "outer": self.outer,
                    "segments": self.m},
        )  # fmt: skip
        return self._blend(graph)

    def _fill_tissue(self, capacity: np.ndarray, loss: np.ndarray) -> None:
        layer, cube, n = self.barrier.layers[-1], self.tissue.spacing_m**3, self.tissue.cells
        own = slice(self.first, self.first + n)
        capacity[..., own] = self.barrier.expand(layer.capacity)[..., None] * cube
        loss[..., own] = self.barrier.expand(layer.loss_per_s)[..., None] * cube
        for i, cell in enumerate(self.barrier.cells):
            leaf = slice(self.first + n * (i + 1), self.first + n * (i + 2))
            capacity[..., leaf] = self.barrier.expand(cell.capacity)[..., None] * cube

    # -- edges: (tail, head, conductance, head factor) --------------------------------------------------------------------------

    def _radial(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        g = self._per_segment([p.conductance for p in self.paths])
        return self._index(self.path.tail), self._index(self.path.head), g, np.repeat(self.path.head_factor, self.m, -1)

    def _outer_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Join the last wall cell of every segment to its outer face."""
        edge = self.flow.vessels.radius_m + self.mesh.edge_m[-1]
        before = self.flow.vessels.radius_m + self.mesh.edge_m[-2]
        center = np.sqrt(0.5 * (edge**2 + before**2))
        d = self.barrier.expand(self.wall.layers[-1].diffusivity_m2_s)[..., None]
        g = 2 * np.pi * d * self.length / np.log(edge / center)
        last = self._index(np.array([self.path.layout["cell_node"][-1]]))
        return last, self.outer + np.arange(self.m), g, np.ones_like(g)

    def _spread_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        d = self.barrier.expand(self.barrier.layers[-1].diffusivity_m2_s)[..., None]
        factor = np.array([exchange_factor(float(x)) for x in np.round(np.log(self.reach / self.outer_radius), 9)])
        share = self.weights.tocoo()
        g = np.pi * d * (factor * self.length)[share.row] * share.data
        return self.outer + share.row, self.first + share.col, g, np.ones_like(g)

    def _lateral(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        index = self.first + np.arange(self.tissue.cells).reshape(self.tissue.shape)
        tails = [index[:-1].ravel(), index[:, :-1].ravel(), index[:, :, :-1].ravel()]
        heads = [index[1:].ravel(), index[:, 1:].ravel(), index[:, :, 1:].ravel()]
        tail, head = np.concatenate(tails), np.concatenate(heads)
        d = self.barrier.expand(self.barrier.layers[-1].diffusivity_m2_s)[..., None]
        g = np.broadcast_to(d * self.tissue.spacing_m, (*d.shape[:2], tail.size))
        return tail, head, g, np.ones_like(g)

    def _leaf_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        n, cube = self.tissue.cells, self.tissue.spacing_m**3
        shape = (1, len(self.barrier.species), n)
        cell = self.first + np.arange(n)
        tails, heads, gs, factors = (
            [np.zeros(0, int)],
            [np.zeros(0, int)],
            [np.zeros((*shape[:2], 0))],
            [np.zeros((*shape[:2], 0))],
        )
        for i, c in enumerate(self.barrier.cells):
            tails.append(cell)
            heads.append(cell + n * (i + 1))
            gs.append(np.broadcast_to(self.barrier.expand(c.exchange_per_s)[..., None] * cube, shape))
            factors.append(np.broadcast_to(1.0 / self.barrier.expand(c.trapping)[..., None], shape))
        return np.concatenate(tails), np.concatenate(heads), np.concatenate(gs, -1), np.concatenate(factors, -1)

    def _blood(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Carry blood from every segment to those after it, shared by their flow; arterial blood to the inlets."""
        ends, q = self.flow.vessels.ends, self.flow.flow_m3_s
        leaving = np.bincount(ends[:, 0], weights=q, minlength=len(self.flow.vessels.points_m))
        after: dict[int, list[int]] = {}
        for k in np.flatnonzero(q > 0):
            after.setdefault(int(ends[k, 0]), []).append(int(k))
        pairs = [(k, j) for k in np.flatnonzero(q > 0) for j in after.get(int(ends[k, 1]), [])]
        tail = np.array([k for k, _ in pairs], dtype=int)
        head = np.array([j for _, j in pairs], dtype=int)
        carried = q[tail] * q[head] / leaving[ends[head, 0]] if tail.size else np.zeros(0)
        inlets = self.flow.inlets
        tail = np.concatenate([tail, np.full(inlets.size, self.n)])
        head = np.concatenate([head, inlets])
        g = np.concatenate([carried, q[inlets]]) / self.fu[..., None]
        return tail, head, g, np.zeros_like(g)

    # -- the rest --------------------------------------------------------------------------------------------------------------

    def _blend(self, graph: Graph) -> Graph:
        """Let the wall of a segment with one feeder see the mean of an exponential decay along it."""
        ends, q = self.flow.vessels.ends, self.flow.flow_m3_s
        feeders = np.bincount(ends[q > 0, 1], minlength=len(self.flow.vessels.points_m))
        feeder = np.full(len(self.flow.vessels.points_m), self.n)
        feeder[ends[q > 0, 1]] = np.flatnonzero(q > 0)
        single = (q > 0) & (feeders[ends[:, 0]] <= 1)
        upstream = graph.tail.copy()
        blend = np.zeros((*graph.shape[:2], graph.tail.size))
        theta = mean_weight(self._wall_conductance() * self.fu[..., None] / np.where(q > 0, q, 1.0))
        for e in np.flatnonzero(self.path.tail == self.p):
            own = e * self.m + np.arange(self.m)
            upstream[own] = np.where(single, feeder[ends[:, 0]], graph.tail[own])
            blend[..., own] = np.where(single, theta, 0.0)
        return replace(graph, upstream=upstream, blend=blend)

    def _wall_conductance(self) -> np.ndarray:
        """Return the conductance of every wall at low concentration (1, S, m)."""
        zero = np.zeros((1, len(self.barrier.species), 1))
        first = self.path.layout["cell_node"][0]
        out = []
        for path in self.paths:
            half = 1.0 / path.conductance[..., first - 1]
            wall, past = np.zeros_like(half), np.zeros_like(half)
            for term in path.routes:
                if path.tail[term.edges[0]] != self.p:
                    continue
                slope = term.route.flux(zero, zero).d_blood
                slope = np.diagonal(slope, axis1=1, axis2=2)[:, 0] if slope.ndim == 4 else slope[..., 0]
                if term.where == "blood-brain":
                    past = past + term.area * slope
                else:
                    wall = wall + term.area * slope
            out.append(np.where(wall > 0, 1.0 / (1.0 / np.where(wall > 0, wall, 1.0) + half), 0.0) + past)
        return np.stack(out, -1)[..., self.kind] * self.length

    def _routes(self) -> tuple[RouteEdges, ...]:
        found = []
        for i, term in enumerate(self.path.routes):
            area = np.concatenate([p.routes[i].area for p in self.paths])[self.kind] * self.length
            edges = (term.edges[:, None] * self.m + np.arange(self.m)).ravel()
            found.append(RouteEdges(term.route, edges, np.tile(area, term.edges.size), term.where))
        return tuple(found)

    def _reactions(self) -> tuple[Reaction, ...]:
        found = []
        for i, term in enumerate(self.path.reactions):
            volume = np.stack([p.reactions[i].volume for p in self.paths], -1)[:, self.kind] * self.length
            found.append(Reaction(term.law, self._index(term.nodes), volume.ravel(), term.where))
        n, cube = self.tissue.cells, self.tissue.spacing_m**3
        homes = [
            (self.barrier.layers[-1].name, self.barrier.layers[-1].reactions),
            *((c.name, c.reactions) for c in self.barrier.cells),
        ]
        for i, (name, laws) in enumerate(homes):
            nodes = self.first + n * i + np.arange(n)
            found += [Reaction(law, nodes, np.full(n, cube), name) for law in laws]
        return tuple(found)

    def _parent(self) -> np.ndarray:
        k, n, (_, ny, nz) = np.arange(self.m), self.tissue.cells, self.tissue.shape
        ends, q = self.flow.vessels.ends, self.flow.flow_m3_s
        feeder = np.full(len(self.flow.vessels.points_m), -1)
        feeder[ends[q > 0, 1][::-1]] = np.flatnonzero(q > 0)[::-1]  # the first in the order of flow
        blood = np.where(q > 0, feeder[ends[:, 0]], -1)
        blood = np.where(blood < k, blood, -1)
        walls = [np.where(p < 0, k, self.m * (1 + p) + k) for p in self.path.parent]
        faces = self._index(np.array([self.path.layout["cell_node"][-1]]))
        cell = np.arange(n)
        i, j, z = np.unravel_index(cell, self.tissue.shape)
        step = np.where(i > 0, ny * nz, np.where(j > 0, nz, np.where(z > 0, 1, 0)))
        tissue = np.where(step > 0, self.first + cell - step, faces[0])
        leaves = [self.first + cell for _ in self.barrier.cells]
        return np.concatenate([blood, *walls, faces, tissue, *leaves]).astype(np.int64)

    def _media(self) -> dict[str, np.ndarray]:
        n = self.tissue.cells
        media = {"blood": np.arange(self.m)} | {name: self._index(nodes) for name, nodes in self.path.media.items()}
        names = [self.barrier.layers[-1].name, *(c.name for c in self.barrier.cells)]
        return media | {name: self.first + n * i + np.arange(n) for i, name in enumerate(names)}
