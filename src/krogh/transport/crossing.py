"""Read the two sides of the edges that routes act on, and ask the routes what they carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.barrier.routes.base import Flux
from krogh.transport.graph import Graph, RouteEdges

__all__ = ["Crossing", "Met", "crossings", "span"]

#: What the non-linear routes carry at one state, route by route of every crossing.
Met = list[list[Flux]]


def span(nodes: np.ndarray) -> np.ndarray | slice:
    """Return the slice that reads the same nodes, which costs no copy; the nodes themselves where they are not in line."""
    first = int(nodes[0]) if nodes.size else 0
    return slice(first, first + nodes.size) if np.array_equal(nodes, np.arange(first, first + nodes.size)) else nodes


class _Reader:
    """Read u at some nodes; index N reads the blood."""

    def __init__(self, nodes: np.ndarray, n: int) -> None:
        self._nodes = span(np.minimum(nodes, n - 1))
        self._size = nodes.size
        self._blood = nodes == n
        self._only_blood, self._some_blood = bool(self._blood.all()), bool(self._blood.any())

    def __call__(self, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
        if self._only_blood:
            return blood[..., None] if self._size == 1 else np.repeat(blood[..., None], self._size, axis=-1)
        if not self._some_blood:
            return u[..., self._nodes]
        found = np.array(u[..., self._nodes])
        found[..., self._blood] = blood[..., None]
        return found


@dataclass(frozen=True)
class Crossing:
    """The edges that some routes share.

    Attributes
    ----------
    edges, area
        As in :class:`~krogh.transport.graph.RouteEdges`.
    span : slice or int array
        What reads values at the edges.
    places : tuple of int
        Which routes of the graph they are.
    routes : tuple of RouteEdges
        The routes.
    """

    edges: np.ndarray
    area: np.ndarray
    span: slice | np.ndarray
    places: tuple[int, ...]
    routes: tuple[RouteEdges, ...]
    tail: _Reader
    head: _Reader
    upstream: _Reader | None
    blend: np.ndarray

    @classmethod
    def of(cls, graph: Graph, places: list[int]) -> Crossing:
        """Return the crossing of some routes of `graph` that have the same edges and areas."""
        routes = tuple(graph.routes[i] for i in places)
        edges, n = routes[0].edges, graph.shape[2]
        blend, upstream = np.zeros(0), None
        if graph.upstream is not None and graph.blend is not None and np.any(graph.blend[..., edges]):
            blend, upstream = graph.blend[..., edges], _Reader(graph.upstream[edges], n)
        tail, head = _Reader(graph.tail[edges], n), _Reader(graph.head[edges], n)
        return cls(edges, routes[0].area, span(edges), tuple(places), routes, tail, head, upstream, blend)

    def sides(self, u: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u at the two ends of the edges, shape (B, S, len(edges)) each."""
        tail = self.tail(u, blood)
        if self.upstream is not None:
            tail = tail + self.blend * (self.upstream(u, blood) - tail)
        return tail, self.head(u, blood)

    def meet(self, u: np.ndarray, blood: np.ndarray) -> list[Flux]:
        """Return what the routes carry."""
        tail, head = self.sides(u, blood)
        return [term.route.flux(tail, head) for term in self.routes]


def crossings(graph: Graph, *, linear: bool | None = None) -> list[Crossing]:
    """Return the crossings of all routes, or of those that are linear or not."""
    found: dict[tuple[bytes, bytes], list[int]] = {}
    for place, term in enumerate(graph.routes):
        if linear is None or term.route.linear == linear:
            found.setdefault((term.edges.tobytes(), term.area.tobytes()), []).append(place)
    return [Crossing.of(graph, places) for places in found.values()]
