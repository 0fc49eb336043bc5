"""Put a barrier, its mesh and the two directions along it together into the coefficients of a block.

Per species and cell along x everything is one number: the bulk is layered. What varies over (y, z) sits on the membranes, in the
parameters of their routes. A *port* is the concentration right at one side of a membrane, half a cell away from a cell centre; a
*law* carries a flux from one port (or the blood) to another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier, CellCompartment, Layer
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes.base import Route
from krogh.errors import InputError
from krogh.transport.block.axis import Axis
from krogh.transport.mesh import Mesh, layered_mesh

__all__ = ["BLOOD", "BlockModel", "Law", "Leaf", "ReactionTerm", "assemble_block", "with_lumen"]

#: Port number that stands for the blood reservoir.
BLOOD = -1


@dataclass(frozen=True, slots=True)
class Law:
    """All routes between two ports; every area is (y, z) cell area."""

    tail: int
    head: int
    routes: tuple[Route, ...]
    where: str

    @property
    def crosses_blood(self) -> bool:
        """Return whether it leaves from the blood reservoir."""
        return self.tail == BLOOD


@dataclass(frozen=True, slots=True)
class Leaf:
    """Cells (neurons, astrocytes) inside the tissue, one compartment per (x, y, z) cell of `start` <= x < `stop`.

    ``mass`` (S, n) and ``exchange`` (S, n) are per barrier area [m], [m/s]; ``trapping`` (S,).
    """

    name: str
    start: int
    stop: int
    mass: np.ndarray
    exchange: np.ndarray
    trapping: np.ndarray


@dataclass(frozen=True, slots=True)
class ReactionTerm:
    """A reaction in the bulk (`leaf` None) or in a leaf, for x cells `start` <= x < `stop`; rates per barrier area [m/s]."""

    law: MichaelisMenten
    leaf: int | None
    start: int
    stop: int
    rate: np.ndarray
    inverse_km: np.ndarray
    where: str


@dataclass(frozen=True)
class BlockModel:
    """The coefficients of a block; S species, nx cells along x, P ports, all per barrier area.

    Attributes
    ----------
    mass : array (S, nx)
        Capacity times width [m].
    link : array (S, nx - 1)
        Conductance between neighbouring cells [m/s]; 0 across a membrane.
    lateral : array (S, nx)
        D times width: conductance along the barrier, to be divided by a distance [m3/s per m].
    loss, inflow : array (S, nx)
        First-order loss, and exchange with the blood reservoir (perfusion) [m/s].
    port_cell, port_half : arrays (P,), (P, S)
        Cell behind each port and the resistance of half of it [s/m].
    volume_m : array (nx,)
        Width times spread: volume of a cell per barrier area [m].
    open_face : bool
        Whether the first cell touches the blood reservoir without a membrane.
    """

    species: tuple[str, ...]
    mesh: Mesh
    y: Axis
    z: Axis
    mass: np.ndarray
    link: np.ndarray
    lateral: np.ndarray
    loss: np.ndarray
    inflow: np.ndarray
    port_cell: np.ndarray
    port_half: np.ndarray
    laws: tuple[Law, ...]
    leaves: tuple[Leaf, ...]
    reactions: tuple[ReactionTerm, ...]
    media: dict[str, np.ndarray]
    volume_m: np.ndarray
    open_face: bool

    @property
    def grid(self) -> tuple[int, int, int]:
        """Return (nx, ny, nz)."""
        return self.mesh.width_m.size, self.y.size, self.z.size

    @property
    def faces(self) -> int:
        """Return the number of (y, z) cells."""
        return self.y.size * self.z.size

    @property
    def unknowns(self) -> int:
        """Return the unknowns of one species."""
        return (self.grid[0] + sum(x.stop - x.start for x in self.leaves)) * self.faces

    @property
    def area_m2(self) -> np.ndarray:
        """Return the (y, z) cell areas, shape (ny, nz) [m2]."""
        return self.y.width_m[:, None] * self.z.width_m[None, :]

    def leaf_offset(self, index: int) -> int:
        """Return where the unknowns of a leaf start, in planes of (y, z)."""
        return self.grid[0] + sum(x.stop - x.start for x in self.leaves[:index])


def with_lumen(barrier: Barrier, thickness_m: float, diffusivity_m2_s: Any, fu_plasma: Any) -> Barrier:
    """Return `barrier` with a blood layer in front: free concentration inside, capacity 1/fu (blood stores the total)."""
    lumen = Layer("lumen", thickness_m, diffusivity_m2_s, 1.0 / np.asarray(fu_plasma, dtype=float))
    return replace(
        barrier,
        layers=(lumen, *barrier.layers),
        membranes=tuple(replace(m, face=m.face + 1) for m in barrier.membranes),
        bypasses=tuple(replace(b, to_layer=b.to_layer + 1) for b in barrier.bypasses),
        cells=tuple(replace(c, layer=c.layer + 1) for c in barrier.cells),
    )


def assemble_block(
    barrier: Barrier, cells: int | tuple[int, ...], y: Axis, z: Axis, *, turnover_per_s: Any = None, ratio: float = 10.0
) -> BlockModel:
    """Return the coefficients of a block.

    Parameters
    ----------
    barrier : Barrier
        Layers, membranes, cells; parameters of routes may have shape (1, species, ny * nz).
    cells : int or tuple of int
        Cells across the layers, see :func:`krogh.transport.mesh.layered_mesh`.
    y, z : Axis
        Directions along the barrier.
    turnover_per_s : array (1, S), optional
        The first layer is a perfused lumen: blood of the reservoir replaces its volume at this rate [1/s].

    Raises
    ------
    InputError
        If the barrier is a batch, a route past the endothelium ends where no membrane is, or a map has the wrong shape.
    """
    if barrier.batch != 1:
        raise InputError("block", got=f"a batch of {barrier.batch}", expected="one problem at a time")
    return _Assembly(barrier, layered_mesh(barrier.layers, cells, ratio=ratio), y, z).model(turnover_per_s)


class _Assembly:
    """Compute the pieces of a model."""

    def __init__(self, barrier: Barrier, mesh: Mesh, y: Axis, z: Axis) -> None:
        self.barrier, self.mesh, self.y, self.z = barrier, mesh, y, z
        self.first = [int(np.argmax(mesh.layer == i)) for i in range(len(barrier.layers))]
        self.stop = [*self.first[1:], mesh.layer.size]
        self.volume = mesh.width_m * np.array([barrier.layers[i].spread for i in mesh.layer])
        self.spread = np.array([barrier.layers[i].spread for i in mesh.layer])

    def _per_cell(self, name: str) -> np.ndarray:
        values = np.stack([self.barrier.expand(getattr(layer, name))[0] for layer in self.barrier.layers], axis=-1)
        return values[:, self.mesh.layer]

    def _per_species(self, value: Any) -> np.ndarray:
        array = np.asarray(value, dtype=float)
        return np.broadcast_to(array.reshape(array.shape[:2]) if array.ndim == 3 else array, (1, len(self.barrier.species)))[0]

    def model(self, turnover_per_s: Any) -> BlockModel:
        diffusivity = self._per_cell("diffusivity_m2_s")
        half = self.mesh.width_m / (2 * diffusivity * self.spread)
        link = 1.0 / (half[:, 1:] + half[:, :-1])
        mass = self._per_cell("capacity") * self.volume
        loss = self._per_cell("loss_per_s") * self.volume
        inflow = np.zeros_like(mass)
        if turnover_per_s is not None:
            own = self.mesh.layer == 0
            inflow[:, own] = self._per_species(turnover_per_s)[:, None] * mass[:, own]
        ports, laws = self._laws()
        for cell in {c for c, side in ports if side == "brain" and c > 0}:
            link[:, cell - 1] = 0.0
        open_face = turnover_per_s is None and not any(m.face == 0 for m in self.barrier.membranes)
        if open_face:
            inflow[:, 0] += 1.0 / half[:, 0]  # no membrane: the first face is the blood
        port_cell = np.array([c for c, _ in ports], dtype=np.int64)
        return BlockModel(
            species=self.barrier.species, mesh=self.mesh, y=self.y, z=self.z, mass=mass, link=link,
            lateral=diffusivity * self.volume, loss=loss, inflow=inflow, port_cell=port_cell,
            port_half=half[:, port_cell].T.copy(), laws=laws, leaves=self._leaves(), reactions=self._reactions(),
            media=self._media(), volume_m=self.volume, open_face=open_face,
        )  # fmt: skip

    def _laws(self) -> tuple[list[tuple[int, str]], tuple[Law, ...]]:
        """Return the ports as (cell, side of the membrane), and the laws between them."""
        ports: list[tuple[int, str]] = []
        brain: dict[int, int] = {}
        laws, entry = [], BLOOD
        for membrane in sorted(self.barrier.membranes, key=lambda m: m.face):
            cell, tail = self.first[membrane.face], BLOOD
            if cell > 0:
                tail = len(ports)
                ports.append((cell - 1, "blood"))
            brain[membrane.face] = len(ports)
            ports.append((cell, "brain"))
            if membrane is min(self.barrier.membranes, key=lambda m: m.face):
                entry = tail
            laws.append(Law(tail, brain[membrane.face], membrane.routes, membrane.name))
        for bypass in self.barrier.bypasses:
            if bypass.to_layer not in brain:
                raise InputError(f"bypass by {bypass.route.name}", got=f"layer {bypass.to_layer} without a membrane before it",
                                 expected="a membrane there")  # fmt: skip
            laws.append(Law(entry, brain[bypass.to_layer], (bypass.route,), "blood-brain"))
        for law in laws:
            for route in law.routes:
                self._check_maps(route, law.where)
        return ports, tuple(laws)

    def _check_maps(self, route: Route, where: str) -> None:
        faces = self.y.size * self.z.size
        zero = np.zeros((1, len(self.barrier.species), faces))
        try:
            shape = np.broadcast(*route.flux(zero, zero)[:2], zero).shape
        except ValueError:
            shape = ()
        if shape != zero.shape:
            raise InputError(
                f"{route.name} at {where}", got="a map of another shape", expected=f"{self.y.size} x {self.z.size} cells"
            )

    def _leaves(self) -> tuple[Leaf, ...]:
        found = []
        for cell in self.barrier.cells:
            a, b = self.first[cell.layer], self.stop[cell.layer]
            volume = self.volume[a:b]
            values = [self.barrier.expand(v)[0] for v in (cell.capacity, cell.exchange_per_s, cell.trapping)]
            found.append(Leaf(cell.name, a, b, values[0][:, None] * volume, values[1][:, None] * volume, values[2]))
        return tuple(found)

    def _reactions(self) -> tuple[ReactionTerm, ...]:
        homes: list[tuple[Layer | CellCompartment, int, int | None]] = []
        homes += [(layer, i, None) for i, layer in enumerate(self.barrier.layers)]
        homes += [(cell, cell.layer, k) for k, cell in enumerate(self.barrier.cells)]
        found = []
        for home, layer, leaf in homes:
            a, b = self.first[layer], self.stop[layer]
            for law in home.reactions:
                rate = self._per_species(law.rate_per_s)[:, None] * self.volume[a:b]
                inverse = 1.0 / self._per_species(law.km_mol_m3)
                found.append(ReactionTerm(law, leaf, a, b, rate, inverse, home.name))
        return tuple(found)

    def _media(self) -> dict[str, np.ndarray]:
        """Return the planes (x cells, then leaf cells) of each medium."""
        media = {layer.name: np.arange(a, b) for layer, a, b in zip(self.barrier.layers, self.first, self.stop, strict=True)}
        start = self.mesh.layer.size
        for cell in self.barrier.cells:
            count = self.stop[cell.layer] - self.first[cell.layer]
            media[cell.name] = start + np.arange(count)
            start += count
        return media
