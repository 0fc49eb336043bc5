"""How fast `npe` answers with weighted samples, on one thread and on two, and whether both give the same bytes.

The origin test set at SNR 50, S0 known, 64 samples a voxel (256 on one thread). ``run()`` takes about two minutes of processor
time, most of it for training the network as ``krogh fexi train npe`` does by default.
"""

from __future__ import annotations

import os
import time

import numpy as np
import torch

from krogh.fexi.benchmark import draw_test_set
from krogh.fexi.estimators import npe
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.flow import NpeSettings
from krogh.fexi.learned.prior import uniform_prior
from krogh.fexi.learned.train_npe import train_npe
from krogh.fexi.models.axr import AxrModel

SAMPLES, GOAL = 64, 20_000


def run() -> None:
    """Print voxels per second by the clock and by the processor, for one and two threads."""
    torch.set_num_threads(1)
    data = draw_test_set(20_000)
    model = AxrModel(bounds=dict(zip(AxrModel().parameter_names, data.prior.tolist(), strict=True)))
    start = time.process_time()
    conditions = Conditions(model, data.protocol, uniform_prior(model.bounds), (20.0, 200.0), "known")
    weights = train_npe(conditions, settings=NpeSettings())
    print(f"fexi npe trained in {time.process_time() - start:.0f} CPU s", flush=True)
    given = {"weights": weights, "n_samples": SAMPLES, "noise_sd": 1 / data.snr, "s0": "known"}
    npe.fit(model, data.protocol, data.signals[:500], **given)  # compiles
    found, n = {}, data.signals.shape[0]
    for threads in (1, 2, 1, 2):
        wall, cpu = time.perf_counter(), time.process_time()
        found[threads] = npe.fit(model, data.protocol, data.signals, threads=threads, **given)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"fexi npe, {SAMPLES} weighted samples, {threads} thread(s): {n / wall:,.0f} voxels/s by the clock, {n / cpu:,.0f} "
            f"per CPU second (goal {GOAL:,} on two cores; load {os.getloadavg()[0]:.1f})",
            flush=True,
        )
    same = all(
        np.array_equal(a, b)
        for a, b in ((found[1].theta(), found[2].theta()), (found[1].extra["quantiles"], found[2].extra["quantiles"]))
    )
    cpu = time.process_time()
    npe.fit(model, data.protocol, data.signals, **{**given, "n_samples": 4 * SAMPLES})
    print(f"fexi npe, {4 * SAMPLES} weighted samples, 1 thread(s): {n / (time.process_time() - cpu):,.0f} voxels per CPU second")
    print(f"fexi npe, one and two threads give the same bytes: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    run()
