"""Number and join the nodes along one path from blood to the far side of the tissue; slab and cylinder are made of such paths."""

from __future__ import annotations

import numpy as np

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.transport.graph import Graph, Reaction, RouteEdges
from krogh.transport.mesh import Mesh

__all__ = ["path_graph"]


def path_graph(barrier: Barrier, mesh: Mesh, *, radius_m: float | None = None) -> Graph:
    """Return the graph of one path.

    The resistance between a cell centre and its faces is exact for a steady flux: ``h / 2D`` in a slab, ``ln(r_face /
    r_cell) / (2 pi D)`` in a cylinder. Two cells without a membrane between them share the sum of two such halves,
    which gives the exact flux through piecewise constant media.

    Parameters
    ----------
    barrier : Barrier
        Layers, membranes and cells.
    mesh : Mesh
        Cells along the path; must have the same layers.
    radius_m : float, optional
        Inner radius of a cylinder [m]: everything is then per metre of capillary. Without it, per square metre of barrier.
    """
    return _Path(barrier, mesh, radius_m).graph()


class _Path:
    """Number the nodes: faces and cells in order from blood to tissue, then the cell compartments."""

    def __init__(self, barrier: Barrier, mesh: Mesh, radius_m: float | None) -> None:
        if int(mesh.layer[-1]) != len(barrier.layers) - 1:
            raise InputError("mesh", got=f"{int(mesh.layer[-1]) + 1} layers", expected=f"{len(barrier.layers)}")
        self.barrier, self.mesh = barrier, mesh
        self.membranes = {m.face: m for m in barrier.membranes}
        self.first = [int(np.flatnonzero(mesh.layer == i)[0]) for i in range(len(barrier.layers))]
        self.cell_node = np.zeros(mesh.layer.size, dtype=int)
        self.brain_face: dict[int, int] = {}
        node = 0
        for cell, layer in enumerate(mesh.layer):
            if cell == self.first[layer] and (layer in self.membranes or self._entered(layer)):
                if layer > 0 and layer in self.membranes:
                    node += 1  # blood-side face
                self.brain_face[int(layer)] = node
                node += 1
            self.cell_node[cell] = node
            node += 1
        self.n_chain = node
        leaf_cells = [np.flatnonzero(mesh.layer == c.layer) for c in barrier.cells]
        self.leaf_node = [
            self.n_chain + sum(x.size for x in leaf_cells[:k]) + np.arange(x.size) for k, x in enumerate(leaf_cells)
        ]
        self.leaf_cell = leaf_cells
        self.n_nodes = self.n_chain + sum(x.size for x in leaf_cells)
        spread = np.array([barrier.layers[i].spread for i in mesh.layer])
        volume, self.area, inner, outer = _metric(mesh, radius_m)
        self.volume, self.inner, self.outer = volume * spread, inner / spread, outer / spread

    def _entered(self, layer: int) -> bool:
        return any(b.to_layer == layer for b in self.barrier.bypasses)

    def _per_cell(self, name: str) -> np.ndarray:
        """Return a layer property as (B, S, cell)."""
        values = np.stack([self.barrier.expand(getattr(layer, name)) for layer in self.barrier.layers], axis=-1)
        return values[..., self.mesh.layer]

    def graph(self) -> Graph:
        """Assemble."""
        b, s = self.barrier.batch, len(self.barrier.species)
        capacity, loss = np.zeros((b, s, self.n_nodes)), np.zeros((b, s, self.n_nodes))
        capacity[..., self.cell_node] = self._per_cell("capacity") * self.volume
        loss[..., self.cell_node] = self._per_cell("loss_per_s") * self.volume
        for cell, nodes, cells in zip(self.barrier.cells, self.leaf_node, self.leaf_cell, strict=True):
            capacity[..., nodes] = self.barrier.expand(cell.capacity)[..., None] * self.volume[cells]
        tail, head, conductance, head_factor = self._edges()
        return Graph(
            capacity=capacity, tail=tail, head=head, conductance=conductance, tail_factor=np.ones_like(conductance),
            head_factor=head_factor, loss=loss, outflow=np.zeros_like(loss), routes=tuple(self._routes()),
            reactions=tuple(self._reactions()), parent=self._parent(), media=self._media(), structure="chain",
            layout={"n_chain": self.n_chain, "cell_node": self.cell_node, "leaf_node": self.leaf_node, "leaf_cell":
            self.leaf_cell},
        )  # fmt: skip

    def _edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        b, s = self.barrier.batch, len(self.barrier.species)
        diffusivity = self._per_cell("diffusivity_m2_s")
        towards_brain, towards_blood = np.zeros((b, s, self.n_chain)), np.zeros((b, s, self.n_chain))
        towards_brain[..., self.cell_node] = self.outer / diffusivity
        towards_blood[..., self.cell_node] = self.inner / diffusivity
        resistance = towards_brain[..., :-1] + towards_blood[..., 1:]
        # between the two faces of one membrane there is no bulk: the routes act there
        chain = np.divide(1.0, resistance, out=np.zeros_like(resistance), where=resistance > 0)
        tails, heads = [np.arange(self.n_chain - 1)], [np.arange(1, self.n_chain)]
        conductances, factors = [chain], [np.ones_like(chain)]
        for cell, nodes, cells in zip(self.barrier.cells, self.leaf_node, self.leaf_cell, strict=True):
            tails.append(self.cell_node[cells])
            heads.append(nodes)
            conductances.append(self.barrier.expand(cell.exchange_per_s)[..., None] * self.volume[cells])
            factors.append(np.broadcast_to(1.0 / self.barrier.expand(cell.trapping)[..., None], (b, s, cells.size)))
        entries = [0] + [self.brain_face[x.to_layer] for x in self.barrier.bypasses]
        tails.append(np.full(len(entries), self.n_nodes))
        heads.append(np.array(entries))
        from_blood = np.zeros((b, s, len(entries)))
        if 0 not in self.brain_face:  # no membrane: the first face is the blood
            from_blood[..., 0] = 1.0 / towards_blood[..., 0]
        conductances.append(from_blood)
        factors.append(np.ones_like(from_blood))
        return np.concatenate(tails), np.concatenate(heads), np.concatenate(conductances, -1), np.concatenate(factors, -1)

    def _routes(self) -> list[RouteEdges]:
        n_edges = self.n_chain - 1 + (self.n_nodes - self.n_chain)
        # every permeability belongs to the luminal area that it was measured or calibrated for
        area = self.area[0][None]
        found = []
        for membrane in self.barrier.membranes:
            edge = n_edges if membrane.face == 0 else self.brain_face[membrane.face] - 1
            found += [RouteEdges(r, np.array([edge]), area, membrane.name) for r in membrane.routes]
        for k, bypass in enumerate(self.barrier.bypasses):
            found.append(RouteEdges(bypass.route, np.array([n_edges + 1 + k]), area, "blood-brain"))
        return found

    def _reactions(self) -> list[Reaction]:
        found = []
        for index, layer in enumerate(self.barrier.layers):
            cells = np.flatnonzero(self.mesh.layer == index)
            found += [Reaction(law, self.cell_node[cells], self.volume[cells], layer.name) for law in layer.reactions]
        for cell, nodes, cells in zip(self.barrier.cells, self.leaf_node, self.leaf_cell, strict=True):
            found += [Reaction(law, nodes, self.volume[cells], cell.name) for law in cell.reactions]
        return found

    def _parent(self) -> np.ndarray:
        leaf_parents = [self.cell_node[cells] for cells in self.leaf_cell]
        return np.concatenate([np.arange(-1, self.n_chain - 1), *leaf_parents]).astype(np.int64)

    def _media(self) -> dict[str, np.ndarray]:
        media = {layer.name: self.cell_node[self.mesh.layer == i] for i, layer in enumerate(self.barrier.layers)}
        return media | {cell.name: nodes for cell, nodes in zip(self.barrier.cells, self.leaf_node, strict=True)}


def _metric(mesh: Mesh, radius_m: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return per cell: volume, area of its blood-side face, and the two half resistances times D."""
    if radius_m is None:
        half = mesh.width_m / 2
        return mesh.width_m, np.ones(half.size), half, half
    edge = radius_m + mesh.edge_m
    # centre of mass radius: splits the ring into equal volumes, second order for the average
    center = np.sqrt(0.5 * (edge[1:] ** 2 + edge[:-1] ** 2))
    inner, outer = np.log(center / edge[:-1]) / (2 * np.pi), np.log(edge[1:] / center) / (2 * np.pi)
    return np.pi * (edge[1:] ** 2 - edge[:-1] ** 2), 2 * np.pi * edge[:-1], inner, outer
