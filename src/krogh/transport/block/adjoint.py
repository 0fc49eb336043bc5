"""Transposed derivatives of a block, by the same factors, transforms and plane iterations that solve it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from krogh.transport.adjoint.laws import constants, pull_law
from krogh.transport.adjoint.system import Coefficients, Pulled, Refinement, add
from krogh.transport.block.base import BlockBase
from krogh.transport.block.kernels import pull_bulk
from krogh.transport.block.laws import invert_faces
from krogh.transport.block.model import BLOOD, BlockModel, ReactionTerm
from krogh.transport.block.transposed import Transposed

__all__ = ["BlockAdjoint", "Point", "block_coefficients", "law_coefficients"]


def block_coefficients(model: BlockModel) -> Coefficients:
    """Return the arrays that a block consists of: (S, nx) of cells, (P, S) of ports, constants of laws."""
    found = {"mass": model.mass, "link": model.link, "lateral": model.lateral, "loss": model.loss, "inflow": model.inflow,
             "half": model.port_half}  # fmt: skip
    for i, leaf in enumerate(model.leaves):
        found |= {f"leaf {i} mass": leaf.mass, f"leaf {i} exchange": leaf.exchange, f"leaf {i} trapping": leaf.trapping}
    return found | law_coefficients(model)


def law_coefficients(model: BlockModel) -> Coefficients:
    """Return the constants of routes and reactions."""
    found: Coefficients = {}
    for k, law in enumerate(model.laws):
        for r, route in enumerate(law.routes):
            found |= {f"law {k} {r} {name}": value for name, value in constants(route)}
    for i, term in enumerate(model.reactions):
        found |= {f"rate {i}": term.rate, f"inverse Km {i}": term.inverse_km}
    return found


class Point:
    """A state as planes (S, plane, F), its blood (S,), and its membranes in balance."""

    def __init__(self, owner: BlockAdjoint, u: np.ndarray, blood: np.ndarray) -> None:
        self.owner, self.system = owner, owner.system
        self.u, self.blood = self.system.planes_of(u), blood[0]
        laws, model = self.system.laws, self.system.model
        cells = self.u[:, model.port_cell].transpose(1, 0, 2)
        self.flux, self.values, good = laws.solve_traces(cells, self.blood, owner.flux)
        if not good:
            self.flux, self.values, _ = laws.solve_traces(cells, self.blood, np.zeros_like(owner.flux))
        owner.flux = self.flux
        self.traces = laws.traces(cells, self.flux)

    @cached_property
    def inner(self) -> np.ndarray:
        """Return ``I - d(law)/d(flux)`` on every face (F, K S, K S), the half cells behind the ports in it."""
        laws = self.system.laws
        size = laws.count * self.u.shape[0]
        return np.eye(size)[None] - laws.matrix(self.values, laws.own_weight)

    @cached_property
    def _inverse(self) -> np.ndarray:
        return invert_faces(self.inner)

    @cached_property
    def slopes(self) -> list[np.ndarray]:
        """Return the derivative of what each reaction takes, cell by cell (S, n, F), areas included."""
        found = []
        for term in self.system.model.reactions:
            u = self.u[:, self.owner.range_of(term)]
            s = 1.0 / (1.0 + np.maximum(u, 0.0) * term.inverse_km[:, None, None])
            found.append(term.rate[:, :, None] * self.system.flows.area * s * s)
        return found

    def law_weight(self, weight: np.ndarray) -> np.ndarray:
        """Return the weights (K, S, F) of the laws for weights (S, plane, F) of the balances."""
        model, area = self.system.model, self.system.flows.area
        out = np.empty_like(self.flux)
        for k, law in enumerate(model.laws):
            out[k] = weight[:, model.port_cell[law.head]] * area
            if law.tail != BLOOD:
                out[k] -= weight[:, model.port_cell[law.tail]] * area
        return self.apply_transposed(self._inverse, out)

    @staticmethod
    def apply_transposed(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the transpose of ``matrix`` (n, n, F) times (K, S, F), face by face."""
        return np.einsum("jif,jf->if", matrix, x.reshape(matrix.shape[0], -1)).reshape(x.shape)

    def to_ports(self, mu: np.ndarray) -> np.ndarray:
        """Return what the ports (P, S, F) get from weights (K, S, F) of the laws at fixed traces."""
        laws, values = self.system.laws, self.values
        out = np.zeros_like(self.traces)
        for k in range(laws.count):
            out[laws.heads[k]] += np.einsum("ijf,if->jf", values.by_head[k], mu[k])
            if laws.tails[k] != BLOOD:
                out[laws.tails[k]] += np.einsum("ijf,if->jf", values.by_tail[k], mu[k])
        return out

    # -- Linearised ------------------------------------------------------------------------------------------------------------

    def complete(self, weight: np.ndarray) -> np.ndarray:
        """Return `weight`: a block has no unknown without storage."""
        return weight

    def product(self, weight: np.ndarray) -> np.ndarray:
        """Return L^T weight (1, S, N)."""
        system, model = self.system, self.system.model
        w = system.planes_of(weight)
        out = system.flows.diffuse(w)
        area = system.flows.area
        for i, leaf in enumerate(model.leaves):
            own, x = system.flows.planes(i), slice(leaf.start, leaf.stop)
            gain = (self.exchange(i) * area) * (w[:, own] - w[:, x])
            out[:, x] += gain
            out[:, own] -= gain / leaf.trapping[:, None, None]
        if system.laws.count:
            ports = self.to_ports(self.law_weight(w))
            for p, cell in enumerate(model.port_cell):
                out[:, cell] += ports[p]
        for term, slope in zip(model.reactions, self.slopes, strict=True):
            own = self.owner.range_of(term)
            out[:, own] += slope * self.reaction_gain(term, w)
        return -out.reshape(weight.shape)

    def reaction_gain(self, term: ReactionTerm, w: np.ndarray) -> np.ndarray:
        """Return the weight (S, n, F) of what a reaction takes: away from the substrate, to the product."""
        own = self.owner.range_of(term)
        gain = -w[:, own]
        for s, product in enumerate(term.law.product):
            if product is not None:
                gain[s] += w[product, own]
        return gain

    def solve(self, gh: float, right: np.ndarray) -> np.ndarray:
        """Return ``(C + gh L)^-T right`` (1, S, N)."""
        capacity = self.system.capacity
        found, solves = self.owner.refinement.solve(
            lambda w: capacity * w + gh * self.product(w), right, Transposed(self, gh).solve
        )
        if solves > 5:
            self.system.refresh()
        return found

    # -- coefficients ----------------------------------------------------------------------------------------------------------

    def pull(self, weight: np.ndarray, wanted: frozenset[str]) -> Pulled:
        """Return what the coefficients get from a weight (1, S, N)."""
        system, model = self.system, self.system.model
        w, area = system.planes_of(weight), system.flows.area
        found, to_blood = self.pull_bulk(w, wanted)
        for i, leaf in enumerate(model.leaves):
            if not {f"leaf {i} exchange", f"leaf {i} trapping"} & wanted:
                continue
            own, x = system.flows.planes(i), slice(leaf.start, leaf.stop)
            gain, inside = (w[:, own] - w[:, x]) * area, self.u[:, own] / leaf.trapping[:, None, None]
            found[f"leaf {i} exchange"] = self.gathered(gain * (self.u[:, x] - inside))
            found[f"leaf {i} trapping"] = (self.exchange(i) * gain * inside).sum((1, 2)) / leaf.trapping
        if system.laws.count:
            to_blood = to_blood + self._pull_laws(self.law_weight(w), wanted, found)
        for i, term in enumerate(model.reactions):
            if {f"rate {i}", f"inverse Km {i}"} & wanted:
                u, gain = self.u[:, self.owner.range_of(term)], self.reaction_gain(term, w) * area
                crowd = 1.0 + np.maximum(u, 0.0) * term.inverse_km[:, None, None]
                found[f"rate {i}"] = (gain * u / crowd).sum(-1)
                found[f"inverse Km {i}"] = -(term.rate * (gain * u * np.maximum(u, 0.0) / crowd**2).sum(-1)).sum(-1)
        return Pulled(found, to_blood[None])

    def exchange(self, i: int) -> np.ndarray:
        """Return the exchange with a leaf per area, as it multiplies cells (S, n, F)."""
        return self.system.model.leaves[i].exchange[:, :, None]

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., F) summed as the coefficients are kept: one for all faces."""
        return values.sum(-1)

    def pull_bulk(self, w: np.ndarray, wanted: frozenset[str]) -> tuple[Coefficients, np.ndarray]:
        """Return what the coefficients of the layers get, and the blood (S,)."""
        model = self.system.model
        nx, ny, nz = model.grid
        s_count = w.shape[0]
        link, lateral, both, sums = (np.zeros((s_count, nx)) for _ in range(4))
        for s in range(s_count):
            pull_bulk(
                self.u[s, :nx].reshape(nx, ny, nz), w[s, :nx].reshape(nx, ny, nz), model.y.width_m, model.z.width_m,
                model.y.link_1_m, model.z.link_1_m, bool({"link", "lateral"} & wanted), link[s], lateral[s], both[s], sums[s],
            )  # fmt: skip
        found = {"link": link[:, :-1], "lateral": lateral, "loss": -both, "inflow": sums * self.blood[:, None] - both}
        return {name: values for name, values in found.items() if name in wanted}, (model.inflow * sums).sum(-1)

    def _pull_laws(self, mu: np.ndarray, wanted: frozenset[str], found: Coefficients) -> np.ndarray:
        system, model = self.system, self.system.model
        laws = system.laws
        to_blood = np.zeros(self.u.shape[0])
        if "half" in wanted:
            through = np.tensordot(laws.sides, self.flux, axes=1)
            found["half"] = self.gathered(self.to_ports(mu) * through)
        for k, law in enumerate(model.laws):
            brain, blood = self.traces[law.head][None], np.broadcast_to(self.blood[:, None], self.traces.shape[1:])[None]
            if law.tail == BLOOD:
                to_blood += np.einsum("ijf,if->j", self.values.by_tail[k], mu[k])
            else:
                blood = self.traces[law.tail][None]
            for r, route in enumerate(law.routes):
                found |= pull_law(route, f"law {k} {r} ", blood, brain, mu[k][None], wanted)
        return to_blood


class BlockAdjoint:
    """Serve a block."""

    together = 1

    def __init__(self, system: BlockBase) -> None:
        self.system: Any = system
        model = system.model
        planes = np.arange(model.faces)
        self.media = {name: (p[:, None] * model.faces + planes).ravel() for name, p in model.media.items()}
        #: Fluxes of the last state that was looked at: where the next one starts from.
        self.flux = np.zeros((system.laws.count, system.shape[1], model.faces))
        self.refinement = Refinement(max(1e-11, system.tolerance))

    def range_of(self, term: ReactionTerm) -> slice:
        """Return the planes of a reaction."""
        return slice(term.start, term.stop) if term.leaf is None else self.system.flows.planes(term.leaf)

    def at(self, u: np.ndarray, blood: np.ndarray) -> Point:
        """Return F around a state."""
        return Point(self, u, blood)

    def pull(self, points: Sequence[Point], weights: Sequence[np.ndarray], wanted: frozenset[str]) -> Pulled:
        """Return what the coefficients get, state by state."""
        total: Coefficients = {}
        bloods = []
        for point, weight in zip(points, weights, strict=True):
            part = point.pull(weight, wanted)
            add(total, part.coefficients)
            bloods.append(part.blood)
        return Pulled(total, np.concatenate(bloods))

    def pull_capacity(self, weight: np.ndarray) -> Coefficients:
        """Return the weight summed over planes, areas included: masses are per area."""
        model, flows = self.system.model, self.system.flows
        sums = self.system.planes_of(weight) @ flows.area
        found = {"mass": sums[:, : model.grid[0]]}
        return found | {f"leaf {i} mass": sums[:, flows.planes(i)] for i in range(len(model.leaves))}
