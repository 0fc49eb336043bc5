"""Gradients through tissue that differs from cell to cell: its transposed stages, and the numbers of every [[block.tissue]]."""

import numpy as np
import pytest
import torch

from krogh.runs.config import SimulateConfig
from krogh.runs.simulate import plan
from krogh.transport.adjoint.parameters import parameters, scaled
from krogh.transport.adjoint.run import differentiable_run

from . import _gradients as cases

REGIONS = [
    {"quantity": "diffusivity", "factor": 0.1, "radius": "8 um"},
    {"quantity": "storage", "shape": "values", "values": [[[1.0, 3.0], [2.0, 1.0]]]},
    {"quantity": "uptake", "rate": "0.02 1/s", "radius": "6 um", "center": ["5 um", "8 um", "20 um"]},
    {"quantity": "exchange", "medium": "neuron", "factor": 0.3, "radius": "9 um"},
]


def _planned(tissue):
    block = {"cells": 20, "cells_y": 4, "cells_z": 3, "tissue": tissue}
    config = SimulateConfig(compounds=["caffeine"], dose="1 uM constant", duration="20 s", geometry="block", block=block)
    return plan(config)[0].problem


@pytest.mark.parametrize("geometry", ["uneven", "uneven_pair"])
@pytest.mark.parametrize("gh", [1e-3, 1.0, 300.0])
def test_a_transposed_stage_is_the_transpose_of_a_stage(geometry, gh):
    system = cases.GEOMETRIES[geometry](cases.TYPICAL).system(1e-12)
    rng, blood = np.random.default_rng(1), np.full((1, system.shape[1]), 0.7)
    point = system.adjoint().at(rng.random(system.shape), blood)
    right = system.capacity * rng.random(system.shape)
    weight = point.solve(gh, right)
    back = system.capacity * weight + gh * point.product(weight)
    np.testing.assert_allclose(back, right, rtol=0, atol=1e-9 * np.linalg.norm(right))
    # L^T w . v = w . L v, L by a central difference of F
    u, v = rng.random(system.shape), rng.normal(size=system.shape)
    ends = [system.start(u + s * 1e-6 * v, blood)[0] for s in (1, -1)]
    want = -float((weight * (ends[0] - ends[1])).sum()) / 2e-6
    got = float((system.adjoint().at(u, blood).product(weight) * v).sum())
    assert got == pytest.approx(want, abs=1e-6 * float(np.abs(weight * (ends[0] - ends[1])).sum()) / 2e-6)


def test_the_numbers_of_every_region_have_their_derivatives():
    problem = _planned(REGIONS)
    names = [n for n in parameters(problem) if "tissue-" in n]
    assert names == [
        "interstitium tissue-1 diffusivity factor", "interstitium tissue-2 storage factor",
        "interstitium tissue-3 uptake rate_per_s", "neuron tissue-4 exchange factor",
    ]  # fmt: skip
    names += ["interstitium diffusivity_m2_s", "luminal passive permeability_m_s"]

    def build(factors):
        return scaled(problem, dict(zip(names, factors, strict=True)))

    with torch.no_grad():
        steps = np.diff(differentiable_run(build, torch.ones(len(names), dtype=torch.float64), rtol=1e-2).t_s)
    free = torch.ones(len(names), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(differentiable_run(build, free, steps_s=steps, rtol=1e-10).auc("interstitium"), free)
    assert np.all(slope.numpy() != 0)
    for i in range(len(names)):
        shift = 1e-4 * (torch.arange(len(names)) == i).double()
        with torch.no_grad():
            ends = [
                float(differentiable_run(build, 1 + s * shift, steps_s=steps, rtol=1e-10).auc("interstitium")) for s in (1, -1)
            ]
        assert float(slope[i]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-6, abs=1e-9 * ends[0]), names[i]


def test_a_tissue_of_plane_layers_stays_one():
    problem = _planned([{"quantity": "storage", "shape": "uniform", "factor": 2.0}, {"quantity": "storage", "factor": 1.0}])
    assert [n for n in parameters(problem) if "tissue-" in n] == ["interstitium tissue-1 storage factor"]  # a ball of 1 is none
    before, after = problem.coefficients(), scaled(problem, {"interstitium tissue-1 storage factor": 1.5}).coefficients()
    inside = problem.model().media["interstitium"]
    np.testing.assert_allclose(after["mass"][:, inside], 1.5 * before["mass"][:, inside], rtol=1e-14)
