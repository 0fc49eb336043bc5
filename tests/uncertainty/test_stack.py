"""Samples stacked along the batch axis: the same equations as one by one."""

import numpy as np
import pytest

from krogh.barrier.assemble import assemble
from krogh.errors import InputError
from krogh.runs.config import build_config
from krogh.runs.simulate import plan
from krogh.runs.uncertainty.ensemble import base_of, problem_of
from krogh.runs.uncertainty.factors import choose_factors
from krogh.transport.cylinder import Capillary
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem, solve
from krogh.transport.stack import stack_graphs


def _problems(name, rows=5):
    config = build_config({}, (), {"compounds": [name], "duration": "2 h", "cells": 24})
    case = plan(config)[0]
    factors, _ = choose_factors(case)
    base = base_of(case, config)
    rng = np.random.default_rng(1)
    values = np.stack([f.quantile(rng.random(rows)) for f in factors], axis=1)
    return [problem_of(base, factors, row)[0] for row in values]


@pytest.mark.parametrize("name", ["morphine", "levodopa", "caffeine"])
def test_rates_and_slopes_are_those_of_each_problem(name):
    graphs = _problems(name)
    whole = Operator(stack_graphs(graphs))
    rng = np.random.default_rng(2)
    u, blood = rng.random(whole.graph.shape), rng.random(whole.graph.shape[:2])
    together, slopes = whole.rate(u, blood), whole.slopes(u, blood)
    for b, graph in enumerate(graphs):
        one = Operator(graph)
        np.testing.assert_array_equal(together[b], one.rate(u[[b]], blood[[b]])[0])
        alone = one.slopes(u[[b]], blood[[b]])
        for part in ("tail", "head", "node"):
            np.testing.assert_array_equal(getattr(slopes, part)[b], getattr(alone, part)[0])
        np.testing.assert_allclose(whole.ledger(u, blood)[b], one.ledger(u[[b]], blood[[b]])[0], rtol=1e-14)
    assert len({g.capacity.tobytes() for g in graphs}) == len(graphs)  # they do differ


def test_other_structures_are_refused():
    first, other = _problems("morphine", 1)[0], _problems("levodopa", 1)[0]
    with pytest.raises(InputError, match="structure"):
        stack_graphs([first, other])
    case = plan(build_config({}, (), {"compounds": ["caffeine"], "cells": 24}))[0]
    tube = Problem(
        assemble([case.members], radial=True), case.problem.blood, 1.0, capillary=Capillary(3e-6, 4e-4, 1e-3), cells=24
    )
    with pytest.raises(InputError, match="slab"):
        stack_graphs([solve(tube).operator.graph])
