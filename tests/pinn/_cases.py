"""The reference problems of the notes in SI: A fast diffusion, H a front that crosses, B four layers."""

import numpy as np

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.blood.exponentials import ExponentialBlood
from krogh.transport.problem import Problem

SLABS = {
    "A": ([20.0], [500.0], [0.02], [1.0]),
    "H": ([20.0], [10.0], [0.02], [1.0]),
    "B": ([0.3, 0.1, 1.0, 20.0], [10.0, 50.0, 20.0, 500.0], [0.1, 0.0, 0.05, 0.02], [2.0, 2.0, 20.0, 10.0]),
}


def decaying(rate_per_s=1 / 60, starts=(0.0,), species=1):
    """Return blood that is 1 mol/m3 at each start and decays; only the first species is there."""
    coefficient = np.zeros((1, species, len(starts)))
    coefficient[0, 0] = 1.0
    return ExponentialBlood(
        np.broadcast_to(np.array(starts), coefficient.shape), np.full_like(coefficient, rate_per_s), coefficient,
        np.ones((1, species)),
    )  # fmt: skip


def slab(thickness_um, diffusivity_um2_s, loss, permeability_um_s, *, vmax=0.5e-6, km=0.5):
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


def case(name, *, cells=64, t_end_s=60.0):
    """Return one of the reference problems."""
    return Problem(slab(*SLABS[name]), decaying(), t_end_s, cells=cells)
