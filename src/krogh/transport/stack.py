"""Stack graphs of one shape into one batch: the same compounds behind barriers that differ in any number of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.transport.graph import Graph, Reaction

__all__ = ["stack_graphs"]

_NOT_NUMBERS = ("name", "product")


def stack_graphs(graphs: Sequence[Graph]) -> Graph:
    """Return one graph whose batch axis runs over `graphs`.

    Parameters
    ----------
    graphs : sequence of Graph
        Of the same nodes, edges, routes and reactions, batch of any size each; only their numbers may differ.

    Raises
    ------
    InputError
        If they are not of one shape.
    """
    first = graphs[0]
    for g in graphs[1:]:
        same = g.shape[1:] == first.shape[1:] and np.array_equal(g.tail, first.tail) and np.array_equal(g.head, first.head)
        laws = [r.route.name for r in g.routes] == [r.route.name for r in first.routes]
        if not (same and laws and [r.law.name for r in g.reactions] == [r.law.name for r in first.reactions]):
            raise InputError("graphs", got="two of different structure", expected="the same nodes, routes and reactions")
        if any(not np.array_equal(a.area, b.area) for a, b in zip(g.routes, first.routes, strict=True)):
            raise InputError("graphs", got="routes on different areas", expected="slabs, per area of barrier")
    if first.blend is not None:
        raise InputError("graphs", got="blood in a channel", expected="a slab")
    sizes = [g.shape[0] for g in graphs]

    def joined(values: Sequence[Any]) -> np.ndarray:
        return np.concatenate([_batched(v, n) for v, n in zip(values, sizes, strict=True)])

    def law(laws: Sequence[Any]) -> Any:
        names = [f.name for f in fields(laws[0]) if f.name not in _NOT_NUMBERS]
        return replace(laws[0], **{n: joined([getattr(x, n) for x in laws]) for n in names})

    routes = [replace(r, route=law([g.routes[i].route for g in graphs])) for i, r in enumerate(first.routes)]
    reactions = [
        Reaction(law([g.reactions[i].law for g in graphs]), r.nodes, joined([g.reactions[i].volume for g in graphs]), r.where)
        for i, r in enumerate(first.reactions)
    ]
    whole: dict[str, Any] = {
        name: np.concatenate([getattr(g, name) for g in graphs])
        for name in ("capacity", "conductance", "tail_factor", "head_factor", "loss", "outflow")
    }
    return replace(first, **whole, routes=tuple(routes), reactions=tuple(reactions))


def _batched(value: Any, size: int) -> np.ndarray:
    """Return a number or an array, broadcast to (batch, species, place), with its batch axis written out."""
    array = np.asarray(value, dtype=float)
    array = array.reshape((1,) * (3 - array.ndim) + array.shape)
    return np.broadcast_to(array, (size, *array.shape[1:]))
