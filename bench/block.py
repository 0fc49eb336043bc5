"""Speed and memory of blocks and networks beside their goals."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.block_peers import compare
from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.model import BlockModel, assemble_block
from krogh.transport.block.system import BlockSystem
from krogh.transport.block.uneven import TissueMaps, even_maps
from krogh.transport.block.uneven_system import UnevenSystem
from krogh.transport.cylinder import Capillary, cylinder_graph
from krogh.transport.graph import Graph
from krogh.transport.integrate import integrate
from krogh.transport.march import March
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

DAY_S = 86400.0
CORTEX = Path(os.environ.get("KROGH_DATA", "../shared/data")) / "pharma" / "mouse_cortex_network"


class Doses:
    """Three bolus doses in a day, two exponentials each."""

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        given = [0.0, *(d for d in (28800.0, 57600.0) if (t_s > d if left else t_s >= d))]
        return np.array([[sum(3 * np.exp(-(t_s - d) / 1300) + np.exp(-(t_s - d) / 15600) for d in given)]])

    def events(self, t_end_s: float) -> np.ndarray:
        return np.array([28800.0, 57600.0])


_LAYERS = (
    Layer("endothelium", 0.4e-6, 3e-11, 3.0), Layer("basement membrane", 0.1e-6, 6e-11, 0.8),
    Layer("end-feet", 0.5e-6, 1e-12, 3.0), Layer("interstitium", 60e-6, 1.2e-10, 0.6, 2e-3),
)  # fmt: skip


def uniform() -> Barrier:
    """Return four layers with P-gp, nothing varying along the barrier."""
    walls = (Membrane("luminal", 0, (Passive(5e-8), Efflux(2e-8, 0.5, name="P-gp"))), Membrane("abluminal", 1, (Passive(8e-8),)))
    return Barrier(("drug",), _LAYERS, walls)


def patchy(n: int, *, pump: bool = True) -> BlockModel:
    """Return five layers, a perfused lumen, P-gp, and leak lines and pores of a thousand times the permeability."""
    rng = np.random.default_rng(0)
    p1, p2 = np.full((n, n), 5e-8), np.full((n, n), 8e-8)
    for p in (p1, p2):
        p[n // 3] *= 1e3
        p[:, n // 2] *= 1e3
    at = rng.integers(0, n, (8, 2))
    p1[at[:, 0], at[:, 1]] *= 1e3
    layers = (Layer("lumen", 3e-6, 3e-10), *_LAYERS)
    routes: tuple[Any, ...] = (Passive(p1.reshape(1, 1, -1)), *((Efflux(2e-8, 0.5, name="P-gp"),) if pump else ()))
    walls = (Membrane("luminal", 1, routes), Membrane("abluminal", 2, (Passive(p2.reshape(1, 1, -1)),)))
    side = uniform_axis(n * 1e-6, n)
    return assemble_block(Barrier(("drug",), layers, walls), n, side, side, turnover_per_s=2.0)


def _bandwidth() -> float:
    """Return the triad bandwidth of one thread [GB/s]."""
    a, b, c = (np.ones(10_000_000) for _ in range(3))
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        np.multiply(b, 3.0, out=a)
        np.add(a, c, out=a)
        best = min(best, time.process_time() - start)
    return 5 * a.nbytes / best / 1e9


def _stage(n: int, goal_ms: float) -> None:
    system = BlockSystem(patchy(n), tolerance=1e-6)
    r = system.capacity * np.random.default_rng(1).random(system.shape)
    zero, blood = np.zeros(system.shape), np.array([[1.0]])
    spent = []
    for gh in (0.01, 1.0, 100.0):
        best = np.inf
        for _ in range(4):
            system.start(zero, blood)
            start = time.process_time()
            system.stage(gh, r, zero, blood)
            best = min(best, time.process_time() - start)
        spent.append(1e3 * best)
    print(f"stage {n}^3, patches x1000, P-gp, random right-hand side: {spent[0]:.0f} / {spent[1]:.0f} / {spent[2]:.0f} ms "
          f"at gh = 0.01 / 1 / 100 s (goal {goal_ms:g} ms)")  # fmt: skip


def _day(n: int, rtol: float, goal: float) -> tuple[March, float]:
    system = BlockSystem(patchy(n), tolerance=1e-5)
    tissue = system.planes_of(system.capacity[0])[:, system.model.mesh.layer == 4]

    def amount(u: np.ndarray) -> np.ndarray:
        return np.array([[[float((tissue * system.planes_of(u)[:, system.model.mesh.layer == 4]).sum())]]])

    start = time.process_time()
    run = integrate(system, Doses(), DAY_S, rtol=rtol, reduce=amount)
    spent = time.process_time() - start
    assert run.auc is not None
    auc = float(amount(run.auc)[0, 0, 0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"24 h, three doses, P-gp, {n}^3 at rtol {rtol:g}: {spent:.1f} s (goal {goal:g}), {run.stats.steps} steps, "
          f"AUC {auc:.7e}, worst mass defect of a step {run.worst_defect:.0e}, peak memory {peak:.2f} GiB")  # fmt: skip
    return run, auc


def _graph_day(name: str, build: Callable[[bool], Graph], goal: float) -> None:
    """Print a day of a slab or a cylinder, its AUC error in time from a coarser mesh."""

    def run(small: bool, rtol: float) -> tuple[float, March, float]:
        operator = Operator(build(small))
        start = time.process_time()
        march = integrate(operator, Doses(), DAY_S, rtol=rtol, reduce=lambda u: u[..., :1])
        assert march.auc is not None
        return float((operator.graph.capacity * march.auc).sum()), march, time.process_time() - start

    coarse, fine = run(True, 1e-3)[0], run(True, 1e-6)[0]
    _, march, spent = run(False, 1e-3)
    spent = min(spent, run(False, 1e-3)[2])
    print(f"24 h, three doses, P-gp, {name} at rtol 1e-3: {spent:.2f} s (goal {goal:g}), {march.stats.steps} steps, "
          f"{march.stats.iterations / march.stats.solves:.1f} iterations a stage, "
          f"AUC error {abs(coarse / fine - 1):.1e} on a coarser mesh (goal 5e-6), "
          f"worst mass defect of a step {march.worst_defect:.0e}, factors {march.factors}")  # fmt: skip


def _slab_and_cylinder() -> None:
    barrier, vessel = uniform(), Capillary(3e-6, 3e-4, 1e-3)

    def cylinder(small: bool) -> Graph:
        across, along = (26, 24) if small else (104, 192)
        return cylinder_graph(barrier, layered_mesh(barrier.layers, across), vessel, along, np.ones((1, 1)))

    _graph_day("slab of 80 cells", lambda small: path_graph(barrier, layered_mesh(barrier.layers, 80)), 0.1)
    _graph_day("cylinder of 104 x 192 cells", cylinder, 3.0)


def _uneven(n: int, contrast: float) -> None:
    """Print a stage with a random smooth diffusivity and random binding."""
    model, rng = patchy(n), np.random.default_rng(1)
    even, own = even_maps(model), model.mesh.layer == 4
    waves = [np.cos(np.pi * k * np.arange(n) / n + rng.random()) for k in rng.integers(1, 6, 9)]
    field = sum(np.multiply.outer(np.multiply.outer(a[: own.sum()], b), c) for a, b, c in zip(*[iter(waves)] * 3, strict=True))
    diffusivity, storage = even.diffusivity.copy(), even.storage.copy()
    diffusivity[0, own] = (contrast ** ((field - field.min()) / np.ptp(field) - 0.5)).reshape(own.sum(), -1)
    storage[0, own] = rng.uniform(1, 3, storage[0, own].shape)
    system = UnevenSystem(model, TissueMaps(diffusivity, storage, even.uptake), tolerance=1e-6)
    r, zero, blood, found = system.capacity * rng.random(system.shape), np.zeros(system.shape), np.array([[1.0]]), []
    for gh in (0.01, 1.0, 100.0):
        best = np.inf
        for _ in range(2):
            system.start(zero, blood)
            start = time.process_time()
            system.stage(gh, r, zero, blood)
            best = min(best, time.process_time() - start)
        found.append(f"{1e3 * best:.0f} ms ({system.work[1]} products)")
    print(
        f"uneven stage {n}^3, diffusivity contrast {contrast:g}, patches x1000, P-gp: {', '.join(found)} at gh = 0.01 / 1 / 100 s"
    )


def _robust(cases: int = 200, side: int = 16) -> None:
    from tests.transport.test_uneven import check_random_case

    rng, start = np.random.default_rng(77), time.process_time()
    work = np.array([check_random_case(rng, case, side) for case in range(cases)])
    spent = time.process_time() - start
    print(f"{cases} random uneven stages of {side} x {side} lines, contrast to 1e6, patches x1000, dt D/h2 1e-3..1e9: "
          f"no failure, products {np.median(work[:, 1]):.0f} median, {work[:, 1].max()} most, {spent:.1f} s")  # fmt: skip


def _fixed(n: int = 64) -> None:
    """Print a step of the methods with fixed steps, in the first moments of a bolus."""
    system = BlockSystem(patchy(n), tolerance=1e-6)
    limit, blood = 0.5 * system.stability_limit_s(), np.array([[1.0]])
    forward, alternating, auc = system.forward(), system.alternating(), np.zeros(system.shape)

    def explicit(u: np.ndarray) -> np.ndarray:
        return forward.step(limit, u, blood, auc)[0]

    def adi(u: np.ndarray) -> np.ndarray:
        return alternating.step(500 * limit, u.reshape(1, n, -1), blood[0])[0]

    for name, step, count, h in (("explicit", explicit, 200, limit), ("adi", adi, 4, 500 * limit)):
        u, best = np.zeros(system.shape), np.inf
        for _ in range(6):
            start = time.process_time()
            for _ in range(count):
                u = step(u)
            best = min(best, (time.process_time() - start) / count)
        print(f"{name} step {n}^3 with P-gp and patches: {1e3 * best:.2f} ms, step {h:.1e} s")


def _network() -> None:
    if not CORTEX.is_dir():
        print("network: skipped, mouse_cortex_network is not in KROGH_DATA")
        return
    from krogh.io.network_file import read_network
    from krogh.transport.network.assemble import Tissue, network_graph
    from krogh.transport.network.vessels import poiseuille_flow, refine

    vessels = read_network(CORTEX / "nodes.csv", CORTEX / "segments.csv")
    flow = poiseuille_flow(refine(vessels, 10e-6))
    layers = (
        Layer("endothelium", 0.3e-6, 3e-10),
        Layer("basement membrane", 0.1e-6, 1e-10),
        Layer("interstitium", 2e-5, 1e-10, 0.5, 1e-3),
    )
    walls = (Membrane("luminal", 0, (Passive(2e-7),)), Membrane("abluminal", 1, (Passive(2e-7),)))
    barrier = Barrier(("drug",), layers, walls)
    for cells, goal in ((32, np.nan), (64, 60.0)):
        graph = network_graph(barrier, flow, Tissue.around(vessels.points_m, cells), np.ones((1, 1)))
        start = time.process_time()
        run = integrate(Operator(graph), Doses(), DAY_S, rtol=1e-3, reduce=lambda u: u[..., :1])
        print(f"network {cells}^3, 24 h, three doses, rtol 1e-3: {time.process_time() - start:.0f} s (goal {goal:g}), "
              f"{run.stats.steps} steps, worst mass defect of a step {run.worst_defect:.0e}")  # fmt: skip


def run() -> None:
    print(f"triad bandwidth of one thread {_bandwidth():.1f} GB/s")
    _stage(64, 16)
    _stage(128, 120)
    for n, goal in ((32, np.nan), (64, 15.0)):
        _, coarse = _day(n, 1e-3, goal)
        if n == 32:
            _, fine = _day(n, 1e-6, np.nan)
            print(f"AUC error of 32^3 at rtol 1e-3 against 1e-6: {abs(coarse / fine - 1):.1e} (goal 5e-6)")
    _slab_and_cylinder()
    _uneven(64, 1e6)
    _robust()
    _fixed()
    compare()
    _day(128, 1e-3, 150.0)
    _network()


if __name__ == "__main__":
    run()
