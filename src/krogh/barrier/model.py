"""Describe the barrier as sheets in order from blood to brain, with membranes on their faces.

Every per-species number is an array that broadcasts to (batch, species): ``batch`` runs over independent problems of
one shape (a drug library), ``species`` over compounds that act on each other (levodopa and the dopamine formed from
it). Scalars are fine.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes.base import Route
from krogh.errors import InputError

__all__ = ["Barrier", "Bypass", "CellCompartment", "Layer", "Membrane"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One homogeneous sheet.

    Attributes
    ----------
    name : str
        ``endothelium``, ``basement membrane``, ``end-feet``, ``interstitium`` ...
    thickness_m : float
        Thickness along the path [m], > 0.
    diffusivity_m2_s : array
        Effective diffusivity [m2/s]: it multiplies the gradient of the free concentration, per whole cross-section
        (for the interstitium alpha D / lambda^2).
    capacity : array
        kappa = amount per volume of sheet / free concentration, dimensionless (volume fraction / unbound fraction there), > 0.
    loss_per_s : array
        First-order loss of free drug, per volume of sheet [1/s] (interstitial bulk flow, drainage).
    reactions : tuple of MichaelisMenten
        Enzymes and volumetric sinks.
    spread : float
        Cross-section of the layer over that of the barrier, > 0: a slab keeps both the distance between capillaries and the
        tissue volume behind the barrier when the tissue is wider than the wall.
    """

    name: str
    thickness_m: float
    diffusivity_m2_s: Any
    capacity: Any = 1.0
    loss_per_s: Any = 0.0
    reactions: tuple[MichaelisMenten, ...] = ()
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class Membrane:
    """A face with routes: membrane `face` lies before layer `face` (0: between blood and the first layer)."""

    name: str
    face: int
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Bypass:
    """A route from blood straight to the blood side of layer `to_layer`, past the layers before it (leak, transcytosis)."""

    route: Route
    to_layer: int


@dataclass(frozen=True, slots=True)
class CellCompartment:
    """Cells inside a layer, well stirred, that exchange with the free concentration around them.

    Attributes
    ----------
    name : str
        ``neuron``, ``astrocyte``.
    layer : int
        Index of the layer that holds them.
    capacity : array
        Amount in these cells per volume of layer / free concentration inside, dimensionless, > 0.
    exchange_per_s : array
        First-order exchange with the surrounding fluid, per volume of layer [1/s] (membrane P times cell surface per volume).
    trapping : array
        Free concentration inside / outside at equilibrium (pH trapping), > 0; 1 without.
    reactions : tuple of MichaelisMenten
        Enzymes inside the cell, per volume of layer.
    """

    name: str
    layer: int
    capacity: Any
    exchange_per_s: Any
    trapping: Any = 1.0
    reactions: tuple[MichaelisMenten, ...] = ()


@dataclass(frozen=True, slots=True)
class Barrier:
    """All that lies between blood and the far side of the tissue (no flux there).

    Attributes
    ----------
    species : tuple of str
        Names of the species, in the order of every species axis.
    layers, membranes, bypasses, cells
        See the classes.
    batch : int
        Number of independent problems.
    """

    species: tuple[str, ...]
    layers: tuple[Layer, ...]
    membranes: tuple[Membrane, ...] = ()
    bypasses: tuple[Bypass, ...] = ()
    cells: tuple[CellCompartment, ...] = ()
    batch: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be solved, before any work."""
        if not self.layers:
            raise InputError("barrier", got="no layers", expected="at least one layer")
        for layer in self.layers:
            where = f"layer '{layer.name}'"
            _check(f"{where} thickness", layer.thickness_m, "> 0 m", positive=True)
            _check(f"{where} spread", layer.spread, "> 0", positive=True)
            _check(f"{where} diffusivity", layer.diffusivity_m2_s, "> 0 m2/s", positive=True)
            _check(f"{where} capacity", layer.capacity, "> 0", positive=True)
            _check(f"{where} loss", layer.loss_per_s, ">= 0 1/s")
        for membrane in self.membranes:
            if not 0 <= membrane.face < len(self.layers):
                raise InputError(
                    f"membrane '{membrane.name}'", got=f"face {membrane.face}", expected=f"0 to {len(self.layers) - 1}"
                )
            if not membrane.routes:
                raise InputError(
                    f"membrane '{membrane.name}'", got="no routes", expected="at least one (a closed one: permeability 0)"
                )
        if len({m.face for m in self.membranes}) != len(self.membranes):
            raise InputError("membranes", got="two on one face", expected="one membrane per face, holding all its routes")
        for place, index in [("bypass", b.to_layer) for b in self.bypasses] + [(c.name, c.layer) for c in self.cells]:
            if not 0 <= index < len(self.layers):
                raise InputError(place, got=f"layer {index}", expected=f"0 to {len(self.layers) - 1}")
        for cell in self.cells:
            _check(f"{cell.name} capacity", cell.capacity, "> 0", positive=True)
            _check(f"{cell.name} exchange", cell.exchange_per_s, ">= 0 1/s")
            _check(f"{cell.name} trapping", cell.trapping, "> 0", positive=True)
        for membrane in self.membranes:
            for route in membrane.routes:
                _check_law(f"{route.name} at membrane '{membrane.name}'", route)
        for bypass in self.bypasses:
            _check_law(f"{bypass.route.name} past the endothelium", bypass.route)
        held = [(x.name, x.reactions) for x in self.layers] + [(x.name, x.reactions) for x in self.cells]
        for home, laws in held:
            for law in laws:
                _check_law(f"{law.name} in {home}", law)

    @property
    def thickness_m(self) -> float:
        """Return the thickness of all layers together [m]."""
        return float(sum(layer.thickness_m for layer in self.layers))

    def expand(self, value: Any) -> np.ndarray:
        """Return `value` as a float array of shape (batch, species)."""
        return np.broadcast_to(np.asarray(value, dtype=float), (self.batch, len(self.species)))


def _check(where: str, value: Any, expected: str, *, positive: bool = False) -> None:
    array = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(array)) or np.any(array < 0) or (positive and np.any(array == 0)):
        raise InputError(where, got=value, expected=f"finite, {expected}")


#: Constants of the laws that must not be zero; a Michaelis constant may be infinite (no binding, first order).
_SATURATION = ("km_mol_m3", "kd_mol_m3", "affinity_mol_m3")


def _check_law(where: str, law: Any) -> None:
    """Refuse numbers of a route or a reaction that are negative or not finite."""
    for field in fields(law) if is_dataclass(law) else ():
        if field.name in ("name", "product"):
            continue
        if field.name == "route":  # a law around a law
            _check_law(where, law.route)
            continue
        value = np.asarray(getattr(law, field.name), dtype=float)
        if field.name == "km_mol_m3":
            value = np.where(value == np.inf, 1.0, value)
        positive = field.name in _SATURATION
        _check(f"{where}, {field.name}", value, "> 0" if positive else ">= 0", positive=positive)
