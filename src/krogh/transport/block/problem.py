"""State a block once, solve it, and keep of the result what is asked for: means at every step, whole fields at a few times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.errors import InputError
from krogh.transport.block.axis import Axis
from krogh.transport.block.base import BlockBase
from krogh.transport.block.device.place import Place
from krogh.transport.block.model import BlockModel, assemble_block, with_lumen
from krogh.transport.block.parts import TissuePart
from krogh.transport.block.system import BlockSystem
from krogh.transport.block.uneven import TissueMaps, layered, spread_maps
from krogh.transport.block.uneven_system import UnevenSystem
from krogh.transport.frames import Frames
from krogh.transport.integrate import integrate
from krogh.transport.march import BloodSource, March, check_blood
from krogh.transport.memory import check_memory
from krogh.transport.mesh import Mesh, layered_mesh
from krogh.transport.solution import LedgerSolution
from krogh.transport.steppers import MARCHES, STEPPERS

__all__ = ["BlockProblem", "BlockSolution", "Lumen", "memory_bytes", "solve_block"]


@dataclass(frozen=True, slots=True)
class Lumen:
    """Blood in front of the barrier, with a turnover.

    Attributes
    ----------
    thickness_m : float
        Volume over wall area: half the radius of a capillary [m].
    turnover_per_s : float
        Velocity over length of the capillary [1/s].
    diffusivity_m2_s : array (1, S)
        Of the free compound in plasma.
    """

    thickness_m: float
    turnover_per_s: float
    diffusivity_m2_s: Any


@dataclass(frozen=True)
class BlockProblem:
    """Say what is to be solved.

    Attributes
    ----------
    barrier : Barrier
        Layers, membranes, routes (with maps over (y, z)), cells.
    blood : BloodSource
        Free concentration in arterial blood.
    t_end_s : float
        Duration [s].
    y, z : Axis
        Directions along the barrier.
    cells : int
        Cells across the layers, at least 4 a layer.
    lumen : Lumen or None
        Perfused blood in front of the wall; None: the blood is a reservoir.
    frames_s : array
        Times at which whole fields are kept [s].
    densities : mapping of str to array (ny, nz)
        Maps that were drawn on routes, for results and pictures.
    tissue : TissueMaps or None
        How the tissue differs from cell to cell; maps that are the same all over each plane cost nothing.
    parts : tuple of TissuePart
        What `tissue` was drawn from, where gradients are to name it.
    """

    barrier: Barrier
    blood: BloodSource
    t_end_s: float
    y: Axis
    z: Axis
    cells: int = 48
    lumen: Lumen | None = None
    fu_plasma: Any = 1.0
    frames_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    densities: dict[str, np.ndarray] = field(default_factory=dict)
    tissue: TissueMaps | None = None
    parts: tuple[TissuePart, ...] = ()
    capillary: None = None

    @property
    def whole(self) -> Barrier:
        """Return the barrier with the lumen in front, where there is one."""
        if self.lumen is None:
            return self.barrier
        return with_lumen(self.barrier, self.lumen.thickness_m, self.lumen.diffusivity_m2_s, self.fu_plasma)

    @property
    def mesh(self) -> Mesh:
        """Return the mesh across the layers."""
        return layered_mesh(self.whole.layers, self.cells)

    def model(self) -> BlockModel:
        """Return the assembled block."""
        turnover = self.lumen.turnover_per_s if self.lumen is not None else None
        return assemble_block(self.whole, self.cells, self.y, self.z, turnover_per_s=turnover)

    def system(self, tolerance: float, place: Place | None = None) -> BlockBase:
        """Return what solves it: directly where the tissue is layered, by multigrid where it is not.

        Parameters
        ----------
        place : Place, optional
            Let torch solve it there; by default the compiled loops of the processor do.

        Raises
        ------
        InputError
            If the tissue is uneven and a place is given.
        """
        uneven = None if self.tissue is None or self.tissue.uniform else self.tissue
        if place is not None:
            if uneven is not None:
                raise InputError("--device", got=f"{place.name} with a tissue that differs from cell to cell",
                                 expected="layered tissue; maps on the routes are fine", hint="use --device cpu")  # fmt: skip
            from krogh.transport.block.device.system import DeviceSystem

            return DeviceSystem(self._layered(), place, tolerance=tolerance)
        if uneven is None:
            return BlockSystem(self._layered(), tolerance=tolerance)
        return UnevenSystem(self.model(), uneven, tolerance=tolerance)

    def _layered(self) -> BlockModel:
        return self.model() if self.tissue is None else layered(self.model(), self.tissue)

    def coefficients(self) -> dict[str, np.ndarray]:
        """Return the arrays that the assembled block consists of, for gradients."""
        if self.tissue is None or self.tissue.uniform:
            from krogh.transport.block.adjoint import block_coefficients

            return block_coefficients(self._layered())
        from krogh.transport.block.uneven_adjoint import uneven_coefficients

        model = self.model()
        return uneven_coefficients(model, spread_maps(model, self.tissue))

    @property
    def unknowns(self) -> int:
        """Return the number of unknowns of all species."""
        mesh, whole = self.mesh, self.whole
        planes = mesh.layer.size + sum(int((mesh.layer == c.layer).sum()) for c in whole.cells)
        return planes * self.y.size * self.z.size * len(whole.species)


def memory_bytes(problem: BlockProblem) -> int:
    """Return the memory that a run takes at its peak, estimated from the arrays that it holds."""
    doubles = 34 if problem.tissue is None or problem.tissue.uniform else 34 + 70
    return problem.unknowns * (8 * doubles + 4 * problem.frames_s.size)


@dataclass(frozen=True)
class BlockSolution(LedgerSolution):
    """Hold the march of a block.

    Attributes
    ----------
    problem, system
        What was solved, and the system that solved it. ``march.u`` holds plane means (B, S, plane), weighted by capacity.
    fields : array (frame, S, plane, ny, nz), float32
        Whole fields at ``problem.frames_s``.
    """

    problem: BlockProblem
    system: BlockBase
    march: March
    fields: np.ndarray

    @property
    def ledger_names(self) -> tuple[tuple[str, int], ...]:
        """Return the rows of the ledger with their signs."""
        return self.system.ledger_names

    @property
    def ledger_scale(self) -> float:
        """Return the barrier area: results are per square metre, as in the slab."""
        return float(self.system.model.area_m2.sum())

    @property
    def capacity(self) -> np.ndarray:
        """Return the capacity of the planes per barrier area (1, S, plane) [m]."""
        return self.system.plane_capacity[None]

    def nodes(self, name: str) -> np.ndarray:
        """Return the planes of a medium."""
        return self.system.model.media[name]

    @property
    def cell_nodes(self) -> np.ndarray:
        """Return the planes of the x cells."""
        return np.arange(self.system.model.grid[0])

    @property
    def auc(self) -> np.ndarray:
        """Return the time integral of the plane means (1, S, plane)."""
        assert self.march.auc is not None
        return self.system.plane_means(self.march.auc)

    @property
    def stored(self) -> np.ndarray:
        """Return the amount that was taken up over the run (B, S) [mol/m2]."""
        return (self.system.capacity * self.march.final).sum(-1) / self.ledger_scale

    @property
    def tissue_volume(self) -> float:
        """Return the volume of end-feet and interstitium per barrier area [m]."""
        whole, mesh = self.problem.whole, self.problem.mesh
        inside = {i for i, layer in enumerate(whole.layers) if layer.name in ("end-feet", "interstitium")}
        spread = np.array([layer.spread for layer in whole.layers])
        own = np.isin(mesh.layer, list(inside))
        return float((mesh.width_m * spread[mesh.layer])[own].sum())


def solve_block(
    problem: BlockProblem,
    *,
    method: str = "esdirk43",
    step_s: float | None = None,
    rtol: float = 1e-4,
    progress: Callable[[float], None] | None = None,
    place: Place | None = None,
) -> BlockSolution:
    """Solve a block; see :func:`krogh.transport.integrate.integrate` for the settings, `place` for a torch device.

    Raises
    ------
    InputError
        If the blood does not have the shape of the barrier, a setting is out of range, or the memory does not suffice.
    ConvergenceError
        If the stepper cannot go on.
    """
    free = place.free_bytes if place is not None else None
    check_memory(memory_bytes(problem), problem.unknowns, "block.cells, block.cells_y, block.cells_z", free_bytes=free)
    check_blood(problem.blood, 1, len(problem.barrier.species))
    if place is not None and method in MARCHES:
        got = f"{method} with --device {place.name}"
        raise InputError("method", got=got, expected=", ".join(STEPPERS), hint="use --device cpu")
    system = problem.system(max(1e-9, min(1e-6, 1e-2 * rtol)), place)
    planes = system.plane_capacity.shape[1]
    fields = np.zeros((problem.frames_s.size, system.shape[1], planes, *system.model.grid[1:]), dtype=np.float32)

    def take(i: int, u: np.ndarray) -> None:
        fields[i] = u.reshape(fields.shape[1:])

    try:
        march = integrate(
            system, problem.blood, problem.t_end_s, method=method, step_s=step_s, rtol=rtol, progress=progress,
            reduce=system.plane_means, observe=Frames(problem.frames_s, take),
        )  # fmt: skip
    except RuntimeError as error:  # what torch raises where a GPU has no room left
        if place is None or "out of memory" not in str(error):
            raise
        raise InputError("mesh", got=f"{problem.unknowns:,} unknowns, more than the memory of {place.name} holds",
                         hint="use fewer cells, --precision float32, or --device cpu") from error  # fmt: skip
    return BlockSolution(problem, system, march, fields)
