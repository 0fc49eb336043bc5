"""Problems of every geometry as functions of fourteen numbers, and their gradients by differences; shared with the benchmark."""

from dataclasses import replace

import numpy as np
import torch

from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive, with_density
from krogh.transport.adjoint.run import differentiable_run
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.maps import patch
from krogh.transport.block.problem import BlockProblem, Lumen
from krogh.transport.block.uneven import TissueMaps, even_maps
from krogh.transport.cylinder import Capillary
from krogh.transport.network.assemble import Tissue
from krogh.transport.network.problem import NetworkProblem
from krogh.transport.network.vessels import Vessels, poiseuille_flow, refine
from krogh.transport.problem import Problem

from ._cases import SmoothBlood

#: P of two membranes; Vmax and Km of a pump and of a carrier; D of two layers; capacity (1/fu); loss; k and Km of an enzyme;
#: exchange with neurons; unbound fraction in plasma.
TYPICAL = np.array([1e-7, 8e-8, 3e-8, 0.3, 2e-8, 0.5, 3e-11, 1.2e-10, 2.0, 2e-3, 0.02, 0.4, 0.05, 0.6])


class TwoDoses(SmoothBlood):
    """Two bolus doses, the free concentration by a factor."""

    def __init__(self, fu, second_s=40.0, tau_s=30.0, shape=(1, 1)):
        super().__init__(shape=shape)
        self.fu, self.second_s, self.decay_s = fu, second_s, tau_s

    def free(self, t_s, *, left=False):
        second = t_s > self.second_s if left else t_s >= self.second_s
        late = np.exp(-(t_s - self.second_s) / self.decay_s) if second else 0.0
        return np.full(self.shape, self.fu * (np.exp(-t_s / self.decay_s) + late))

    def events(self, t_end_s):
        return np.array([self.second_s])


def one_species(theta, *, basement=False):
    """Return everything non-linear: pump, carrier, enzyme; neurons; unequal permeant fractions."""
    p1, p2, v, km, w, kc, d1, d2, kappa, loss, rate, ke, exchange, _ = theta
    enzyme = MichaelisMenten(rate, ke, (None,))
    layers = [Layer("endothelium", 4e-7, d1, kappa, reactions=(enzyme,)), Layer("interstitium", 2e-5, d2, 0.3, loss)]
    if basement:
        layers.insert(1, Layer("basement membrane", 1e-7, 1e-10, 0.9))
    walls = (
        Membrane("luminal", 0, (Passive(p1, 1.0, 0.7), Efflux(v, km))),
        Membrane("abluminal", 1, (Passive(p2), Carrier(w, kc, 1.0, 0.2))),
    )
    cells = (CellCompartment("neuron", len(layers) - 1, 0.8, exchange, 1.3),)
    return Barrier(("drug",), tuple(layers), walls, cells=cells)


def two_species(theta):
    """Return two compounds that compete for a carrier, one formed from the other, with a leak past the endothelium."""
    p1, p2, v, km, w, kc, d1, d2, kappa, loss, rate, ke, exchange, _ = theta

    def each(*values):
        return np.array(values, dtype=float).reshape(1, -1, 1)

    enzyme = MichaelisMenten(each(rate, 0.1 * rate), each(ke, np.inf), (1, None))
    layers = (
        Layer("endothelium", 4e-7, np.array([[d1, d2]]), kappa, reactions=(enzyme,)),
        Layer("interstitium", 2e-5, d2, 0.3, np.array([[loss, 3 * loss]])),
    )
    walls = (
        Membrane("luminal", 0, (Passive(each(p1, 2 * p1), 1.0, 0.7), Efflux(v, km))),
        Membrane("abluminal", 1, (Passive(p2), Carrier(each(w, 0.7 * w), each(kc, 0.2), 1.0, 0.2))),
    )
    makes = MichaelisMenten(each(rate, 0.0), each(ke, 0.3), (1, None))
    cells = (CellCompartment("neuron", 1, 0.8, np.array([[exchange, 0.03]]), 1.3, (makes,)),)
    leak = Bypass(Paracellular(0.1 * w), 1)
    return Barrier(("drug", "product"), layers, walls, cells=cells, bypasses=(leak,))


def slab(theta):
    return Problem(one_species(theta), TwoDoses(theta[-1]), 90.0, cells=16)


def pair(theta):
    return Problem(two_species(theta), TwoDoses(theta[-1], shape=(1, 2)), 90.0, cells=16)


def cylinder(theta):
    vessel = Capillary(3e-6, 3e-4, 1e-3)
    return Problem(one_species(theta), TwoDoses(theta[-1]), 90.0, vessel, 0.5 * theta[-1], cells=12, cells_along=5)


def _patched(barrier, y, z):
    spot = (0.5 * float(y.edge_m[-1]), 0.5 * float(z.edge_m[-1]))
    size = 0.25 * float(z.edge_m[-1])
    barrier = with_density(barrier, "passive", patch(y, z, spot, size, 30.0))
    return with_density(barrier, "efflux", patch(y, z, spot, size, 0.1))


def block(theta, barrier=one_species):
    y, z = uniform_axis(2e-5, 3), uniform_axis(1.5e-5, 4)
    whole = _patched(barrier(theta), y, z)
    blood = TwoDoses(theta[-1], shape=(1, len(whole.species)))
    return BlockProblem(whole, blood, 90.0, y, z, cells=12, lumen=Lumen(1.5e-6, 2.0, 1e-10), fu_plasma=0.5 * theta[-1])


def block_pair(theta):
    return block(theta, two_species)


def uneven(theta, barrier=one_species):
    """Return the block with a tissue that differs from cell to cell."""
    return _uneven(block(theta, barrier), theta)


def _uneven(problem, theta):
    """Return the block with random diffusivity, binding, uptake and cells; each follows a number."""
    model = problem.model()
    even, rng = even_maps(model), np.random.default_rng(3)
    own, rows = model.mesh.layer == model.mesh.layer.max(), range(len(even.leaf_storage))
    maps = {name: getattr(even, name).copy() for name in ("diffusivity", "storage", "uptake")}
    ratio = theta / TYPICAL
    for name, factor in (("diffusivity", 0.3 * ratio[3]), ("storage", 4.0 * ratio[5]), ("uptake", 2e-3 * ratio[11])):
        share = rng.random(maps[name][:, own].shape)
        maps[name][:, own] = (name != "uptake") * (1 - share) + factor * share
    leaves = [[x[i] * (0.5 + rng.random(x[i].shape)) * f for i in rows] for x, f in
              ((even.leaf_storage, ratio[1]), (even.leaf_exchange, ratio[0]))]  # fmt: skip
    return replace(problem, tissue=TissueMaps(**maps, leaf_storage=tuple(leaves[0]), leaf_exchange=tuple(leaves[1])))


def uneven_pair(theta):
    return uneven(theta, two_species)


def day_block(cells):
    """Return a block of ``cells`` in every direction over a day, as a function of the numbers."""
    y, z = uniform_axis(4e-5, cells), uniform_axis(4e-5, cells)

    def build(theta):
        blood = TwoDoses(theta[-1], second_s=28800.0, tau_s=7200.0)
        lumen = Lumen(1.5e-6, 2.0, 1e-10)
        return BlockProblem(
            _patched(one_species(theta), y, z), blood, 86400.0, y, z, cells=cells, lumen=lumen, fu_plasma=0.5 * theta[-1]
        )

    return build


def uneven_day_block(cells):
    """Return the same with a tissue that differs from cell to cell."""
    return lambda theta: _uneven(day_block(cells)(theta), theta)


def _vessels():
    points = 1e-5 * np.array([[0, 2, 2], [1, 2, 2], [2, 1, 2], [2, 3, 2.2], [3, 2, 2], [4, 2, 2], [2, 0.5, 1]])
    ends = np.array([[1, 0], [1, 2], [3, 1], [2, 4], [3, 4], [4, 5], [2, 6]])
    pressure = np.full(7, np.nan)
    pressure[[0, 5]] = 400.0, 100.0
    return Vessels(points, ends, np.array([2.5, 2, 1.5, 2, 1.5, 2.5, 1.5]) * 1e-6, pressure)


_FLOW = poiseuille_flow(refine(_vessels(), 1e-5))
_TISSUE = Tissue.around(_FLOW.vessels.points_m, 5, margin_m=5e-6)


def network(theta):
    return NetworkProblem(one_species(theta, basement=True), TwoDoses(theta[-1]), 90.0, _FLOW, _TISSUE, fu_plasma=0.5 * theta[-1])


GEOMETRIES = {
    "slab": slab, "pair": pair, "cylinder": cylinder, "block": block, "block_pair": block_pair, "uneven": uneven,
    "uneven_pair": uneven_pair, "network": network,
}  # fmt: skip

METRICS = {
    "AUC": lambda run: run.auc("interstitium", run.aucs.shape[0] - 1),
    "Cmax": lambda run: run.cmax("endothelium"),
    "Kp,uu": lambda run: run.kp_uu("interstitium"),
    "final amount": lambda run: run.amount("neuron"),
}


def random_theta(rng):
    """Return the numbers, each up to three times larger or smaller."""
    return TYPICAL * 10 ** rng.uniform(-0.5, 0.5, TYPICAL.size)


def steps_of(build, theta, rtol=1e-2):
    """Return the steps of an adaptive run."""
    return np.diff(differentiable_run(build, torch.tensor(theta), rtol=rtol).t_s)


def gradient(build, theta, steps, metric, **settings):
    """Return a metric and its gradient on given steps, solved to round-off."""
    free = torch.tensor(theta, requires_grad=True)
    value = metric(differentiable_run(build, free, steps_s=steps, rtol=1e-10, **settings))
    return float(value.detach()), torch.autograd.grad(value, free)[0].numpy()


def disagreement(build, theta, metrics, rng):
    """Return, per metric, |adjoint - central difference| along a random direction over the size of its terms."""
    steps = steps_of(build, theta)
    direction = theta * rng.normal(size=theta.size)
    with torch.no_grad():
        ends = [differentiable_run(build, torch.tensor(theta + s * 3e-5 * direction), steps_s=steps, rtol=1e-10) for s in (1, -1)]
    found = {}
    for name in metrics:
        _, slope = gradient(build, theta, steps, METRICS[name])
        want = (float(METRICS[name](ends[0])) - float(METRICS[name](ends[1]))) / 6e-5
        found[name] = abs(slope @ direction - want) / np.abs(slope * direction).sum()
    return found


def moved(problem, name, factor):
    """Return the problem with one layer's diffusivity changed: the names of parameters mean what they say."""
    layers = tuple(
        replace(x, diffusivity_m2_s=x.diffusivity_m2_s * factor) if x.name == name else x for x in problem.barrier.layers
    )
    return replace(problem, barrier=replace(problem.barrier, layers=layers))
