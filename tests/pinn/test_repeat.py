"""Networks that are solved again for other membranes and blood give what new networks give, and its exact derivatives."""

import numpy as np
import pytest
from bench.pinn_cases import SLABS, case, decaying, slab

from krogh import pinn
from krogh.barrier.reactions import MichaelisMenten
from krogh.errors import InputError
from krogh.pinn.repeat import Repeat
from krogh.transport.problem import Problem

T = np.linspace(3.0, 60.0, 8)


def problem(name="B", *, face=(1.0, 1.0), vmax=0.5e-6, rate=1 / 60):
    thickness, d, loss, p = SLABS[name]
    changed = [p[0] * face[0], *(x * face[1] for x in p[1:])]
    return Problem(slab(thickness, d, loss, changed, vmax=vmax), decaying(rate), 60.0, cells=64)


def read(solution):
    last = f"layer {len(solution.slab.sheets) - 1}"
    return solution.medium(last, solution.sample(T))[..., 0]


def values(repeat, table, again):
    return sum(part @ w for part, w in zip(table, again.weights, strict=True))


@pytest.fixture(scope="module")
def repeat():
    return Repeat(problem(), tol=1e-3)


CHANGED = {"nothing": {}, "P": {"face": (1.4, 0.6)}, "Vmax": {"vmax": 2e-6}, "blood": {"rate": 1 / 30}}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_a_further_problem_is_solved_as_if_it_were_new(repeat, changed):
    again = repeat.solve(problem(**changed))
    new = pinn.solve(problem(**changed), tol=1e-3)
    np.testing.assert_allclose(values(repeat, repeat.readout(read), again), read(new)[:, 0], rtol=2e-6)
    old = repeat.solution(again)
    np.testing.assert_allclose(read(old)[:, 0], read(new)[:, 0], rtol=2e-6)
    assert old.certificate < 2e-3  # computed afresh at the other problem


def test_slopes_are_those_of_differences(repeat):
    def moved(k, by):
        return problem(face=(np.exp(by), 1.0)) if k == 0 else problem(vmax=0.5e-6 * np.exp(by)) if k == 1 else problem(
            rate=np.exp(by) / 60)  # fmt: skip

    h, table = 1e-3, repeat.readout(read)
    again = repeat.solve(problem(), [(moved(k, h), moved(k, -h), 2 * h) for k in range(3)])
    slopes = sum(part @ w for part, w in zip(table, again.slopes, strict=True))
    for k in range(3):
        ends = [values(repeat, table, repeat.solve(moved(k, by))) for by in (h, -h)]
        np.testing.assert_allclose(slopes[:, k], (ends[0] - ends[1]) / (2 * h), atol=3e-6 * np.abs(slopes[:, k]).max())


def test_a_certificate_at_another_problem_sees_networks_that_do_not_serve_it():
    front = Repeat(case("H"), tol=1e-2)
    thickness, d, loss, p = SLABS["H"]
    wild = Problem(slab(thickness, d, loss, [p[0] * 1e3], vmax=0.0), decaying(30.0), 60.0, cells=64)
    assert front.solution(front.solve(wild)).certificate > 0.1


def test_other_layers_are_refused(repeat):
    with pytest.raises(InputError, match="other layers"):
        repeat.solve(problem("A"))
    assert not repeat.fits(problem("A"))


def test_a_law_inside_a_layer_is_refused():
    import dataclasses

    a = case("A")
    layer = dataclasses.replace(a.barrier.layers[0], reactions=(MichaelisMenten(1e-3, 0.5, (-1,)),))
    with pytest.raises(InputError, match="saturates inside"):
        Repeat(dataclasses.replace(a, barrier=dataclasses.replace(a.barrier, layers=(layer,))), tol=1e-2)
