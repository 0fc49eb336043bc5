"""Calibration and speed of the inversion: 20 values with 5 % noise of the pumped layer A, by finite volumes and by networks."""

from __future__ import annotations

import time

import numpy as np
from tests.inference._cases import TIMES, TRUTH, by_networks, by_volumes, layer_target
from tests.inference.test_layer import SATURATED

from krogh.inference.calibrate import calibrate
from krogh.inference.fit import fit
from krogh.inference.profile import profile

_STUDIES = (
    ("P, Vmax", 2, TRUTH, 0.0, 400),
    ("P, Vmax, Km", 3, SATURATED, 0.0, 400),
    ("P, Vmax, some below the limit", 2, TRUTH, 0.24, 400),
)


def run() -> None:
    for name, free, truth, lloq, draws in _STUDIES:
        value = by_volumes(truth[None], cells=32)[0]
        target = layer_target(value, free, predict=lambda th: by_volumes(th, cells=32), truth=truth, cv=0.05, lloq=lloq)
        start = time.process_time()
        found = calibrate(target, np.log(truth[:free]), draws, seed=1)
        cpu = (time.process_time() - start) / draws
        for k, label in enumerate(found.names):
            held, normal = 100 * found.coverage()[k], 100 * found.coverage(wald=True)[k]
            print(f"{name}: {label}: bias {found.bias[k]:+.3f} SD (goal < 0.1), 95 % profile intervals hold {held:.1f} %, "
                  f"normal ones {normal:.1f} % (goal 92 to 98)")  # fmt: skip
        print(f"{name}: {draws} draws, {int((~found.converged).sum())} did not converge, {cpu:.2f} s each in batches of 20 "
              f"(fit and profile at the truth), {100 * np.mean(value < lloq):.0f} % below the limit")  # fmt: skip
    _solvers()


def _solvers() -> None:
    """Print one inversion alone, by both solvers."""
    apart = []
    for seed in range(5):
        value = by_volumes(TRUTH[None], cells=128)[0] * (1 + 0.05 * np.random.default_rng(seed).standard_normal(TIMES.size))
        spent = []
        for predict, step in ((by_volumes, 1e-3), (by_networks, 1e-2)):
            start = time.process_time()
            target = layer_target(value, 2, predict=predict, cv=0.05, step=step)
            found = fit(target, np.log([3e-6, 0.1e-6]), scan=0)
            spent.append(time.process_time() - start)
            if predict is by_volumes:
                volumes, start = found, time.process_time()
                profile(target, found)
                ends = time.process_time() - start
        apart.append(np.abs(found.x - volumes.x) / volumes.sd)
        print(f"draw {seed}: one inversion {spent[0]:.2f} s by finite volumes (goal 1 s; {ends:.2f} s more for profiles), "
              f"{spent[1]:.1f} s by networks; estimates apart by {apart[-1].max():.1e} SD (goal 1e-3)")  # fmt: skip


if __name__ == "__main__":
    run()
