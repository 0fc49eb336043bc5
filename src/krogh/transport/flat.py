"""Lay the parts of a problem of one species out for the compiled Newton step: rows by edges, rows by nodes."""

from __future__ import annotations

import itertools

import numpy as np

from krogh.transport.crossing import Crossing, Met

__all__ = ["FlatParts", "joined"]


class FlatParts:
    """Hold what the compiled Newton step of one species needs: linear flows, reactions, and what the curved crossings carry."""

    def __init__(
        self, flows: tuple[np.ndarray, ...], reactions: tuple[np.ndarray, ...], crossings: list[Crossing], rows: int
    ) -> None:
        self.flows, self.reactions, self._crossings = flows, reactions, crossings
        self.edges = np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(c.edges, dtype=np.int64) for c in crossings)])
        ends = np.cumsum([0, *(c.edges.size for c in crossings)]).tolist()
        self._places = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self._work = tuple(np.zeros((rows, self.edges.size)) for _ in range(3))

    def bend(self, met: Met) -> tuple[np.ndarray, ...]:
        """Return the curved edges, the net flows through them, and their derivatives by tail and minus by head (row, edge)."""
        net, tail, head = self._work
        for crossing, fluxes, here in zip(self._crossings, met, self._places, strict=True):
            carried, by_tail, by_head = fluxes[0].inward - fluxes[0].outward, fluxes[0].d_blood, fluxes[0].d_brain
            for flux in fluxes[1:]:
                carried = carried + (flux.inward - flux.outward)
                by_tail, by_head = by_tail + flux.d_blood, by_head + flux.d_brain
            net[:, here] = (crossing.area * carried).reshape(net.shape[0], -1)
            tail[:, here] = (crossing.area * by_tail).reshape(net.shape[0], -1)
            head[:, here] = (-crossing.area * by_head).reshape(net.shape[0], -1)
        return self.edges, net, tail, head


def joined(kinetics: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: int) -> tuple[np.ndarray, ...]:
    """Return nodes, k V and 1/Km of several reactions one after the other."""
    nodes = np.concatenate([np.zeros(0, dtype=np.int64), *(k[0] for k in kinetics)])
    return nodes, *(np.concatenate([np.zeros((rows, 0)), *(k[i] for k in kinetics)], axis=1) for i in (1, 2))
