"""State a network once, solve it, and keep means over media at every step and whole fields at a few times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.transport.frames import Frames
from krogh.transport.graph import Graph
from krogh.transport.integrate import integrate
from krogh.transport.march import BloodSource, March, check_blood
from krogh.transport.memory import check_memory
from krogh.transport.mesh import Mesh
from krogh.transport.network.assemble import network_graph
from krogh.transport.network.tissue import Tissue
from krogh.transport.network.vessels import Flow
from krogh.transport.operator import Operator
from krogh.transport.solution import LedgerSolution
from krogh.transport.system import GraphSystem

__all__ = ["NetworkProblem", "NetworkSolution", "solve_network"]


@dataclass(frozen=True)
class NetworkProblem:
    """Say what is to be solved.

    Attributes
    ----------
    barrier : Barrier
        Layers from blood to tissue; the last one is the tissue.
    blood : BloodSource
        Free concentration in the arterial blood that enters the network.
    t_end_s : float
        Duration [s].
    flow : Flow
        Vessels with their flow.
    tissue : Tissue
        The grid around them.
    frames_s : array
        Times at which whole fields are kept [s].
    """

    barrier: Barrier
    blood: BloodSource
    t_end_s: float
    flow: Flow
    tissue: Tissue
    fu_plasma: Any = 1.0
    frames_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    capillary: None = None

    @property
    def mesh(self) -> Mesh:
        """Return one cell per layer: results keep the mean of each."""
        layers = self.barrier.layers
        return Mesh(np.array([layer.thickness_m for layer in layers]), np.arange(len(layers)))

    def graph(self) -> Graph:
        """Return the assembled problem in space."""
        return network_graph(self.barrier, self.flow, self.tissue, self.fu_plasma)

    def system(self, tolerance: float = 1e-7) -> GraphSystem:
        """Return what the steppers step; its stages are solved as exactly as `tolerance` asks, their mass to round-off."""
        return GraphSystem(Operator(self.graph()), tolerance)

    def check_size(self) -> None:
        """Refuse a mesh that does not fit into memory."""
        s = len(self.barrier.species)
        unknowns = s * self.tissue.cells * (1 + len(self.barrier.cells))
        check_memory(unknowns * (8 * 80 + 4 * self.frames_s.size) * s, unknowns, "network.cells")

    def coefficients(self) -> dict[str, np.ndarray]:
        """Return the arrays that the assembled problem consists of, for gradients."""
        from krogh.transport.adjoint.graph import graph_coefficients

        return graph_coefficients(self.graph())


@dataclass(frozen=True)
class NetworkSolution(LedgerSolution):
    """Hold the march of a network; ``march.u`` holds the means of the media (B, S, medium).

    Attributes
    ----------
    tissue : array (frame, S, nx, ny, nz), float32
        Free concentration in the tissue at ``problem.frames_s``.
    blood : array (frame, S, segment), float32
        Free concentration in the blood of every segment.
    """

    problem: NetworkProblem
    operator: Operator
    march: March
    tissue: np.ndarray
    blood: np.ndarray

    @property
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the rows of the ledger with their signs."""
        return self.operator.ledger_names

    @property
    def capacity(self) -> np.ndarray:
        """Return the capacity of each medium (1, S, medium) [m3]."""
        graph = self.operator.graph
        return np.stack([graph.capacity[..., nodes].sum(-1) for nodes in graph.media.values()], axis=-1)

    def nodes(self, name: str) -> np.ndarray:
        """Return the place of a medium."""
        return np.array([list(self.operator.graph.media).index(name)])

    @property
    def cell_nodes(self) -> np.ndarray:
        """Return the places of the layers, from blood to tissue."""
        return np.concatenate([self.nodes(layer.name) for layer in self.problem.barrier.layers])

    @property
    def auc(self) -> np.ndarray:
        """Return the time integral of the means (1, S, medium)."""
        assert self.march.auc is not None
        return _means(self.operator, self.march.auc)

    @property
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S) [mol]."""
        return (self.operator.graph.capacity * self.march.final).sum(-1)

    @property
    def tissue_volume(self) -> float:
        """Return the volume of end-feet and interstitium [m3]."""
        p, vessels = self.problem, self.problem.flow.vessels
        volume = p.tissue.cells * p.tissue.spacing_m**3
        edge = np.concatenate([[0.0], np.cumsum([layer.thickness_m for layer in p.barrier.layers[:-1]])])
        for layer, a, b in zip(p.barrier.layers, edge[:-1], edge[1:], strict=False):
            if layer.name == "end-feet":
                ring = (vessels.radius_m + b) ** 2 - (vessels.radius_m + a) ** 2
                volume += float((np.pi * ring * vessels.length_m).sum())
        return volume


def _means(operator: Operator, u: np.ndarray) -> np.ndarray:
    capacity = operator.graph.capacity
    found = [(u[..., n] * capacity[..., n]).sum(-1) / capacity[..., n].sum(-1) for n in operator.graph.media.values()]
    return np.stack(found, axis=-1)


def solve_network(
    problem: NetworkProblem,
    *,
    method: str = "esdirk43",
    step_s: float | None = None,
    rtol: float = 1e-4,
    progress: Callable[[float], None] | None = None,
) -> NetworkSolution:
    """Solve a network; see :func:`krogh.transport.integrate.integrate` for the settings.

    Raises
    ------
    InputError
        If the blood does not have the shape of the barrier, a setting is out of range, or the memory does not suffice.
    ConvergenceError
        If the stepper cannot go on.
    """
    s = len(problem.barrier.species)
    problem.check_size()
    check_blood(problem.blood, 1, s)
    operator = Operator(problem.graph())
    media = operator.graph.media
    tissue = np.zeros((problem.frames_s.size, s, *problem.tissue.shape), dtype=np.float32)
    blood = np.zeros((problem.frames_s.size, s, media["blood"].size), dtype=np.float32)

    def take(i: int, u: np.ndarray) -> None:
        tissue[i] = u[0][:, media[problem.barrier.layers[-1].name]].reshape(tissue.shape[1:])
        blood[i] = u[0][:, media["blood"]]

    march = integrate(
        operator, problem.blood, problem.t_end_s, method=method, step_s=step_s, rtol=rtol, progress=progress,
        reduce=lambda u: _means(operator, u), observe=Frames(problem.frames_s, take),
    )  # fmt: skip
    return NetworkSolution(problem, operator, march, tissue, blood)
