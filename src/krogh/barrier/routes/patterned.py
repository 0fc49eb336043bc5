"""Let a route vary along the barrier: more of it here, none of it there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from krogh.barrier.routes.base import Flux, Route
from krogh.errors import InputError, nearest

if TYPE_CHECKING:
    from krogh.barrier.model import Barrier

__all__ = ["Patterned", "with_density"]


@dataclass(frozen=True, slots=True)
class Patterned:
    """Multiply every flux of a route by its density on each face: J(y, z) = density(y, z) J_route.

    Attributes
    ----------
    route : Route
        The route at density 1.
    density : array, shape (1, 1, face)
        Transporters, or open area, over the uniform barrier's, >= 0.
    """

    route: Route
    density: np.ndarray
    linear: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return the name of the route."""
        return self.route.name

    def flux(self, u_blood: Any, u_brain: Any) -> Flux:
        """Return the fluxes and slopes of the route times the density."""
        inward, outward, d_blood, d_brain = self.route.flux(u_blood, u_brain)
        slope = self.density[:, None] if d_blood.ndim == 4 else self.density
        return Flux(self.density * inward, self.density * outward, slope * d_blood, slope * d_brain)


def with_density(barrier: Barrier, name: str, density: np.ndarray) -> Barrier:
    """Return `barrier` with the density (face,) on every route called `name`; densities multiply.

    Raises
    ------
    InputError
        If no route has that name, or a density is negative or not finite.
    """
    if not np.all(np.isfinite(density)) or np.any(density < 0):
        bad = density[~(np.isfinite(density) & (density >= 0))][0]
        raise InputError(f"map of {name}", got=f"a value of {bad:g}", expected="finite values >= 0 (1 = as the uniform barrier)")
    names = {r.name for m in barrier.membranes for r in m.routes} | {b.route.name for b in barrier.bypasses}
    wanted = {n.lower(): n for n in names}.get(name.lower())
    if wanted is None:
        raise InputError("pattern", got=f"route '{name}'", hint=nearest(name, names))
    flat = np.ascontiguousarray(density, dtype=float).reshape(1, 1, -1)

    def pattern(route: Route) -> Route:
        return Patterned(route, flat) if route.name == wanted else route

    return replace(
        barrier,
        membranes=tuple(replace(m, routes=tuple(pattern(r) for r in m.routes)) for m in barrier.membranes),
        bypasses=tuple(replace(b, route=pattern(b.route)) for b in barrier.bypasses),
    )
