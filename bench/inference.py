"""Calibration and speed of the inversion: 20 values with 5 % noise of the pumped layer A, by finite volumes and by networks."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from tests.inference._cases import TIMES, TRUTH, by_volumes, layer_target, networks
from tests.inference.test_layer import SATURATED

from krogh.inference.calibrate import calibrate
from krogh.inference.fit import fit
from krogh.inference.posterior import sample
from krogh.inference.profile import profile

_STUDIES = (
    ("P, Vmax", 2, TRUTH, 0.0, 400),
    ("P, Vmax, Km", 3, SATURATED, 0.0, 400),
    ("P, Vmax, some below the limit", 2, TRUTH, 0.24, 400),
)
_ALONE = 20


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
    """Print inversions alone, one after the other, by both solvers; each trains its own networks."""
    clean = by_volumes(TRUTH[None], cells=128)[0]
    networks(2).train(TRUTH[:2])  # uncounted: loads what is loaded once
    start, spent, apart, worst = np.log([3e-6, 0.1e-6]), np.zeros((2, _ALONE)), np.zeros((_ALONE, 2)), 0.0
    for seed in range(_ALONE):
        value = clean * (1 + 0.05 * np.random.default_rng(seed).standard_normal(TIMES.size))
        target = layer_target(value, 2, predict=lambda th: by_volumes(th, cells=128), cv=0.05)
        clock = time.process_time()
        volumes = fit(target, start, scan=0)
        spent[0, seed] = time.process_time() - clock
        clock, nets = time.process_time(), networks(2)
        found = fit(replace(target, predict=nets.predict, slopes=nets.slopes, step=1e-2), start, scan=0)
        worst = max(worst, nets.certificate(np.exp(found.x)))
        spent[1, seed] = time.process_time() - clock
        apart[seed] = np.abs(found.x - volumes.x) / volumes.sd
    first = f"inference  {_ALONE} inversions alone, P and Vmax: CPU s each"
    print(f"{first} {np.median(spent[0]):.2f} (worst {spent[0].max():.2f}) by finite volumes, {np.median(spent[1]):.2f} (worst "
          f"{spent[1].max():.2f}) by networks, training included (goal 1 s); estimates at most {apart.max():.1e} SD apart "
          f"(goal 1e-3); certificate at the estimates at most {worst:.0e}")  # fmt: skip
    clock = time.process_time()
    lines = profile(target, volumes)
    ends, clock = time.process_time() - clock, time.process_time()
    sampled = sample(target, volumes, lines)
    print(f"inference  profiles {ends:.2f} s; posterior {time.process_time() - clock:.1f} s (goal 10 s), surrogate within "
          f"{sampled.surrogate_error:.0e} in log posterior, {sampled.effective:.0f} independent samples")  # fmt: skip


if __name__ == "__main__":
    run()
