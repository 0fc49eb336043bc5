"""Transposed derivatives of a graph: slab, cylinder and network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.transport.adjoint.laws import constants, pull_law
from krogh.transport.adjoint.system import Coefficients, Pulled, Refinement
from krogh.transport.graph import Graph, Reaction
from krogh.transport.linear.transposed import TRANSPOSED, transposed_product
from krogh.transport.operator import Operator, Slopes

__all__ = ["GraphAdjoint", "graph_coefficients"]

_TOLERANCE = 1e-11
_MOST_STATES = 200_000


def graph_coefficients(graph: Graph) -> Coefficients:
    """Return the arrays that a graph consists of, without batch axis: (S, N) of nodes, (S, E) of edges, constants of laws."""
    found = {
        "capacity": graph.capacity[0],
        "tail": (graph.conductance * graph.tail_factor)[0],
        "head": (graph.conductance * graph.head_factor)[0],
        "sink": (graph.loss + graph.outflow)[0],
    }
    if graph.blend is not None:
        found["blend"] = graph.blend[0]
    for i, term in enumerate(graph.routes):
        found[f"area {i}"] = term.area
        found |= {f"route {i} {name}": value for name, value in constants(term.route)}
    for i, reaction in enumerate(graph.reactions):
        found[f"rate {i}"], found[f"inverse Km {i}"] = _kinetics(graph, reaction)
    return found


def _kinetics(graph: Graph, reaction: Reaction) -> tuple[np.ndarray, np.ndarray]:
    """Return k times volume and 1/Km (S, nodes)."""
    shape = (graph.shape[1], reaction.nodes.size)
    law = reaction.law
    rate = np.broadcast_to(law.rate_per_s * reaction.volume, (1, *shape))[0]
    return rate, np.broadcast_to(1.0 / np.asarray(law.km_mol_m3, dtype=float), (1, *shape))[0]


@dataclass(frozen=True)
class _Point:
    """A state, its blood and the slopes of F there."""

    owner: GraphAdjoint
    u: np.ndarray
    blood: np.ndarray
    slopes: Slopes

    def product(self, weight: np.ndarray) -> np.ndarray:
        """Return L^T weight."""
        return transposed_product(self.owner.graph, self.slopes, weight)

    def solve(self, gh: float, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-T right``: a kept factor, refined with the slopes of this state."""
        owner, capacity = self.owner, self.owner.graph.capacity
        if owner.solver.exact:
            return owner.solver.solve(capacity, gh, self.u, self.blood, self.slopes, right, _TOLERANCE)
        found, solves = owner.refinement.solve(
            lambda w: capacity * w + gh * self.product(w), right,
            lambda y, near: owner.solver.solve(capacity, gh, self.u, self.blood, self.slopes, y, near),
        )  # fmt: skip
        if solves > 5:
            owner.solver.refresh()
        return found

    def complete(self, weight: np.ndarray) -> np.ndarray:
        """Return the weights of cells and faces: the cells are held by a capacity so large that they cannot move."""
        owner = self.owner
        if np.all(owner.cells):
            return weight
        right = np.where(owner.cells, 0.0, -self.product(weight))
        heavy = np.where(owner.cells, 1e25 * float(np.abs(self.slopes.tail).max()), 0.0)
        owner.solver.refresh()
        faces = owner.solver.solve(heavy, 1.0, self.u, self.blood, self.slopes, right, _TOLERANCE)
        owner.solver.refresh()
        return np.where(owner.cells, weight, faces)


class GraphAdjoint:
    """Serve the graph of an operator; one problem (batch 1), S species, N nodes, E edges."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.graph = operator, operator.graph
        self.media = operator.graph.media
        self.cells = operator.graph.capacity > 0
        self.together = max(1, _MOST_STATES // max(1, operator.graph.tail.size * operator.graph.shape[1]))
        self.refinement = Refinement(_TOLERANCE)
        self.solver = TRANSPOSED[operator.graph.structure](operator)

    def at(self, u: np.ndarray, blood: np.ndarray) -> _Point:
        """Return F around a state."""
        slopes = self.operator.slopes(u, blood)
        kept = Slopes(slopes.tail.copy(), slopes.head.copy(), slopes.node.copy(), slopes.coupled)
        return _Point(self, u, blood, kept)

    def pull_capacity(self, weight: np.ndarray) -> Coefficients:
        """Return the weight itself: one coefficient per node."""
        return {"capacity": weight[0]}

    def pull(self, points: Sequence[_Point], weights: Sequence[np.ndarray], wanted: frozenset[str]) -> Pulled:
        """Return what the coefficients get, all states in one pass."""
        graph = self.graph
        blood = np.concatenate([p.blood for p in points])
        # the blood is one more node: its concentration is given, nothing flows into its balance
        u = np.concatenate([np.concatenate([p.u for p in points]), blood[..., None]], axis=-1)
        w = np.concatenate([*weights], axis=0)
        w = np.concatenate([w, np.zeros((*w.shape[:2], 1))], axis=-1)
        gain = w[..., graph.head] - w[..., graph.tail]
        entering = np.flatnonzero(graph.tail == graph.shape[2])
        to_blood = (gain[..., entering] * (graph.conductance * graph.tail_factor)[..., entering]).sum(-1)
        found: Coefficients = {}
        if "tail" in wanted:
            found["tail"] = np.einsum("nse,nse->se", gain, u[..., graph.tail])
        if "head" in wanted:
            found["head"] = -np.einsum("nse,nse->se", gain, u[..., graph.head])
        if "sink" in wanted:
            found["sink"] = -np.einsum("nsi,nsi->si", w[..., :-1], u[..., :-1])
        if "blend" in wanted:
            found["blend"] = np.zeros(graph.conductance.shape[1:])
        self._pull_routes(u, gain, wanted, found, to_blood)
        for i, reaction in enumerate(graph.reactions):
            self._pull_reaction(i, reaction, u, w, wanted, found)
        return Pulled(found, to_blood)

    def _pull_routes(
        self, u: np.ndarray, gain: np.ndarray, wanted: frozenset[str], found: Coefficients, to_blood: np.ndarray
    ) -> None:
        graph = self.graph
        blended = graph.blend is not None and graph.upstream is not None
        for i, term in enumerate(graph.routes):
            e = term.edges
            tails, brain = u[..., graph.tail[e]], u[..., graph.head[e]]
            ahead = tails
            if blended:
                assert graph.blend is not None
                assert graph.upstream is not None
                ahead = u[..., graph.upstream[e]]
                tails = tails + graph.blend[..., e] * (ahead - tails)
            weight = gain[..., e]
            inward, outward, slope, _ = term.route.flux(tails, brain)
            if f"area {i}" in wanted:
                found[f"area {i}"] = (weight * (inward - outward)).sum((0, 1))
            found |= pull_law(term.route, f"route {i} ", tails, brain, weight * term.area, wanted)
            back = weight * term.area  # by the concentration that the route reads
            back = np.einsum("naf,nabf->nbf", back, slope) if slope.ndim == 4 else back * slope
            if "blend" in found:
                found["blend"][:, e] += (back * (ahead - u[..., graph.tail[e]])).sum(0)
            share = graph.blend[..., e] if blended and graph.blend is not None else 0.0
            n = graph.shape[2]
            to_blood += (back * (1.0 - share) * (graph.tail[e] == n)).sum(-1)
            if blended and graph.upstream is not None:
                to_blood += (back * share * (graph.upstream[e] == n)).sum(-1)

    def _pull_reaction(
        self, i: int, reaction: Reaction, u: np.ndarray, w: np.ndarray, wanted: frozenset[str], found: Coefficients
    ) -> None:
        if not {f"rate {i}", f"inverse Km {i}"} & wanted:
            return
        rate, inverse = _kinetics(self.graph, reaction)
        here, gain = u[..., reaction.nodes], -w[..., reaction.nodes]
        for s, product in enumerate(reaction.law.product):
            if product is not None:
                gain[:, s] += w[:, product][:, reaction.nodes]
        positive = np.maximum(here, 0.0)
        part = here / (1.0 + positive * inverse)
        found[f"rate {i}"] = np.einsum("nsi,nsi->si", gain, part)
        found[f"inverse Km {i}"] = -np.einsum("nsi,nsi->si", gain, part * positive / (1.0 + positive * inverse)) * rate
