"""Speed of the simulations beside their goals, and beside FiPy on the same layers."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.peers import fipy_layers
from krogh.barrier.assemble import assemble
from krogh.barrier.member import prepare
from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.physiology import get_physiology
from krogh.barrier.routes import Passive
from krogh.barrier.state import BarrierState
from krogh.blood.dose import parse_dose
from krogh.blood.pk import dose_terms, stack
from krogh.compounds import get_compound, names
from krogh.errors import InputError
from krogh.runs.batch import simulate_batch
from krogh.runs.config import SimulateConfig
from krogh.runs.simulate import plan, run_case
from krogh.transport.integrate import integrate
from krogh.transport.mesh import layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph

DAY_S = 86400.0
DOSES = "100 mg oral every 8 h x 3"


def _cpu(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Return the least processor time [s] of some calls, and the last result."""
    best, out = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        out = work()
        best = min(best, time.process_time() - start)
    return best, out


def _one_drug(geometry: str, goal: float, **settings: Any) -> None:
    config = SimulateConfig(compounds=("morphine",), dose="30 mg oral every 8 h x 3", geometry=geometry, **settings)
    spent, result = _cpu(lambda: run_case(plan(config)[0], config), 2)
    stats, m = result.solution.march.stats, result.metrics[0]
    cells = f"{config.cells} x {config.cells_along if geometry == 'cylinder' else 1} cells"
    print(
        f"simulate  {geometry}, morphine with P-gp and neurons, 24 h, 3 oral doses, {cells}: {spent:.2f} CPU s "
        f"(goal < {goal:g} s), {stats.steps} steps, mass defect {m.mass_defect_step:.0e} a step, {m.mass_defect_run:.0e} the run"
    )


def _library(count: int, cells: int, processes: int) -> None:
    physiology, members = get_physiology("human"), []
    for name in names():
        try:
            members.append(prepare(get_compound(name), physiology, BarrierState()))
        except InputError:  # what is blank is blank: the others are the library here
            continue
    members = [members[i % len(members)] for i in range(count)]
    terms = dose_terms(get_compound("caffeine"), parse_dose(DOSES), "human")
    blood = stack([[terms] for _ in members])
    wall, cpu = time.perf_counter(), time.process_time()
    result = simulate_batch(members, blood, DAY_S, cells=cells, processes=processes)
    wall = time.perf_counter() - wall
    spent = f"{wall:.1f} s wall" + (f", {time.process_time() - cpu:.1f} CPU s" if processes == 1 else "")
    print(
        f"simulate  {count} compounds x {cells} cells with neurons and astrocytes, 24 h, {processes} process(es): {spent} "
        f"(goal < 60 s), worst mass defect of a step {result.mass_defect.max():.0e}"
    )


def _beside_fipy() -> None:
    """Print processor time at equal error: FiPy steps by backward Euler, so it needs many."""
    member = prepare(get_compound("caffeine"), get_physiology("human"), BarrierState())
    full = assemble([[member]])
    walls = tuple(Membrane(m.name, m.face, (Passive(_first(m.routes[0].permeability_m_s)),)) for m in full.membranes)
    barrier = Barrier(full.species, tuple(_plain(x) for x in full.layers), walls)
    blood = stack([[dose_terms(get_compound("caffeine"), parse_dose("100 mg oral"), "human")]])
    mesh, end = layered_mesh(barrier.layers, 200), 600.0
    operator = Operator(path_graph(barrier, mesh))
    nodes = operator.graph.layout["cell_node"]
    best = integrate(operator, blood, end, rtol=1e-9).final[0, 0, nodes]

    def error(u: np.ndarray) -> float:
        return float(np.abs(u / best - 1).max())

    ours, march = _cpu(lambda: integrate(operator, blood, end))
    miss = error(march.final[0, 0, nodes])
    print(f"simulate  slab, caffeine, 10 min, 200 cells, linear: krogh {ours:.3f} CPU s, error at the end {miss:.1e}")
    for steps in (100, 400, 1600):
        theirs, u = _cpu(lambda steps=steps: fipy_layers(barrier, mesh, blood, end, steps), 1)
        print(f"simulate  the same by FiPy, {steps} steps: {theirs:.2f} CPU s = {theirs / ours:.0f} x, error {error(u):.1e}")


def _plain(layer: Layer) -> Layer:
    """Return the layer with numbers in place of arrays of one, and without spreading: what FiPy's grid holds."""
    return Layer(layer.name, layer.thickness_m, *(_first(x) for x in (layer.diffusivity_m2_s, layer.capacity, layer.loss_per_s)))


def _first(values: Any) -> float:
    return float(np.ravel(values)[0])


def run() -> None:
    """Print the table; the first, uncounted call compiles what is not cached."""
    run_case(*_warm())
    _one_drug("slab", 1.0, cells=200)
    _one_drug("cylinder", 20.0, cells=64, cells_along=64)
    _beside_fipy()
    _library(1000, 400, 1)
    _library(1000, 400, 2)
    print(f"simulate  peak memory of this run: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def _warm() -> tuple[Any, SimulateConfig]:
    config = SimulateConfig(compounds=("morphine",), dose="1 uM constant", duration="1 min", cells=24)
    return plan(config)[0], config


if __name__ == "__main__":
    run()
