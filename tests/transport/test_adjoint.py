"""The adjoint gradient of an area under the curve equals central differences on the same steps, for random barriers."""

import numpy as np
import pytest

from krogh.barrier.model import Barrier, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Passive
from krogh.errors import InputError
from krogh.transport.adjoint import auc_gradient, auc_on_steps
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

from ._cases import SmoothBlood

#: P of two membranes, Vmax and Km of a pump and of a carrier, D of two layers, capacity (1/fu), loss, an enzyme, exchange.
_TYPICAL = np.array([1e-7, 8e-8, 3e-8, 0.3, 2e-8, 0.5, 3e-11, 1.2e-10, 2.0, 2e-3, 0.02, 0.4, 0.05])


def build(theta):
    p1, p2, v, km, w, kc, d1, d2, kappa, loss, rate, ke, exchange = (theta[:, [i]] for i in range(theta.shape[1]))
    face = lambda x: x[..., None]  # noqa: E731
    layers = (
        Layer("endothelium", 4e-7, d1, kappa, reactions=(MichaelisMenten(face(rate), face(ke), (None,)),)),
        Layer("interstitium", 2e-5, d2, 0.3, loss),
    )
    carrier = Carrier(face(w), face(kc), 1.0, 0.2)
    walls = (
        Membrane("luminal", 0, (Passive(face(p1), 1.0, 0.7), Efflux(face(v), face(km)))),
        Membrane("abluminal", 1, (Passive(face(p2)), carrier)),
    )
    cells = (CellCompartment("neuron", 1, 0.8, exchange, 1.3),)
    barrier = Barrier(("drug",), layers, walls, cells=cells, batch=theta.shape[0])
    return path_graph(barrier, layered_mesh(layers, 16))


class _TwoDoses(SmoothBlood):
    def free(self, t_s, *, left=False):
        second = t_s > 40.0 if left else t_s >= 40.0
        return np.full(self.shape, np.exp(-t_s / 30) + (np.exp(-(t_s - 40) / 30) if second else 0.0))

    def events(self, t_end_s):
        return np.array([40.0])


def _weight(graph):
    weight = np.zeros(graph.shape[2])
    weight[graph.media["interstitium"]] = graph.capacity[0, 0, graph.media["interstitium"]]
    return weight / weight.sum()


def test_the_adjoint_equals_central_differences_for_fifty_parameter_sets():
    rng = np.random.default_rng(5)
    blood = _TwoDoses()
    for case in range(50):
        theta = _TYPICAL * 10 ** rng.uniform(-0.5, 0.5, _TYPICAL.size)
        graph = build(theta[None])
        weight = _weight(graph)
        steps = np.diff(integrate(Operator(graph), blood, 90.0, rtol=1e-2).t_s)
        found = auc_gradient(build, theta, blood, steps, weight)
        assert found.value == pytest.approx(auc_on_steps(graph, blood, steps, weight), rel=1e-14)
        direction = theta * rng.normal(size=theta.size)
        one = [auc_on_steps(build((theta + s * 3e-5 * direction)[None]), blood, steps, weight) for s in (1, -1)]
        want = (one[0] - one[1]) / 6e-5
        scale = np.abs(found.gradient * direction).sum()
        assert abs(found.gradient @ direction - want) <= 1e-6 * scale, case


def test_every_parameter_by_itself():
    blood, graph = _TwoDoses(), build(_TYPICAL[None])
    weight = _weight(graph)
    steps = np.diff(integrate(Operator(graph), blood, 90.0, rtol=1e-3).t_s)
    found = auc_gradient(build, _TYPICAL, blood, steps, weight)
    for i, value in enumerate(_TYPICAL):
        shift = np.zeros(_TYPICAL.size)
        shift[i] = 1e-4 * value
        want = np.subtract(*(auc_on_steps(build((_TYPICAL + s * shift)[None]), blood, steps, weight) for s in (1, -1))) / (
            2e-4 * value
        )
        size = max(abs(want), 1e-5 * found.value / value)
        assert abs(found.gradient[i] - want) <= 1e-6 * size, i


def test_what_cannot_be_differentiated_is_refused():
    weight = np.zeros(3)
    with pytest.raises(InputError, match="not 0"):
        auc_gradient(build, 0 * _TYPICAL, SmoothBlood(), [1.0], weight)
    with pytest.raises(InputError, match="one species"):
        auc_gradient(lambda theta: build(np.repeat(theta, 2, axis=0)), _TYPICAL, SmoothBlood(), [1.0], weight)
