"""Networks: does the answer settle when tissue cells become smaller than vessels, and what a step costs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from tests.transport import test_network as cases

from krogh.io.network_file import read_network
from krogh.transport.integrate import integrate
from krogh.transport.network.assemble import Tissue, network_graph
from krogh.transport.network.vessels import Vessels, poiseuille_flow, refine
from krogh.transport.operator import Operator

_CORTEX = Path(os.environ.get("KROGH_DATA", "../shared/data")) / "pharma" / "mouse_cortex_network"


def _study(name: str, vessels: Vessels, meshes: tuple[int, ...], margin_m: float) -> None:
    flow = poiseuille_flow(refine(vessels, 10e-6))
    radius = float(np.median(vessels.radius_m))
    print(f"{name}: {len(flow.flow_m3_s)} segments, median radius {radius * 1e6:.1f} um; constant blood, 5 s")
    before = None
    for cells in meshes:
        tissue = Tissue.around(vessels.points_m, cells, margin_m)
        start = time.process_time()
        graph = network_graph(cases._barrier(), flow, tissue, np.ones((1, 1)))
        run = integrate(Operator(graph), cases.ConstantBlood(), 5.0, rtol=1e-2)
        seconds = time.process_time() - start
        own = graph.media["interstitium"]
        # the volume of the box changes a little with the mesh: compare amounts
        amount = float((graph.capacity[0, 0, own] * run.final[0, 0, own]).sum())
        out = float(run.final[0, 0, flow.outlets].mean())
        change = (
            "" if before is None else f", change {100 * (amount / before[0] - 1):+.2f} % and {100 * (out / before[1] - 1):+.2f} %"
        )
        print(f"  cells of {tissue.spacing_m * 1e6:.1f} um = {tissue.spacing_m / radius:.1f} radii: tissue {amount:.5e} mol, outlets "
              f"{out:.5f} of inlet{change}; mass {run.worst_defect:.0e}, {run.stats.steps} steps, {seconds:.0f} s")  # fmt: skip
        before = amount, out


def run() -> None:
    _study("branched", cases._branched(), (8, 16, 32), 5e-6)
    if _CORTEX.is_dir():
        _study("mouse cortex", read_network(_CORTEX / "nodes.csv", _CORTEX / "segments.csv"), (10, 20, 40), 0.0)
    else:
        print("mouse cortex: skipped, needs mouse_cortex_network in KROGH_DATA")


if __name__ == "__main__":
    run()
