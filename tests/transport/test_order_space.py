"""Second order in space on graded, layered meshes, with saturable membranes, reactions and time-varying blood."""

from dataclasses import replace

import numpy as np
import pytest

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

from ._cases import SmoothBlood, operator_of, saturable, slopes

# -- manufactured solution ------------------------------------------------------------
# u = level + swing cos(k x + phase) cos(omega t): no law and no interface condition holds by itself; sources in every cell
# and at both sides of every membrane make it one.

_LEVEL, _SWING, _WAVE, _PHASE, _OMEGA = (0.8, 0.5), (0.3, 0.2), (4e6, 6e5), (0.4, 1.1), 2.0
_THICK = (0.5e-6, 5e-6)
_LAYERS = (
    Layer("endothelium", _THICK[0], 2e-12, 1.7, 0.3, (MichaelisMenten(2.0, 0.4, (None,)),)),
    Layer("tissue", _THICK[1], 3e-11, 0.4, 0.1, (MichaelisMenten(0.5, 0.2, (None,), name="other"),)),
)
_MEMBRANES = (
    Membrane("luminal", 0, (Passive(2e-6, 1.0, 0.8), Efflux(3e-6, 0.5), Carrier(2e-6, np.full((1, 1, 1), 0.3), 1.0, 0.5))),
    Membrane("abluminal", 1, (Passive(1e-6, 0.8, 0.9), Carrier(4e-6, np.full((1, 1, 1), 0.7), 0.2, 0.1, name="second"))),
)
_BARRIER = Barrier(("drug",), _LAYERS, _MEMBRANES)


class _Stamped(np.ndarray):
    """An array that knows its time, so that a source can depend on it."""

    t = 0.0


class _StampedBlood(SmoothBlood):
    def free(self, t_s, *, left=False):
        out = np.array([[0.6 + 0.4 * np.sin(3 * t_s)]]).view(_Stamped)
        out.t = t_s
        return out


def _u(layer, x, t):
    return _LEVEL[layer] + _SWING[layer] * np.cos(_WAVE[layer] * x + _PHASE[layer]) * np.cos(_OMEGA * t)


def _gradient(layer, x, t):
    return -_SWING[layer] * _WAVE[layer] * np.sin(_WAVE[layer] * x + _PHASE[layer]) * np.cos(_OMEGA * t)


class _Manufactured(Operator):
    """Add the sources that make the manufactured solution exact."""

    def __init__(self, cells, radius_m, spread):
        self.mesh = layered_mesh(_LAYERS, cells, ratio=6.0)
        barrier = replace(_BARRIER, layers=(_LAYERS[0], replace(_LAYERS[1], spread=spread)))
        super().__init__(path_graph(barrier, self.mesh, radius_m=radius_m))
        self.radius = radius_m
        edge = self.mesh.edge_m
        points, weights = np.polynomial.legendre.leggauss(6)
        self.x = edge[:-1, None] + (points + 1) / 2 * np.diff(edge)[:, None]
        ring = 1.0 if radius_m is None else 2 * np.pi * (radius_m + self.x)
        self.spread = np.where(self.mesh.layer == 0, 1.0, spread)
        self.weight = weights / 2 * np.diff(edge)[:, None] * ring * self.spread[:, None]
        self.area = np.ones(edge.size) if radius_m is None else 2 * np.pi * (radius_m + edge)

    def rate(self, u, blood, met=None):
        t = blood.t
        out = super().rate(u, blood, met)
        nodes = self.graph.layout["cell_node"]
        edge = self.mesh.edge_m
        for i, layer in enumerate(_LAYERS):
            own = np.flatnonzero(self.mesh.layer == i)
            x = self.x[own] - (0 if i == 0 else _THICK[0])
            value = _u(i, x, t)
            change = -_SWING[i] * np.cos(_WAVE[i] * x + _PHASE[i]) * _OMEGA * np.sin(_OMEGA * t)
            local = layer.capacity * change + layer.loss_per_s * value + layer.reactions[0].rate(value)[0]
            left = 0 if i == 0 else _THICK[0]
            flux = [
                -layer.diffusivity_m2_s * _gradient(i, edge[own + k] - left, t) * self.area[own + k] * self.spread[own[0]]
                for k in (0, 1)
            ]
            out[0, 0, nodes[own]] += (local * self.weight[own]).sum(-1) + flux[1] - flux[0]
            if i == len(_LAYERS) - 1:  # the far end is closed: nothing may pass
                out[0, 0, nodes[own[-1]]] -= flux[1][-1]
        self._membrane_sources(out, blood, t)
        return out

    def _membrane_sources(self, out, blood, t):
        first = int(np.flatnonzero(self.mesh.layer == 1)[0])
        node = self.graph.layout["cell_node"]
        sides = ((blood[0, 0], _u(0, 0.0, t)), (_u(0, _THICK[0], t), _u(1, 0.0, t)))
        faces = ((None, node[0] - 1), (node[first] - 2, node[first] - 1))
        # the routes act on the luminal area, diffusion on the cross-section of its own layer
        lumen, area = self.area[0], ((None, self.area[0]), (self.area[first], self.area[first] * self.spread[first]))
        slope = ((None, _gradient(0, 0.0, t)), (_gradient(0, _THICK[0], t), _gradient(1, 0.0, t)))
        diffusivity = ((None, _LAYERS[0].diffusivity_m2_s), (_LAYERS[0].diffusivity_m2_s, _LAYERS[1].diffusivity_m2_s))
        for k, membrane in enumerate(_MEMBRANES):
            a, b = (np.full((1, 1, 1), float(v)) for v in sides[k])
            law = sum(float((f.inward - f.outward)[0, 0, 0]) for f in (r.flux(a, b) for r in membrane.routes))
            if faces[k][0] is not None:
                out[0, 0, faces[k][0]] += lumen * law + area[k][0] * diffusivity[k][0] * slope[k][0]
            out[0, 0, faces[k][1]] -= lumen * law + area[k][1] * diffusivity[k][1] * slope[k][1]

    def exact(self, t):
        """Return the exact cell averages."""
        shift = np.where(self.mesh.layer == 0, 0, _THICK[0])[:, None]
        value = np.where(self.mesh.layer[:, None] == 0, _u(0, self.x - shift, t), _u(1, self.x - shift, t))
        return (value * self.weight).sum(-1) / self.weight.sum(-1)


@pytest.mark.parametrize(("radius_m", "spread"), [(None, 1.0), (None, 2.5), (1e-6, 1.0)], ids=["slab", "spread", "cylinder"])
@pytest.mark.parametrize("norm", ["max", "l2"])
def test_manufactured_solution_converges_in_second_order(radius_m, spread, norm):
    errors, t = [], 0.4
    for m in (1, 2, 4, 8, 16):
        operator = _Manufactured([8 * m, 12 * m], radius_m, spread)
        nodes = operator.graph.layout["cell_node"]
        u0 = np.zeros(operator.graph.shape)
        u0[0, 0, nodes] = operator.exact(0.0)
        run = integrate(operator, _StampedBlood(), t, u0=u0, method="esdirk43", step_s=t / 40)
        miss = run.final[0, 0, nodes] - operator.exact(t)
        volume = operator.weight.sum(-1)
        errors.append(np.abs(miss).max() if norm == "max" else np.sqrt((miss**2 * volume).sum() / volume.sum()))
    assert slopes(errors)[-2:] == pytest.approx([2.0, 2.0], abs=0.1)
    # the size of the error too: a wrong half-cell would keep the order and miss this
    assert errors[-1] <= 2e-5


# -- self-convergence of everything at once ------------------------------------------------------------


@pytest.mark.parametrize("radius_m", [None, 3e-6], ids=["slab", "cylinder"])
def test_the_whole_barrier_converges_in_second_order(radius_m):
    barrier, base, t = saturable(), np.array([3, 3, 6]), 20.0
    found = []
    for m in (2, 4, 8, 32):
        operator = operator_of(barrier, base * m, ratio=5.0, radius_m=radius_m)
        run = integrate(operator, SmoothBlood(height=0.7), t, method="esdirk43", step_s=t / 100)
        graph = operator.graph
        amount = graph.capacity[0, 0] * run.final[0, 0]
        auc = graph.capacity[0, 0] * run.auc[0, 0]
        parts = []
        for name, nodes in graph.media.items():  # faces of the coarse mesh are faces of the fine one
            count = base[2] if name == "neuron" else base[[layer.name for layer in barrier.layers].index(name)]
            size = graph.capacity[0, 0, nodes].reshape(count, -1).sum(-1)
            parts += [x[nodes].reshape(count, -1).sum(-1) / size for x in (amount, auc)]
        found.append(np.concatenate(parts))
    errors = [np.abs(x / found[-1] - 1).max() for x in found[:-1]]
    # a reference four times finer than the last lowers the error by 1/16: slope 2.05 at most for an exact second order
    assert slopes(errors)[-1] == pytest.approx(2.0, abs=0.1)


def test_split_layer_with_the_same_mesh_changes_nothing():
    whole = Barrier(("drug",), (Layer("tissue", 4e-6, 1e-10, 0.5, 0.01),), (Membrane("wall", 0, (Passive(1e-6),)),))
    halves = Barrier(("drug",), (Layer("one", 2e-6, 1e-10, 0.5, 0.01), Layer("two", 2e-6, 1e-10, 0.5, 0.01)), whole.membranes)
    a = integrate(operator_of(whole, [32], ratio=1.0), SmoothBlood(0.3), 1.0, method="esdirk43", step_s=0.05)
    b = integrate(operator_of(halves, [16, 16], ratio=1.0), SmoothBlood(0.3), 1.0, method="esdirk43", step_s=0.05)
    np.testing.assert_allclose(a.final, b.final, rtol=1e-11)
