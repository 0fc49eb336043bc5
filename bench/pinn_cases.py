"""State the model problems of the networks in SI: A fast diffusion, H a front that crosses, B four layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.blood.exponentials import ExponentialBlood
from krogh.transport.problem import Problem

__all__ = ["KM", "RATE_PER_S", "SLABS", "T_END_S", "VMAX", "case", "decaying", "slab"]

#: Thickness [um], diffusivity [um2/s], loss [1/s] and permeability of the face before each layer [um/s].
SLABS = {
    "A": ([20.0], [500.0], [0.02], [1.0]),
    "H": ([20.0], [10.0], [0.02], [1.0]),
    "B": ([0.3, 0.1, 1.0, 20.0], [10.0, 50.0, 20.0, 500.0], [0.1, 0.0, 0.05, 0.02], [2.0, 2.0, 20.0, 10.0]),
}
#: The pump on the first membrane [mol/(m2 s)] and [mol/m3], and the blood: 1 mol/m3 that decays.
VMAX, KM, RATE_PER_S, T_END_S = 0.5e-6, 0.5, 1 / 60, 60.0


def decaying(rate_per_s: float = RATE_PER_S, starts: Sequence[float] = (0.0,), species: int = 1) -> ExponentialBlood:
    """Return blood that is 1 mol/m3 at each start and decays; only the first species is there."""
    coefficient = np.zeros((1, species, len(starts)))
    coefficient[0, 0] = 1.0
    return ExponentialBlood(
        np.broadcast_to(np.array(starts), coefficient.shape), np.full_like(coefficient, rate_per_s), coefficient,
        np.ones((1, species)),
    )  # fmt: skip


def slab(
    thickness_um: Sequence[float],
    diffusivity_um2_s: Sequence[float],
    loss: Sequence[float],
    permeability_um_s: Sequence[float],
    *,
    vmax: float = VMAX,
    km: float = KM,
) -> Barrier:
    """Return layers with a membrane before each, a pump on the first."""
    layers = tuple(
        Layer(f"layer {i}", x * 1e-6, d * 1e-12, 1.0, loss_per_s=k)
        for i, (x, d, k) in enumerate(zip(thickness_um, diffusivity_um2_s, loss, strict=True))
    )
    walls = tuple(
        Membrane(f"wall {i}", i, (Passive(p * 1e-6), *((Efflux(vmax, km),) if i == 0 and vmax else ())))
        for i, p in enumerate(permeability_um_s)
    )
    return Barrier(("drug",), layers, walls)


def case(name: str, *, cells: int = 64, t_end_s: float = T_END_S) -> Problem:
    """Return one of the model problems."""
    return Problem(slab(*SLABS[name]), decaying(), t_end_s, cells=cells)
