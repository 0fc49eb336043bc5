"""A stage of the block by the compiled loops and by torch, on every device at hand, beside the bandwidth of that device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.block import DAY_S, Doses, patchy
from krogh.transport.block.base import BlockBase
from krogh.transport.block.device.arrays import on_device
from krogh.transport.block.device.place import Place
from krogh.transport.block.device.system import DeviceSystem
from krogh.transport.block.model import BlockModel
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate

#: Arrays that a stage must at least read or write once: residual 3, two transforms 8, two sweeps along x 6, update 3.
_PASSES = 20


def _seconds(work: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the least time of one call: processor seconds, or on a GPU those between two events of its stream."""
    best = np.inf
    for _ in range(repeats):
        if device == "cpu":
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
            continue
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        work()
        last.record()
        torch.cuda.synchronize(device)
        best = min(best, first.elapsed_time(last) / 1e3)
    return best


def _bandwidth(device: str) -> float:
    """Return the triad bandwidth [byte/s]."""
    a, b, c = (torch.ones(10_000_000 if device == "cpu" else 100_000_000, dtype=torch.float64, device=device) for _ in range(3))
    return 3 * 8 * a.numel() / _seconds(lambda: torch.add(a, b, alpha=3.0, out=c), device, 5)


def _stage(name: str, n: int, system: BlockBase, device: str, bandwidth: float) -> None:
    rng = np.random.default_rng(1)
    r, zero = rng.random(system.shape), np.zeros(system.shape)
    r *= np.asarray(system.capacity)
    if isinstance(system, DeviceSystem):
        r, zero = (on_device(x, system.device) for x in (r, zero))
    blood, found = np.array([[1.0]]), []
    for gh in (0.01, 1.0, 100.0):
        system.start(zero, blood)
        found.append(_seconds(lambda gh=gh: system.stage(gh, r, zero, blood), device, 3))
    least = _PASSES * 8 * n**3 / bandwidth
    print(f"{name} {n}^3: {' / '.join(f'{1e3 * t:.0f}' for t in found)} ms at gh = 0.01 / 1 / 100 s; "
          f"{100 * least / found[1]:.0f} % of what the bandwidth allows for {_PASSES} passes in float64")  # fmt: skip


def _day(name: str, n: int, system: BlockBase) -> None:
    """Print a day with three doses, in seconds of the clock: a GPU works while the processor waits."""
    start = time.perf_counter()
    march = integrate(system, Doses(), DAY_S, rtol=1e-3, reduce=system.plane_means)
    print(f"{name} {n}^3, 24 h, three doses, P-gp, rtol 1e-3: {time.perf_counter() - start:.1f} s, {march.stats.steps} steps, "
          f"worst mass defect of a step {march.worst_defect:.0e}")  # fmt: skip


def _systems(model: BlockModel) -> list[tuple[str, str, Callable[[], BlockBase]]]:
    def torch_on(device: str, precision: str) -> Callable[[], BlockBase]:
        return lambda: DeviceSystem(model, Place(device, precision), tolerance=1e-6)

    found: list[tuple[str, str, Callable[[], BlockBase]]] = [
        ("compiled loops", "cpu", lambda: BlockSystem(model, tolerance=1e-6)),
        ("torch-cpu float64", "cpu", torch_on("cpu", "float64")),
        ("torch-cpu float32, refined", "cpu", torch_on("cpu", "float32")),
    ]
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found += [(f"{torch.cuda.get_device_name(i)} {p}", f"cuda:{i}", torch_on(f"cuda:{i}", p)) for p in ("float64", "float32")]
    return found


def run() -> None:
    torch.set_num_threads(1)
    bandwidths: dict[str, float] = {}
    gpu = torch.cuda.is_available()
    for n in (64, 128, *((256,) if gpu else ())):
        for name, device, build in _systems(patchy(n)):
            if n > 128 and device == "cpu":
                continue
            if device not in bandwidths:
                bandwidths[device] = _bandwidth(device)
                print(f"triad bandwidth of {device}{', one thread' * (device == 'cpu')}: {bandwidths[device] / 1e9:.0f} GB/s")
            _stage(name, n, build(), device, bandwidths[device])
    for n in (24, *((128, 256) if gpu else ())):
        for name, device, build in _systems(patchy(n)):
            if n == 24 or device != "cpu":
                _day(name, n, build())
    if not gpu:
        print("no GPU here: the CUDA device was not exercised, only its code on the processor")


if __name__ == "__main__":
    run()
