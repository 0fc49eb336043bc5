"""Evaluate the right-hand side F(u, t) of C du/dt = F, its slopes and its ledger on a graph.

F is always the sum of flows in minus flows out, each flow counted once for its tail and once for its head: what leaves
one node enters another, so mass can only change through the blood, the losses and the reactions, and the ledger lists
every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from krogh.transport.crossing import Met, crossings, span
from krogh.transport.flat import FlatParts, joined
from krogh.transport.flows import add_flows, add_reaction, add_reaction_slope, linear_rate
from krogh.transport.graph import Graph, Reaction

__all__ = ["Operator", "Slopes"]


@dataclass(frozen=True, slots=True)
class Slopes:
    """Hold the derivatives of F at one state; ``coupled`` tells whether species act on each other.

    Attributes
    ----------
    tail, head : array
        d(flow)/d(u_tail) and -d(flow)/d(u_head); (B, S, E), or (B, E, S, S) where coupled.
    node : array
        Minus the derivative of losses and reactions; (B, S, N), or (B, N, S, S) where coupled.
    """

    tail: np.ndarray
    head: np.ndarray
    node: np.ndarray
    coupled: bool


class Operator:
    """Evaluate a graph: F, slopes, ledger. Holds scratch arrays, so one operator serves one thread.

    Parameters
    ----------
    graph : Graph
        The assembled problem.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        b, s, _ = graph.shape
        e = graph.tail.size
        self._rows = b * s
        self._g_tail = np.ascontiguousarray(np.broadcast_to(graph.conductance * graph.tail_factor, (b, s, e)))
        self._g_head = np.ascontiguousarray(np.broadcast_to(graph.conductance * graph.head_factor, (b, s, e)))
        self._tail = np.ascontiguousarray(graph.tail, dtype=np.int64)
        self._head = np.ascontiguousarray(graph.head, dtype=np.int64)
        self._sink = np.ascontiguousarray(graph.loss + graph.outflow)
        self.coupled = s > 1
        self._names = self._ledger_names()
        self._faces, self._owners = _owners(graph)
        self._losses = [
            (span(nodes), graph.loss[..., nodes] if np.any(graph.loss[..., nodes]) else None) for nodes in graph.media.values()
        ]
        self._from_blood, self._to_blood = self._venous()
        self._upstream, self._blend = self._tail, np.zeros((self._rows, 0))
        if graph.upstream is not None and graph.blend is not None:
            self._upstream = np.ascontiguousarray(graph.upstream, dtype=np.int64)
            self._blend = np.ascontiguousarray(np.broadcast_to(graph.blend, (b, s, e))).reshape(self._rows, e)
        self._crossings, self._curved = crossings(graph), crossings(graph, linear=False)
        self._straight_tail, self._straight_head = self._fold()
        self._work_tail, self._work_head = self._straight_tail.copy(), self._straight_head.copy()
        self._coupled_work: list[np.ndarray] | None = None  # block by block, made when first needed
        self._kinetics = [self._constants(r) for r in graph.reactions]
        self._saturable = [place for place, (_, _, inverse) in enumerate(self._kinetics) if np.any(inverse != 0)]
        self._straight_node = np.array(self._sink)
        self._add_slopes(self._straight_node, np.zeros(graph.shape), saturable=False)
        self._work_node = np.empty(graph.shape)

    # -- flows -----------------------------------------------------------------------------------------------------------------

    def _fold(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the conductances with those of the linear routes added."""
        tail, head = self._g_tail.copy(), self._g_head.copy()
        for term in self.graph.routes:
            if term.route.linear:
                zero = np.zeros((*self.graph.shape[:2], term.edges.size))
                _, _, d_blood, d_brain = term.route.flux(zero, zero)
                tail[..., term.edges] += term.area * d_blood
                head[..., term.edges] -= term.area * d_brain
        return tail, head

    def meet(self, u: np.ndarray, blood: np.ndarray) -> Met:
        """Return what the non-linear routes carry at a state; `rate` and `slopes` there can share it."""
        return [crossing.meet(u, blood) for crossing in self._curved]

    def rate(self, u: np.ndarray, blood: np.ndarray, met: Met | None = None) -> np.ndarray:
        """Return F, shape (B, S, N), for the free concentrations `u` (B, S, N) and `blood` (B, S)."""
        rows, n = self._rows, self.graph.shape[2]
        out = np.empty_like(u)
        flat, given = out.reshape(rows, n), u.reshape(rows, n)
        linear_rate(
            given, blood.reshape(rows), self._tail, self._head, self._straight_tail.reshape(rows, -1),
            self._straight_head.reshape(rows, -1), self._upstream, self._blend, self._sink.reshape(rows, n), flat,
        )  # fmt: skip
        for crossing, fluxes in zip(self._curved, met or self.meet(u, blood), strict=True):
            for inward, outward, _, _ in fluxes:
                net = crossing.area * (inward - outward)
                add_flows(net.reshape(rows, -1), crossing.edges, self._tail, self._head, flat)
        for place, reaction in enumerate(self.graph.reactions):
            nodes, first_order, inverse = self._kinetics[place]
            add_reaction(given, nodes, first_order, inverse, -1.0, flat)
            if any(product is not None for product in reaction.law.product):
                rate = self._taken(place, u)
                for index, product in enumerate(reaction.law.product):
                    if product is not None:
                        out[:, product, reaction.nodes] += rate[:, index]
        return out

    def _constants(self, reaction: Reaction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the nodes of a reaction, k times their volume, and 1/Km (0: first order), rows by nodes."""
        b, s, _ = self.graph.shape
        shape = (b, s, reaction.nodes.size)
        first_order = np.broadcast_to(reaction.law.rate_per_s * reaction.volume, shape).reshape(self._rows, -1)
        inverse = np.broadcast_to(1.0 / np.asarray(reaction.law.km_mol_m3, dtype=float), shape).reshape(self._rows, -1)
        return (
            np.ascontiguousarray(reaction.nodes, dtype=np.int64),
            np.ascontiguousarray(first_order),
            np.ascontiguousarray(inverse),
        )

    def _taken(self, place: int, u: np.ndarray) -> np.ndarray:
        """Return what reaction number `place` takes at each of its nodes, shape (B, S, its nodes)."""
        nodes, first_order, inverse = self._kinetics[place]
        here = np.ascontiguousarray(u[..., nodes]).reshape(self._rows, -1)
        out = np.zeros_like(here)
        add_reaction(here, np.arange(nodes.size), first_order, inverse, 1.0, out)
        return out.reshape(*self.graph.shape[:2], -1)

    def _slope(self, place: int, u: np.ndarray) -> np.ndarray:
        """Return the derivative of that."""
        nodes, first_order, inverse = self._kinetics[place]
        here = np.ascontiguousarray(u[..., nodes]).reshape(self._rows, -1)
        out = np.zeros_like(here)
        add_reaction_slope(here, np.arange(nodes.size), first_order, inverse, out)
        return out.reshape(*self.graph.shape[:2], -1)

    def cell_rate(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return F of the cells, 0 at membrane faces; what round-off leaves at a face goes to the next cell: no mass is lost."""
        f = self.rate(u, blood)
        left = f[..., self._faces]
        f[..., self._faces] = 0.0
        np.add.at(f, np.s_[:, :, self._owners], left)  # type: ignore[arg-type]
        return f

    # -- slopes ----------------------------------------------------------------------------------------------------------------

    def slopes(self, u: np.ndarray, blood: np.ndarray, met: Met | None = None) -> Slopes:
        """Return the derivatives of F at (u, blood); the arrays are overwritten by the next call."""
        fluxes = met or self.meet(u, blood)
        return self._coupled_slopes(u, fluxes) if self.coupled else self._single_slopes(u, fluxes)

    def _single_slopes(self, u: np.ndarray, met: Met) -> Slopes:
        tail, head, node = self._work_tail, self._work_head, self._work_node
        np.copyto(node, self._straight_node)
        for crossing, fluxes in zip(self._curved, met, strict=True):  # elsewhere the flows are linear
            edges, area = crossing.span, crossing.area
            tail[..., edges] = self._straight_tail[..., edges] + area * sum(f.d_blood for f in fluxes)
            head[..., edges] = self._straight_head[..., edges] - area * sum(f.d_brain for f in fluxes)
        self._add_slopes(node, u, saturable=True)
        return Slopes(tail, head, node, coupled=False)

    def _add_slopes(self, node: np.ndarray, u: np.ndarray, *, saturable: bool) -> None:
        """Add the slopes of the reactions that saturate, or of those that do not."""
        for place, (nodes, first_order, inverse) in enumerate(self._kinetics):
            if (place in self._saturable) == saturable:
                add_reaction_slope(u.reshape(self._rows, -1), nodes, first_order, inverse, node.reshape(self._rows, -1))

    def _coupled_slopes(self, u: np.ndarray, met: Met) -> Slopes:
        eye = np.eye(self.graph.shape[1])
        if self._coupled_work is None:
            straight = [self._blocks(g, eye) for g in (self._straight_tail, self._straight_head, self._straight_node)]
            first_order = [place for place in range(len(self._kinetics)) if place not in self._saturable]
            self._add_products(straight[2], u, first_order)
            self._coupled_work = [*straight, *(g.copy() for g in straight)]
        straight_tail, straight_head, sink, tail, head, node = self._coupled_work
        np.copyto(node, sink)
        for crossing, fluxes in zip(self._curved, met, strict=True):  # elsewhere the flows are linear
            edges, area = crossing.edges, crossing.area
            tail[:, edges] = straight_tail[:, edges] + sum(self._blocks(f.d_blood * area, eye) for f in fluxes)
            head[:, edges] = straight_head[:, edges] - sum(self._blocks(f.d_brain * area, eye) for f in fluxes)
        for place in self._saturable:
            node[:, self.graph.reactions[place].nodes] += np.moveaxis(self._slope(place, u), 1, 2)[..., None] * eye
        self._add_products(node, u, self._saturable)
        return Slopes(tail, head, node, coupled=True)

    def _add_products(self, node: np.ndarray, u: np.ndarray, places: list[int]) -> None:
        """Take the slopes of what some reactions form from the blocks of the nodes."""
        for place in places:
            reaction = self.graph.reactions[place]
            for index, product in enumerate(reaction.law.product):
                if product is not None:
                    node[:, reaction.nodes, product, index] -= self._slope(place, u)[:, index]

    @staticmethod
    def _blocks(derivative: np.ndarray, eye: np.ndarray) -> np.ndarray:
        """Return (B, place, S, S) from (B, S, place) or (B, S, S, place)."""
        if derivative.ndim == 4:
            return np.moveaxis(derivative, 3, 1)
        return np.ascontiguousarray(np.moveaxis(derivative, 1, 2)[..., None] * eye)

    @cached_property
    def compiled(self) -> bool:
        """Return whether `flat` holds all of F: no species acts on another, and nobody adds to `rate`."""
        return not self.coupled and type(self).rate is Operator.rate

    @cached_property
    def flat(self) -> FlatParts:
        """Return the parts of F for one species, rows by edges or nodes, as compiled loops take them."""
        rows = self._rows
        every = range(len(self._kinetics))
        reactions = [joined([self._kinetics[k] for k in some], rows) for some in (every, self._saturable)]
        flows = (
            self._straight_tail.reshape(rows, -1), self._straight_head.reshape(rows, -1), self._upstream, self._blend,
            self._sink.reshape(rows, -1), self._straight_node.reshape(rows, -1),
        )  # fmt: skip
        return FlatParts(flows, (*reactions[0], *reactions[1]), self._curved, rows)

    # -- ledger ----------------------------------------------------------------------------------------------------------------

    def _ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return (name, sign) of every way in (+1) and out (-1) of the model."""
        names: list[tuple[str, int]] = []
        for term in self.graph.routes:
            crossing = self._crosses_blood(term.edges)
            key = f"{term.route.name}@{term.where}"
            names += [(f"in:{key}", 1 if crossing else 0), (f"out:{key}", -1 if crossing else 0)]
        names += [("in:blood flow", 1), ("out:blood flow", -1)]
        names += [(f"loss:{medium}", -1) for medium in self.graph.media]
        for reaction in self.graph.reactions:
            key = f"{reaction.law.name}@{reaction.where}"
            names += [(f"used:{key}", -1), (f"formed:{key}", 1)]
        return tuple(names)

    def _crosses_blood(self, edges: np.ndarray) -> bool:
        return bool(np.all(self._tail[edges] == self.graph.shape[2]))

    @cached_property
    def linear(self) -> bool:
        """Return whether every flow is linear in the state."""
        straight = all(term.route.linear for term in self.graph.routes)
        return straight and all(np.all(inverse == 0) for _, _, inverse in self._kinetics)

    @property
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the names of the ledger's rows and their sign in the mass balance (0: inside the model)."""
        return self._names

    def ledger(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return the rate of every ledger row, shape (B, S, row) [amount/s]."""
        graph = self.graph
        b, s, _ = graph.shape
        out = np.zeros((b, s, len(self._names)))
        for crossing in self._crossings:
            for place, flux in zip(crossing.places, crossing.meet(u, blood), strict=True):
                out[..., 2 * place], out[..., 2 * place + 1] = flux.inward @ crossing.area, flux.outward @ crossing.area
        row = 2 * len(graph.routes)
        if self._from_blood is not None:
            out[..., row] = self._from_blood * blood
        if self._to_blood is not None:
            out[..., row + 1] = np.vecdot(self._to_blood[1], u[..., self._to_blood[0]])
        row += 2
        for nodes, loss in self._losses:
            if loss is not None:
                out[..., row] = np.vecdot(loss, u[..., nodes])
            row += 1
        for place, reaction in enumerate(graph.reactions):
            rate = self._taken(place, u).sum(-1)
            out[..., row] = rate
            for index, product in enumerate(reaction.law.product):
                if product is not None:
                    out[:, product, row + 1] += rate[:, index]
            row += 2
        return out

    def _venous(self) -> tuple[np.ndarray | None, tuple[np.ndarray, np.ndarray] | None]:
        """Return the conductance from the blood (B, S), and nodes that lose to it with their conductances; None for nothing."""
        graph, n = self.graph, self.graph.shape[2]
        edges = np.flatnonzero(self._tail == n)
        away = graph.outflow.copy()
        np.add.at(away, np.s_[:, :, self._head[edges]], self._g_head[..., edges])  # type: ignore[arg-type]
        nodes = np.flatnonzero(np.any(away != 0, axis=(0, 1)))
        given = self._g_tail[..., edges].sum(-1)
        return given if np.any(given) else None, (nodes, away[..., nodes]) if nodes.size else None


def _owners(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces (nodes without capacity), and for each the next cell towards the blood or, without one, the first cell."""
    is_face = ~np.any(graph.capacity > 0, axis=(0, 1))
    faces = np.flatnonzero(is_face)
    owners = np.empty_like(faces)
    for k, face in enumerate(faces):
        node = int(graph.parent[face])
        while node >= 0 and is_face[node]:
            node = int(graph.parent[node])
        owners[k] = node if node >= 0 else int(np.argmax(~is_face))
    return faces, owners
