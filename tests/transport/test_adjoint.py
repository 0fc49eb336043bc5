"""Gradients by the adjoint equal central differences on the same steps, for every geometry and metric."""

import numpy as np
import pytest
import torch

from krogh.barrier.routes import AdsorptiveTranscytosis, Carrier, Efflux, Paracellular, Passive, Patterned, ReceptorTranscytosis
from krogh.errors import InputError
from krogh.transport.adjoint.laws import constants, pull_law, with_constant
from krogh.transport.adjoint.parameters import parameters, scaled, sensitivities
from krogh.transport.adjoint.run import differentiable_run
from krogh.transport.adjoint.system import Refinement
from krogh.transport.adjoint.tape import Tape
from krogh.transport.problem import Problem, solve
from krogh.transport.steppers import STEPPERS

from . import _gradients as cases
from ._gradients import GEOMETRIES, METRICS, TYPICAL


@pytest.mark.parametrize(
    ("geometry", "sets"),
    [
        ("slab", 6),
        ("pair", 3),
        ("cylinder", 2),
        ("block", 1),
        ("block_pair", 1),
        ("uneven", 1),
        ("uneven_pair", 1),
        ("network", 1),
    ],
)
def test_the_adjoint_equals_central_differences(geometry, sets):
    rng = np.random.default_rng(5)
    for case in range(sets):
        found = cases.disagreement(GEOMETRIES[geometry], cases.random_theta(rng), list(METRICS), rng)
        for metric, off in found.items():
            assert off <= 1e-6, (case, metric)


def test_every_parameter_by_itself():
    steps = cases.steps_of(cases.slab, TYPICAL)
    value, slope = cases.gradient(cases.slab, TYPICAL, steps, METRICS["Kp,uu"])
    for i, number in enumerate(TYPICAL):
        shift = 1e-4 * number * (np.arange(TYPICAL.size) == i)
        ends = [cases.gradient(cases.slab, TYPICAL + s * shift, steps, METRICS["Kp,uu"])[0] for s in (1, -1)]
        want = (ends[0] - ends[1]) / (2e-4 * number)
        assert abs(slope[i] - want) <= 1e-6 * max(abs(want), 1e-3 * value / number), i


@pytest.mark.parametrize("method", [m for m in STEPPERS if m != "esdirk43"])
def test_every_implicit_method_has_its_adjoint(method):
    steps = np.full(30, 3.0)
    steps[12] = 4.0  # 0..40 s, then a dose, then 50 s more
    steps = np.concatenate([steps[:13], np.full(16, 50 / 16)])
    free = torch.tensor(TYPICAL, requires_grad=True)
    run = differentiable_run(cases.slab, free, method=method, steps_s=steps)
    (slope,) = torch.autograd.grad(run.auc("interstitium"), free)
    direction = TYPICAL * np.random.default_rng(1).normal(size=TYPICAL.size)
    with torch.no_grad():
        ends = [
            differentiable_run(cases.slab, torch.tensor(TYPICAL + s * 3e-5 * direction), method=method, steps_s=steps)
            for s in (1, -1)
        ]
    want = float(ends[0].auc("interstitium") - ends[1].auc("interstitium")) / 6e-5
    assert abs(slope.numpy() @ direction - want) <= 1e-6 * np.abs(slope.numpy() * direction).sum()


@pytest.mark.parametrize("geometry", ["slab", "block"])
def test_checkpoints_change_memory_not_the_gradient(geometry):
    build = GEOMETRIES[geometry]
    steps = cases.steps_of(build, TYPICAL)
    value, whole = cases.gradient(build, TYPICAL, steps, METRICS["Cmax"])
    state = build(TYPICAL).system(1e-4).capacity.nbytes
    again, pieces = cases.gradient(build, TYPICAL, steps, METRICS["Cmax"], memory_bytes=60 * state)
    assert value == again
    np.testing.assert_allclose(pieces, whole, rtol=1e-9, atol=1e-9 * np.abs(whole).max())


def test_the_memory_of_a_long_run_is_bounded():
    problem = cases.slab(TYPICAL)
    system = problem.system(1e-4)
    states = {}
    for count in (100, 400, 1600):
        steps = np.concatenate([np.full(count // 2, 80.0 / count), np.full(count // 2, 100.0 / count)])
        tape = Tape.of_steps(system, problem.blood, STEPPERS["tr-bdf2"], steps, memory_bytes=120 * system.capacity.nbytes)
        seen = [number for number, _ in tape.backwards()]
        assert seen == list(range(count))[::-1]
        assert 0 < tape.repeated < count
        assert seen == [number for number, _ in tape.backwards()]  # once more, for a second metric
        states[count] = tape.most_states
    for count, held in states.items():  # k steps of 3 states, N/k starts of 2: at best 2 sqrt(6 N), all stages are 3 N
        assert held <= max(120, 1.5 * 2 * np.sqrt(6 * count)), count


def test_the_steps_of_the_adjoint_are_those_of_a_plain_run():
    problem = cases.slab(TYPICAL)
    plain = solve(problem, rtol=1e-3)
    with torch.no_grad():
        run = differentiable_run(cases.slab, torch.tensor(TYPICAL), rtol=1e-3)
    np.testing.assert_array_equal(run.t_s, plain.t_s)
    nodes = plain.nodes("interstitium")
    weight = plain.capacity[0, 0, nodes]
    assert float(run.auc("interstitium")) == pytest.approx((plain.auc[0, 0, nodes] * weight).sum() / weight.sum(), rel=1e-12)
    amount = plain.amount(["neuron"], np.array(plain.march.u)[-1])[0, 0]
    assert float(run.amount("neuron")) == pytest.approx(amount, rel=1e-12)


def test_a_torch_model_in_front_of_the_run_gets_its_gradient():
    log_p = torch.tensor(np.log(TYPICAL[0]), requires_grad=True)
    theta = torch.cat([torch.exp(log_p)[None], torch.tensor(TYPICAL[1:])])
    loss = (differentiable_run(cases.slab, theta, rtol=1e-3).mean("interstitium") ** 2).sum()
    loss.backward()
    direct = torch.tensor(TYPICAL, requires_grad=True)
    (differentiable_run(cases.slab, direct, rtol=1e-3).mean("interstitium") ** 2).sum().backward()
    assert float(log_p.grad) == pytest.approx(float(direct.grad[0]) * TYPICAL[0], rel=1e-12)


LAWS = [
    Passive(1e-7, 0.9, 0.7), Paracellular(2e-9), Efflux(3e-8, 0.3, 0.5),
    Carrier(2e-8, np.array([[[0.5], [0.2], [np.inf]]]), 1.0, 0.2),
    ReceptorTranscytosis(1e-3, 1e-9, 0.4, 0.5, 0.6, 0.4, 0.1, 0.2), AdsorptiveTranscytosis(1e-3, 1e-9, 0.4, 1e-9),
    Patterned(Efflux(3e-8, 0.3), np.linspace(0.0, 2.0, 5).reshape(1, 1, 5)),
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_constants_of_every_law_have_exact_derivatives(law):
    rng = np.random.default_rng(0)
    u, v, w = (rng.random((2, 3, 5)) for _ in range(3))
    names = [name for name, _ in constants(law)]
    found = pull_law(law, "x ", u, v, w, frozenset("x " + n for n in names))
    for name, value in constants(law):
        got = found["x " + name]
        assert got.shape == value.shape
        if name == "density" or np.any(value == 0):
            continue
        ends = [with_constant(law, name, value * (1 + s * 1e-6)).flux(u, v) for s in (1, -1)]
        want = sum(s * float(((x.inward - x.outward) * w).sum()) for s, x in zip((1, -1), ends, strict=True)) / 2e-6
        bound = np.isfinite(value)
        assert float((got[bound] * value[bound]).sum()) == pytest.approx(want, rel=1e-6, abs=1e-18)
        assert np.all(got[~bound] == 0)


@pytest.mark.parametrize("geometry", list(GEOMETRIES))
def test_named_parameters_move_what_they_say(geometry):
    problem = GEOMETRIES[geometry](TYPICAL)
    known = parameters(problem)
    assert "fu_plasma" in known
    name = next(n for n in known if n.endswith("interstitium diffusivity_m2_s"))
    changed = scaled(problem, {name: 1.5}).coefficients()
    want = cases.moved(problem, "interstitium", 1.5).coefficients()
    for key, values in want.items():
        np.testing.assert_array_equal(changed[key], values, err_msg=key)
    for name in known:
        before, after = problem.coefficients(), scaled(problem, {name: 2.0})
        same = all(np.array_equal(before[k], v) for k, v in after.coefficients().items())
        assert not same or after.blood is not problem.blood, name


def test_sensitivities_are_elasticities():
    problem = cases.slab(TYPICAL)
    value, found = sensitivities(problem, lambda run: run.kp_uu(), rtol=1e-3)
    by_name = {s.name: s for s in found}
    assert [abs(s.elasticity) for s in found] == sorted((abs(s.elasticity) for s in found), reverse=True)
    pump = by_name["luminal efflux vmax_mol_m2_s"]
    assert pump.elasticity < 0 < by_name["luminal passive permeability_m_s"].elasticity
    assert pump.derivative == pytest.approx(pump.elasticity * value / pump.value)
    weaker = sensitivities(scaled(problem, {pump.name: 0.99}), lambda run: run.kp_uu(), ["fu_plasma"], rtol=1e-3)[0]
    assert (weaker / value - 1) == pytest.approx(-0.01 * pump.elasticity, rel=0.03)


def test_what_cannot_be_differentiated_is_refused():
    with pytest.raises(InputError, match="not 0"):
        differentiable_run(cases.slab, torch.zeros(14, dtype=torch.float64))
    with pytest.raises(InputError, match="implicit"):
        differentiable_run(cases.slab, torch.tensor(TYPICAL), method="explicit")
    with pytest.raises(InputError, match="medium"):
        differentiable_run(cases.slab, torch.tensor(TYPICAL), rtol=1e-2).auc("liver")
    with pytest.raises(InputError, match="parameter"):
        scaled(cases.slab(TYPICAL), {"luminal passiv permeability_m_s": 2.0})
    with pytest.raises(InputError, match="one number"):
        sensitivities(cases.slab(TYPICAL), lambda run: run.mean("interstitium"), rtol=1e-2)

    def regridded(theta):
        return Problem(cases.one_species(theta), cases.TwoDoses(0.5), 90.0, cells=16 if theta[0] == TYPICAL[0] else 17)

    free = torch.tensor(TYPICAL, requires_grad=True)
    with pytest.raises(InputError, match="mesh"):
        differentiable_run(regridded, free, rtol=1e-2).auc("interstitium").backward()


def test_a_poor_inverse_is_refined():
    rng = np.random.default_rng(3)
    matrix = np.eye(30) + 0.05 * rng.normal(size=(30, 30))
    near = np.linalg.inv(np.eye(30) + 0.9 * (matrix - np.eye(30)))
    right = rng.normal(size=30)
    x, count = Refinement(1e-11).solve(lambda v: matrix @ v, right, lambda y, _: near @ y)
    assert count > 1
    assert np.abs(matrix @ x - right).max() <= 1e-10
