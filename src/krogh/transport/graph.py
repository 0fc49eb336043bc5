"""Turn any geometry into nodes and edges: cells, membrane faces and cell compartments, joined by conductances or flux laws.

A node holds the free concentration u and a capacity; an edge carries a flow from its tail to its head. Membrane faces
are nodes without capacity: their equation says that what arrives leaves, so a membrane law sees the concentrations
right at its two sides and needs no inner iteration. The blood is one more "node" with a prescribed value, index ``n_nodes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes.base import Route

__all__ = ["Graph", "Reaction", "RouteEdges"]


@dataclass(frozen=True, slots=True)
class RouteEdges:
    """A route and the edges that it acts on.

    Attributes
    ----------
    edges : int array
        Indices into the edges of the graph; no edge twice.
    area : array, shape (len(edges),)
        Area of each face [m2] (per m2 of barrier in the slab).
    where : str
        Name of the membrane, ``blood-brain`` for a bypass.
    """

    route: Route
    edges: np.ndarray
    area: np.ndarray
    where: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction law and the nodes that it acts on, with their volumes [m3] (m in the slab)."""

    law: MichaelisMenten
    nodes: np.ndarray
    volume: np.ndarray
    where: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The assembled problem in space; B = batch, S = species, N = nodes, E = edges.

    Attributes
    ----------
    capacity : array, shape (B, S, N)
        Amount per free concentration; 0 at membrane faces.
    tail, head : int arrays, shape (E,)
        Ends of each edge; N means the blood.
    conductance : array, shape (B, S, E)
        Linear flow = conductance (f_tail u_tail - f_head u_head); 0 where a route acts.
    tail_factor, head_factor : array, shape (B, S, E)
        f above: both 1 for diffusion; f_head = 0 for advection (upwind); f_head = 1/trapping into a cell that traps ions.
    upstream, blend : arrays, shape (E,) and (B, S, E), or None
        An edge may read its tail as (1 - blend) u_tail + blend u_upstream: blood in a channel cell between inlet and outlet.
    loss, outflow : array, shape (B, S, N)
        First-order loss inside the tissue and outflow with the venous blood [m3/s].
    routes, reactions
        Non-linear laws.
    parent : int array, shape (N,)
        Next node towards the blood, -1 at the root; always a smaller index.
    media : mapping of str to int array
        Nodes of each medium (``endothelium``, ``interstitium``, ``neuron`` ...), without membrane faces.
    structure : {"chain", "cylinder", "embedded", "general"}
        ``chain``: edge i joins node i to i + 1, then come edges from a chain node to each leaf, then edges from the blood.
        ``cylinder``: a chain in every slice of a vessel; ``embedded``: a network in a uniform tissue; ``general``: anything.
    layout : mapping
        What the geometry wants to remember (positions, names of faces) for results and pictures.
    """

    capacity: np.ndarray
    tail: np.ndarray
    head: np.ndarray
    conductance: np.ndarray
    tail_factor: np.ndarray
    head_factor: np.ndarray
    loss: np.ndarray
    outflow: np.ndarray
    routes: tuple[RouteEdges, ...]
    reactions: tuple[Reaction, ...]
    parent: np.ndarray
    media: dict[str, np.ndarray]
    upstream: np.ndarray | None = None
    blend: np.ndarray | None = None
    structure: str = "chain"
    layout: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (batch, species, nodes)."""
        return self.capacity.shape
