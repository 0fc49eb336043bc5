"""Define what every route is: a flux law of the two free concentrations, with its derivatives.

A route answers one question: how many moles per second and square metre of barrier go from side 1 (blood) to side 2
(brain), and how many come back? The laws use only arithmetic, so the same function serves NumPy arrays and torch tensors.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

__all__ = ["Flux", "Route", "positive_part"]

#: NumPy array or torch tensor of shape (batch, species, face).
Array = Any


def positive_part(u: Array) -> Array:
    """Return max(u, 0) by arithmetic that NumPy, torch and complex steps share.

    Saturable laws are ``u / (Km + max(u, 0))``: straight lines below zero, where iterations and undershoots may pass. There
    ``u / (Km + u)`` has a pole, and behind it a second, false root of the balance. The law continued like this is concave, so
    Newton's method comes from one side.
    """
    return u * (u > 0)


class Flux(NamedTuple):
    """Hold the two one-way fluxes of a route and the derivatives of the net flux ``inward - outward``.

    Attributes
    ----------
    inward, outward : array, shape (batch, species, face)
        One-way fluxes [mol/(m2 s)], both >= 0 for concentrations >= 0; the net flux is positive from blood to brain.
    d_blood, d_brain : array
        Derivatives of the net flux [m/s]. Shape (batch, species, face) where each species crosses by itself;
        (batch, species, species, face) where species compete: entry ``[b, i, j, f]`` is d J_i / d u_j.
    """

    inward: Array
    outward: Array
    d_blood: Array
    d_brain: Array


class Route(Protocol):
    """Cross one membrane (``trans``) or the whole endothelium at once (``bypass``)."""

    #: Whether the derivatives are the same for all concentrations.
    linear: ClassVar[bool]

    @property
    def name(self) -> str:
        """Return the name under which its share of the crossing is reported."""
        ...

    def flux(self, u_blood: Array, u_brain: Array) -> Flux:
        """Return the fluxes for the free concentrations [mol/m3] on the two sides."""
        ...
