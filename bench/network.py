"""Networks: does the answer settle when tissue cells become smaller than vessels, and what a step costs."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.transport import test_network as cases

from krogh.barrier.model import Barrier
from krogh.barrier.routes import Passive
from krogh.io.network_file import read_network
from krogh.transport.integrate import integrate
from krogh.transport.network.assemble import Tissue, network_graph
from krogh.transport.network.vessels import Vessels, poiseuille_flow, refine
from krogh.transport.operator import Operator

_CORTEX = Path(os.environ.get("KROGH_DATA", "../shared/data")) / "pharma" / "mouse_cortex_network"


def _barrier(permeability_m_s: float) -> Barrier:
    barrier = cases._barrier()
    return replace(barrier, membranes=tuple(replace(m, routes=(Passive(permeability_m_s),)) for m in barrier.membranes))


def _study(name: str, vessels: Vessels, meshes: tuple[int, ...], margin_m: float, permeability_m_s: float) -> None:
    flow = poiseuille_flow(refine(vessels, 10e-6))
    radius = float(np.median(vessels.radius_m))
    print(f"{name}: {len(flow.flow_m3_s)} segments, median radius {radius * 1e6:.1f} um; P {permeability_m_s:.0e} m/s; 5 s")
    box = Tissue.around(vessels.points_m, meshes[0], margin_m)
    before = None
    for cells in meshes:
        fine = cells // meshes[0]  # the same box on every mesh
        tissue = Tissue(box.origin_m, tuple(n * fine for n in box.shape), box.spacing_m / fine)  # type: ignore[arg-type]
        start = time.process_time()
        graph = network_graph(_barrier(permeability_m_s), flow, tissue, np.ones((1, 1)))
        run = integrate(Operator(graph), cases.ConstantBlood(), 5.0, rtol=1e-2)
        seconds = time.process_time() - start
        own = graph.media["interstitium"]
        amount = float((graph.capacity[0, 0, own] * run.final[0, 0, own]).sum())
        out = float(run.final[0, 0, flow.outlets].mean())
        change = ""
        if before is not None:
            change = f", change {100 * (amount / before[0] - 1):+.2f} % and {100 * (out / before[1] - 1):+.2f} %"
        size = f"cells of {tissue.spacing_m * 1e6:.1f} um = {tissue.spacing_m / radius:.1f} radii"
        print(f"  {size}: tissue {amount:.4e} mol, outlets {out:.4f} of inlet{change}; "
              f"mass {run.worst_defect:.0e}, {run.stats.steps} steps, {seconds:.0f} s")  # fmt: skip
        before = amount, out


def run() -> None:
    for permeability in (2e-7, 1e-4):  # behind a barrier; limited by the tissue alone, the harder case
        _study("branched", cases._branched(), (8, 16, 32), 5e-6, permeability)
    if _CORTEX.is_dir():
        _study("mouse cortex", read_network(_CORTEX / "nodes.csv", _CORTEX / "segments.csv"), (10, 20, 40), 0.0, 2e-7)
    else:
        print("mouse cortex: skipped, needs mouse_cortex_network in KROGH_DATA")


if __name__ == "__main__":
    run()
