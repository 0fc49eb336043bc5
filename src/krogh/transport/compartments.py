"""Reduce a slab to well-stirred compartments at low concentration: ``dx/dt = A x + b u_blood``.

One compartment a layer and a kind of cell: endothelium, interstitium, neurons, astrocytes; basement membrane and end-feet, which
fill within milliseconds, are taken at their steady state between them. Every flux law is its slope at zero. The closed form is in
:mod:`krogh.transport.response`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError
from krogh.transport.mesh import Mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.problem import Problem

__all__ = ["Compartments", "lump", "saturation"]

#: Sheets without a compartment of their own: they relax in milliseconds.
_QUICK = ("basement membrane", "end-feet")


@dataclass(frozen=True)
class Compartments:
    """Hold B linear systems of n compartments on N nodes.

    Attributes
    ----------
    rates, entry : arrays (B, n, n), (B, n)
        A [1/s] and b [1/s] of ``dx/dt = A x + b u_blood``; x and u are free concentrations.
    nodes, through : arrays (B, N, n), (B, N)
        Every node of the graph: ``nodes x + through u_blood``.
    parent : int array (n,)
        Next compartment towards the blood, -1 at the first.
    capacity : array (B, N)
        Amount per free concentration of every node.
    media : mapping of str to int array
        Nodes of each medium.
    tissue_volume : float
        Of end-feet and interstitium [m3 per m2 of barrier].
    operator : Operator
        The laws that were made straight.
    """

    rates: np.ndarray
    entry: np.ndarray
    nodes: np.ndarray
    through: np.ndarray
    parent: np.ndarray
    capacity: np.ndarray
    media: dict[str, np.ndarray]
    tissue_volume: float
    operator: Operator


def lump(problem: Problem) -> Compartments:
    """Return the compartments of every row of a slab problem of one compound.

    Raises
    ------
    InputError
        If the problem has several species or another geometry.
    """
    barrier = problem.barrier
    if problem.capillary is not None or len(barrier.species) > 1:
        raise InputError("solver compartments", got="several compounds, or no slab", expected="one compound in the slab")
    mesh = Mesh(np.array([layer.thickness_m for layer in barrier.layers]), np.arange(len(barrier.layers)))
    graph = path_graph(barrier, mesh)
    operator = Operator(graph)
    quick = (graph.capacity[:, 0] == 0).all(0)
    for name in _QUICK:
        quick[graph.media.get(name, [])] = True
    kept, rest = np.flatnonzero(~quick), np.flatnonzero(quick)
    ways, lost, entry, nodes, through = _reduce(*_ways(operator), rest, kept)
    rates = ways - np.eye(kept.size) * (ways.sum(1) + lost)[:, None]
    storage, spread = graph.capacity[:, 0, kept], np.array([layer.spread for layer in barrier.layers])
    return Compartments(
        rates=rates / storage[..., None], entry=entry / storage, nodes=nodes, through=through,
        parent=_parents(graph.parent, kept), capacity=graph.capacity[:, 0], media=graph.media,
        tissue_volume=float((mesh.width_m * spread)[2:].sum()), operator=operator,
    )  # fmt: skip


def _ways(operator: Operator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what flows per concentration where it vanishes: from node to node (B, to, from), out of the model, in from blood."""
    graph = operator.graph
    batch, _, count = graph.shape
    slopes = operator.slopes(np.zeros(graph.shape), np.zeros(graph.shape[:2]))
    out, back = slopes.tail[:, 0], slopes.head[:, 0]
    ways, lost, entry = np.zeros((batch, count, count)), slopes.node[:, 0].copy(), np.zeros((batch, count))
    for e, (tail, head) in enumerate(zip(graph.tail, graph.head, strict=True)):
        if tail == count:
            entry[:, head] += out[:, e]
            lost[:, head] += back[:, e]
        else:
            ways[:, head, tail] += out[:, e]
            ways[:, tail, head] += back[:, e]
    return ways, lost, entry


def _reduce(
    ways: np.ndarray, lost: np.ndarray, entry: np.ndarray, rest: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ways, losses and entries of the kept nodes, and how all nodes follow from them: the rest are at their steady state.

    What reaches a node of the rest leaves it in the proportions of its ways out. Only sums of positive terms occur, so a slow
    leak behind fast diffusion keeps all its digits (Grassmann, Taksar and Heyman 1985 doi:10.1287/opre.33.5.1107).
    """
    ways, lost, entry = ways.copy(), lost.copy(), entry.copy()
    batch, count = lost.shape
    told: list[tuple[int, np.ndarray, np.ndarray]] = []
    for f in rest:
        leaving = ways[:, :, f].sum(1) + lost[:, f]
        into, first = ways[:, f] / leaving[:, None], entry[:, f] / leaving
        told.append((int(f), into, first))
        entry += ways[:, :, f] * first[:, None]
        lost += into * lost[:, f, None]
        ways = ways + ways[:, :, f, None] * into[:, None]
        ways[:, f] = ways[:, :, f] = 0.0
        ways[:, np.arange(count), np.arange(count)] = 0.0
        entry[:, f] = lost[:, f] = 0.0
    nodes, through = np.zeros((batch, count, kept.size)), np.zeros((batch, count))
    nodes[:, kept, np.arange(kept.size)] = 1.0
    for f, into, first in reversed(told):
        nodes[:, f] = np.einsum("bj,bjn->bn", into, nodes)
        through[:, f] = np.einsum("bj,bj->b", into, through) + first
    return ways[:, kept[:, None], kept], lost[:, kept], entry[:, kept], nodes, through


def _parents(parent: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the next kept node towards the blood, as a place among the kept ones."""
    place = {int(node): i for i, node in enumerate(kept)}
    found = []
    for node in kept:
        up = int(parent[node])
        while up >= 0 and up not in place:
            up = int(parent[up])
        found.append(place.get(up, -1))
    return np.array(found)


def saturation(c: Compartments, x: np.ndarray, blood: np.ndarray) -> tuple[float, str]:
    """Return how far a law is from its straight line, as a share of its traffic, and which one: the worst over all times.

    Parameters
    ----------
    x, blood : arrays (B, T, n), (B, T)
        Compartments and free blood.
    """
    graph = c.operator.graph
    u = np.concatenate([np.einsum("bNn,btn->bNt", c.nodes, x) + c.through[..., None] * blood[:, None], blood[:, None]], axis=1)
    found = [(0.0, "")]
    for term in graph.routes:
        sides = (u[:, graph.tail[term.edges]], u[:, graph.head[term.edges]])
        true, still = term.route.flux(*sides), term.route.flux(*(0.0 * side for side in sides))
        off = true.inward - true.outward - (still.d_blood * sides[0] + still.d_brain * sides[1])
        traffic = np.maximum(np.abs(still.d_blood * sides[0]), np.abs(still.d_brain * sides[1]))
        found.append((float((np.abs(off) / np.maximum(traffic, 1e-300)).max()), term.route.name))
    for reaction in graph.reactions:
        here = u[:, reaction.nodes]
        straight = reaction.law.rate(0.0 * here)[1] * here
        off = reaction.law.rate(here)[0] - straight
        found.append((float((np.abs(off) / np.maximum(straight, 1e-300)).max()), reaction.law.name))
    return max(found)
