"""Cost of the gradient of an area under the curve by all parameters, in forward solves on the same steps."""

from __future__ import annotations

import time

import numpy as np
from tests.transport.test_adjoint import _TYPICAL, _TwoDoses, _weight, build

from krogh.transport.adjoint import auc_gradient, auc_on_steps
from krogh.transport.integrate import integrate
from krogh.transport.operator import Operator


def run() -> None:
    blood, graph = _TwoDoses(), build(_TYPICAL[None])
    weight = _weight(graph)
    steps = np.diff(integrate(Operator(graph), blood, 86400.0, rtol=1e-4).t_s)

    def cpu(work):  # type: ignore[no-untyped-def]
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
        return best

    forward = cpu(lambda: auc_on_steps(graph, blood, steps, weight))
    both = cpu(lambda: auc_gradient(build, _TYPICAL, blood, steps, weight))
    print(f"slab, {graph.shape[2]} nodes, {steps.size} steps: value {forward:.2f} s, "
          f"value and {_TYPICAL.size} derivatives {both:.2f} s: {both / forward:.1f} forward solves (goal 3)")  # fmt: skip


if __name__ == "__main__":
    run()
