"""Gradients: agreement with central differences on 50 random parameter sets, and their cost in runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from tests.transport import _gradients as cases

from krogh.transport.adjoint.run import differentiable_run
from krogh.transport.block.problem import solve_block
from krogh.transport.cylinder import Capillary
from krogh.transport.problem import Problem, solve

_SETS = {"slab": 20, "pair": 8, "cylinder": 10, "block": 6, "block_pair": 2, "uneven": 4, "uneven_pair": 2, "network": 4}


def _agreement() -> None:
    rng = np.random.default_rng(7)
    worst = {}
    for name, count in _SETS.items():
        off = [max(cases.disagreement(cases.GEOMETRIES[name], cases.random_theta(rng), list(cases.METRICS), rng).values())
               for _ in range(count)]  # fmt: skip
        worst[name] = max(off)
    words = ", ".join(f"{name} {worst[name]:.0e} ({count})" for name, count in _SETS.items())
    print(f"largest |adjoint - central difference| over the terms, 4 metrics, {sum(_SETS.values())} sets: {words}: "
          f"worst {max(worst.values()):.1e} (goal 1e-6)")  # fmt: skip


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _cost(
    name: str, build: Callable[[np.ndarray], object], plain: Callable[[object], object], memory: dict[str, float | None]
) -> None:
    theta = cases.TYPICAL

    def both(memory_bytes: float | None) -> None:
        free = torch.tensor(theta, requires_grad=True)
        differentiable_run(build, free, memory_bytes=memory_bytes).kp_uu().backward()  # type: ignore[arg-type]

    one = _cpu(lambda: plain(build(theta)))
    for how, memory_bytes in memory.items():
        seconds = _cpu(lambda m=memory_bytes: both(m))  # type: ignore[misc]
        print(f"{name}, {how}: run {one:.2f} s, run with {theta.size} derivatives of Kp,uu {seconds:.2f} s: "
              f"{seconds / one:.1f} runs (goal 3)")  # fmt: skip


def run() -> None:
    for build in (cases.slab, cases.cylinder, cases.block):  # compile
        differentiable_run(build, torch.tensor(cases.TYPICAL, requires_grad=True), rtol=1e-2).kp_uu().backward()
    _agreement()

    def slab(theta: np.ndarray) -> Problem:
        return Problem(cases.one_species(theta), cases.TwoDoses(theta[-1], 28800.0, 7200.0), 86400.0, cells=75)

    def cylinder(theta: np.ndarray) -> Problem:
        vessel = Capillary(3e-6, 3e-4, 1e-3)
        blood = cases.TwoDoses(theta[-1], 28800.0, 7200.0)
        return Problem(cases.one_species(theta), blood, 86400.0, vessel, 0.5 * theta[-1], cells=32, cells_along=32)

    _cost("slab, 75 cells, 24 h", slab, solve, {"all stages kept": 1e9})
    _cost("cylinder, 32 x 32 cells, 24 h", cylinder, solve, {"all stages kept": 1e9, "checkpoints": 60 * 8 * 1500.0})
    for n in (24, 40, 64):
        few = 60.0 * 8 * 2 * n**3  # a budget of about sixty states
        _cost(f"block, {n}^3 cells, 24 h", cases.day_block(n), solve_block, {"half of the free memory": None, "checkpoints": few})
    _cost("block, 20^3 cells, each its own tissue, 24 h", cases.uneven_day_block(20), solve_block, {"all stages kept": None})


if __name__ == "__main__":
    run()
