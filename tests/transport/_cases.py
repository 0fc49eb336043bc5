"""Small barriers, blood curves and helpers that the transport tests share."""

import numpy as np

from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.transport.integrate import integrate
from krogh.transport.linear import SOLVERS
from krogh.transport.mesh import Mesh, layered_mesh
from krogh.transport.newton import solve_stage
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph


class SmoothBlood:
    """Give c(t) = height (t/tau)^power exp(-t/tau): smooth, and zero at the start for power >= 1."""

    def __init__(self, tau_s=5.0, power=1, height=1.0, shape=(1, 1)):
        self.tau_s, self.power, self.height, self.shape = tau_s, power, height, shape

    def free(self, t_s, *, left=False):
        x = t_s / self.tau_s
        return np.full(self.shape, self.height * x**self.power * np.exp(-x))

    def events(self, t_end_s):
        return np.zeros(0)


class ConstantBlood(SmoothBlood):
    """Hold the free concentration."""

    def free(self, t_s, *, left=False):
        return np.full(self.shape, float(self.height))


def three_layers(luminal=5e-8, abluminal=8e-8, sheath=5e-7, loss=2e-3):
    """Return endothelium, basement membrane and tissue with a linear membrane before each (numbers in SI)."""
    layers = (
        Layer("endothelium", 0.4e-6, 3e-11, 3.0),
        Layer("basement membrane", 0.1e-6, 6e-11, 0.8),
        Layer("interstitium", 20e-6, 1.2e-10, 0.6, loss_per_s=loss),
    )
    walls = (("luminal", luminal), ("abluminal", abluminal), ("sheath", sheath))
    return Barrier(("drug",), layers, tuple(Membrane(n, i, (Passive(p),)) for i, (n, p) in enumerate(walls)))


def saturable(species=("drug",), batch=1):
    """Return a barrier with everything non-linear: P-gp, a carrier, a leak past the endothelium, an enzyme, neurons."""
    pump = Efflux(4e-8, 0.3, name="P-gp")
    carrier = Carrier(3e-8, np.full((1, len(species), 1), 0.5), 1.0, 0.2, name="LAT1")
    enzyme = MichaelisMenten(0.02, 0.4, (None,) * len(species), name="enzyme")
    layers = (
        Layer("endothelium", 0.4e-6, 3e-11, 1.5, reactions=(enzyme,)),
        Layer("basement membrane", 0.1e-6, 6e-11, 0.8),
        Layer("interstitium", 20e-6, 1.2e-10, 0.2, loss_per_s=1e-3),
    )
    luminal = Membrane("luminal", 0, (Passive(1e-7, 1.0, 0.7), carrier, pump))
    abluminal = Membrane("abluminal", 1, (Passive(1e-7, 0.7, 0.9), carrier))
    neurons = CellCompartment("neuron", 2, 0.8, 0.05, 1.3)
    leak = Bypass(Paracellular(2e-9), 1)
    return Barrier(tuple(species), layers, (luminal, abluminal), (leak,), (neurons,), batch=batch)


def operator_of(barrier, cells, *, ratio=10.0, radius_m=None):
    """Return the operator of one path."""
    return Operator(path_graph(barrier, layered_mesh(barrier.layers, cells, ratio=ratio), radius_m=radius_m))


def steady(operator, blood, guess=0.0):
    """Return the steady state for a constant `blood` (B, S): one Newton solve without capacity, from `guess`."""
    zero = np.zeros(operator.graph.shape)
    # the step of a steady state has no size; 1e9 s keeps the numbers in range
    result = solve_stage(operator, SOLVERS[operator.graph.structure](operator), 1e9, zero, zero + guess, blood, capacity=zero)
    assert result.converged
    return result.u


def march(operator, blood, t_end_s, **settings):
    """Integrate and return the march."""
    return integrate(operator, blood, t_end_s, **settings)


def slopes(errors, factor=2.0):
    """Return the observed orders between neighbours of a sequence of errors."""
    errors = np.asarray(errors)
    return np.log(errors[:-1] / errors[1:]) / np.log(factor)


def uniform_mesh(layers, counts):
    """Return equal cells in each layer."""
    return layered_mesh(layers, counts, ratio=1.0)


def mesh_of(widths, layer):
    """Return a mesh with these widths."""
    return Mesh(np.asarray(widths, dtype=float), np.asarray(layer, dtype=int))
