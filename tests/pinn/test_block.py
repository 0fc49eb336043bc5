"""Blocks by networks: the slab where nothing varies, a series in closed form, finite volumes, and their own bookkeeping."""

from dataclasses import replace

import numpy as np
import pytest
from bench.pinn_block import patchy
from bench.pinn_cases import decaying

from krogh import pinn
from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import Carrier, Efflux, Paracellular, Passive
from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.pinn.block.lateral import Lateral, cell_means, even_points, wall_points
from krogh.pinn.block.newton import settle
from krogh.pinn.march import Cover
from krogh.pinn.support import default_tol
from krogh.runs.compare import compare_solvers
from krogh.runs.config import build_config
from krogh.runs.simulate import plan
from krogh.transport.block.axis import Axis, uniform_axis
from krogh.transport.block.model import assemble_block
from krogh.transport.block.problem import BlockProblem, Lumen, solve_block
from krogh.transport.block.uneven import even_maps
from krogh.transport.problem import Problem


def test_a_block_that_is_the_same_all_over_is_the_slab():
    tissue = Layer("tissue", 20e-6, 5e-11, 1.0, loss_per_s=0.02, reactions=(MichaelisMenten(0.01, 0.2, (None,)),))
    barrier = Barrier(("drug",), (tissue,), (Membrane("luminal", 0, (Passive(1e-6), Efflux(0.5e-6, 0.5))),))
    side = uniform_axis(20e-6, 3)
    block = pinn.solve(BlockProblem(barrier, decaying(), 60.0, side, side, cells=24), tol=1e-3)
    slab = pinn.solve(Problem(barrier, decaying(), 60.0, cells=24), tol=1e-3)
    assert block.windows[0].window.lateral.count == 1
    t, x = np.linspace(0.5, 60, 40), np.linspace(0, 20e-6, 40)
    assert block.at(0, x, 5e-6, 5e-6, t) == pytest.approx(slab.at(0, x, t), abs=1e-4)
    assert block.mass_defect < 1e-5


def test_a_leak_into_a_thin_layer_that_its_neighbour_drains_is_solved_in_slab_and_block():
    # a front in the end-feet from the first microseconds on, far smaller than the blood that drives it
    layers = (Layer("a", 3e-7, 7e-10, 0.01), Layer("b", 5e-8, 2.1e-10, 1.0), Layer("c", 1e-6, 1.2e-12, 0.2))
    walls = (Membrane("luminal", 0, (Passive(2e-10),)), Membrane("abluminal", 1, (Passive(2e-10),)))
    barrier = Barrier(("drug",), layers, walls, (Bypass(Paracellular(8e-10), 1),))
    side = uniform_axis(20e-6, 2)
    slab = pinn.solve(Problem(barrier, decaying(0.0), 2e-4, cells=60), tol=2e-3)
    block = pinn.solve(BlockProblem(barrier, decaying(0.0), 2e-4, side, side, cells=60), tol=2e-3)
    x, t = np.linspace(0, 5e-8, 9), np.full(9, 2e-4)
    theirs = slab.at(2, x, t)
    assert block.at(2, x, 0 * x, 0 * x, t) == pytest.approx(theirs, abs=1e-4 * theirs.max())


def test_what_is_asked_for_by_default_depends_on_geometry_and_method():
    slab = Problem(patchy(4).barrier, decaying(), 1.0)
    assert (default_tol(patchy(4)), default_tol(slab), default_tol(slab, "trained")) == (3e-4, 5e-4, 1e-3)
    assert default_tol(plan(build_config({"compounds": ["caffeine"], "geometry": "cylinder"}))[0].problem) == 1e-3


def test_a_stripe_at_steady_state_is_a_series_of_cosines():
    # D (u_xx + u_yy) = k u, -D u_x = P(y) (1 - u) at x = 0, closed elsewhere; P = 1 in the first half, 9 in the second [um/s]
    d, k, length, width = 5e-11, 0.5, 20e-6, 16e-6
    p = np.repeat([1e-6, 9e-6], 4)
    barrier = Barrier(("drug",), (Layer("t", length, d, 1.0, loss_per_s=k),), (Membrane("w", 0, (Passive(p.reshape(1, 1, 8)),)),))
    problem = BlockProblem(barrier, decaying(0.0), 60.0, uniform_axis(width, 8), uniform_axis(5e-6, 1), cells=24)
    found = pinn.solve(problem, tol=1e-3)
    n = np.arange(400)
    scale = np.where(n == 0, 1.0, np.sqrt(2.0))
    # overlap of two cosines over the second half
    gap, total = (n[:, None] - n), (n[:, None] + n)
    half = [np.where(m == 0, 0.5, -np.sin(m * np.pi / 2) / np.where(m == 0, 1, m * np.pi)) for m in (gap, total)]
    wall = 1e-6 * np.eye(400) + 8e-6 * 0.5 * scale[:, None] * scale * (half[0] + half[1])
    m = np.sqrt((n * np.pi / width) ** 2 + k / d)
    u0 = np.linalg.solve(wall + np.diag(d * m * np.tanh(m * length)), wall[:, 0])
    x, y = (v.ravel() for v in np.meshgrid((np.arange(20) + 0.5) / 20 * length, (np.arange(16) + 0.5) / 16 * width))
    decay = np.exp(-m * x[:, None]) * (1 + np.exp(-2 * m * (length - x[:, None]))) / (1 + np.exp(-2 * m * length))
    exact = (u0 * scale * np.cos(n * np.pi * y[:, None] / width) * decay).sum(1)
    ours = found.at(0, x, y, 1e-6, 50.0)
    assert np.sqrt(((ours - exact) ** 2).mean() / (exact**2).mean()) < 3e-4
    assert found.windows[-1].window.lateral.along_z == 1


def test_a_patch_agrees_with_finite_volumes_and_keeps_mass():
    problem = replace(patchy(10, factor=0.0), cells=24, frames_s=np.array([2.0, 8.0, 30.0, 60.0]))
    networks = pinn.solve(problem, tol=1e-3)
    fine = patchy(10, factor=0.0, refine=2)
    volumes = solve_block(replace(fine, cells=48, frames_s=problem.frames_s), rtol=1e-5)
    theirs = volumes.fields[:, 0].astype(float)
    wide = fine.y.size // 10
    theirs = theirs.reshape(4, 24, 2, 10, wide, 10, wide).mean((2, 4, 6))
    ours = networks.fields[:, 0]
    assert np.sqrt(((ours - theirs) ** 2).sum() / (theirs**2).sum()) < 1e-3  # the finite volumes' own: at 20 x 20 x 48 cells
    assert networks.converged
    assert networks.mass_defect < 1e-5
    for row, _ in volumes.ledger_names:
        scale = float(np.abs(volumes.march.ledger[-1]).max())
        assert networks.march.ledger[-1][0, 0, [n for n, _ in networks.ledger_names].index(row)] == pytest.approx(
            volumes.march.ledger[-1][0, 0, [n for n, _ in volumes.ledger_names].index(row)], rel=1e-3, abs=1e-4 * scale
        )


def _everything(ny, nz):
    """Return two species, a lumen, a leak past the endothelium, maps on a pump and a carrier, an enzyme, cells."""
    rng = np.random.default_rng(1)
    spot = np.ones((ny, nz))
    spot[0, 0] = 20.0
    flat = lambda a: a.reshape(1, 1, -1)  # noqa: E731
    forms = MichaelisMenten(np.array([0.05, 0.0])[None, :, None], np.array([0.4, np.inf])[None, :, None], (1, None), name="AADC")
    carrier = Carrier(
        np.array([3e-8, 2e-8])[None, :, None] * flat(rng.uniform(0.5, 2, (ny, nz))), np.array([0.5, 0.2])[None, :, None], 1.0, 0.2
    )
    layers = (
        Layer("endothelium", 4e-7, 3e-11, 1.5),
        Layer("interstitium", 2e-5, 1e-10, 0.2, 1e-3, reactions=(forms,), spread=2.0),
    )
    walls = (
        Membrane("luminal", 0, (Passive(1e-7), carrier, Efflux(4e-8 * flat(1 / spot), 0.3))),
        Membrane("abluminal", 1, (Passive(5e-8), carrier)),
    )
    leak = Bypass(Paracellular(2e-9 * flat(spot)), 1)
    return Barrier(("a", "b"), layers, walls, (leak,), (CellCompartment("neuron", 1, 0.8, 0.05, reactions=(forms,)),))


def test_two_species_a_lumen_a_leak_and_an_enzyme_agree_with_finite_volumes():
    y, z = Axis(np.array([4e-6, 6e-6])), uniform_axis(12e-6, 1)
    lumen = Lumen(1.5e-6, 2.0, np.array([[3e-10, 2e-10]]))
    problem = BlockProblem(_everything(2, 1), decaying(1 / 300, species=2), 20.0, y, z, cells=36, lumen=lumen, fu_plasma=0.4)
    networks, volumes = pinn.solve(problem, tol=1e-2), solve_block(replace(problem, cells=60), rtol=1e-6)
    t = np.linspace(1, 20, 40)
    for medium in volumes.system.model.media:
        a, b = (x.medium(medium, x.sample(t))[:, 0] for x in (networks, volumes))
        assert np.sqrt(((a - b) ** 2).sum(0) / (b**2).sum(0)).max() < 2e-3
    assert networks.mass_defect < 1e-5


def test_what_it_cannot_do_is_one_line():
    problem = patchy(4)
    uneven = replace(problem, tissue=even_maps(assemble_block(problem.whole, problem.cells, problem.y, problem.z)))
    with pytest.raises(InputError, match="uneven tissue"):
        pinn.solve(uneven)
    with pytest.raises(InputError, match="a block"):
        pinn.solve(problem, method="classic")


@pytest.mark.parametrize("command", ["simulate", "compare-solvers"])
def test_what_it_cannot_do_is_refused_before_any_work(tmp_path, capsys, command, monkeypatch):
    monkeypatch.setattr(Cover, "run", None)  # nothing may be trained
    toml = tmp_path / "block.toml"
    toml.write_text(
        'compounds = ["caffeine"]\ngeometry = "block"\n[block]\ncells_y = 3\ncells_z = 3\n'
        '[[block.tissue]]\nquantity = "diffusivity"\nfactor = 0.5\nradius = "5 um"\n'
    )
    out, more = tmp_path / "o", ["--solver", "pinn"] if command == "simulate" else []
    assert _run([command, "--config", str(toml), *more, "--out", str(out)]) == 3
    assert "uneven tissue" in capsys.readouterr().err
    method = "--pinn-method" if command == "simulate" else "--method"
    assert _run([command, "caffeine", "--geometry", "cylinder", *more, method, "trained", "--out", str(out)]) == 3
    assert "the others know the slab only" in capsys.readouterr().err
    assert not out.exists()


def test_compare_solvers_takes_a_block():
    patterns = [{"route": "P-gp", "shape": "patch", "factor": 0, "radius": "8 um"}]
    block = {"cells": 60, "cells_y": 6, "cells_z": 6, "patterns": patterns}
    case = plan(build_config({"compounds": ["morphine"], "duration": "1 min", "geometry": "block", "block": block}))[0]
    found = compare_solvers(case, tol=3e-3)
    assert found.converged
    assert np.nanmax(found.error) < 1e-3  # of 60 cells across the layers; 5e-3 with 20
    assert found.mass_defect < 1e-5


def test_cosines_project_without_loss():
    lateral = Lateral(Axis(np.array([1e-6, 3e-6, 2e-6])), uniform_axis(5e-6, 4), 5, 3)
    modes = np.random.default_rng(0).standard_normal(15)
    for points in (wall_points(lateral)[0], even_points(lateral)):
        assert points.project(points.spread(modes)) == pytest.approx(modes, abs=2e-2 if points.shape[0] == 15 else 1e-12)
        assert points.mean(points.spread(modes)) == pytest.approx(modes[0], abs=1e-3)
    means = cell_means(lateral)
    assert means.mean(means.spread(modes)) == pytest.approx(modes[0])
    wide = lateral.widened()
    assert wide.rate[wide.places(lateral)] == pytest.approx(lateral.rate)


def test_newton_settles_a_saturable_law_and_says_when_it_does_not():
    def misfit(r):
        return r / (1 + np.abs(r)) + 1 - r, lambda v: v - v / (1 + np.abs(r)) ** 2

    found, _, good = settle(np.ones(3), misfit, tolerance=1e-12)
    assert good
    assert found == pytest.approx(np.full(3, (1 + np.sqrt(5)) / 2))
    assert not settle(np.ones(2), lambda r: (np.full(2, np.nan), lambda v: v), tolerance=1e-9)[2]


def test_round_off_of_laws_that_leave_no_rest_is_taken_as_settled():
    rng = np.random.default_rng(0)

    def noise(r):
        return 1e-16 * rng.standard_normal(2) - r, lambda v: v

    assert not settle(np.zeros(2), noise, tolerance=1e-9)[2]
    assert settle(np.zeros(2), noise, tolerance=1e-9, least=1e-13)[2]


def test_a_block_without_any_pattern_is_solved():
    # each law carries the same all over, and leaves nothing but round-off for Newton's method
    settings = {"compounds": ["caffeine"], "duration": "5 s", "geometry": "block", "cells": 16}
    case = plan(build_config(settings | {"block": {"cells_y": 3, "cells_z": 3}}))[0]
    assert pinn.solve(case.problem, tol=1e-3).converged
