"""Search the optimum of the AXR model in compiled chunks: what the estimators of voxels, regions and intervals share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._reduce import Reduced
from krogh.fexi.interface import Progress

__all__ = ["TO_KERNEL", "axr_units", "run_chunks", "search_axr"]

FloatArray = NDArray[np.float64]
_CHUNK = 16384
#: SI -> units of the kernel for (ADC, sigma, AXR).
TO_KERNEL = np.array([1e9, 1.0, 1.0])


def axr_units(bounds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper limits of (ADC [um2/ms], sigma, AXR [1/s])."""
    return bounds[:, 0] * TO_KERNEL, bounds[:, 1] * TO_KERNEL


def run_chunks(work: Callable[[slice], None], n: int, *, threads: int, progress: Progress | None, chunk: int = _CHUNK) -> None:
    """Call `work` on slices of ``range(n)``, on `threads` threads; `work` must release the interpreter lock to gain from them."""
    slices = [slice(i, min(i + chunk, n)) for i in range(0, n, chunk)]
    done = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for part, _ in zip(slices, pool.map(work, slices), strict=True):
            done += part.stop - part.start
            if progress is not None:
                progress(done, n)


def search_axr(
    reduced: Reduced, u: FloatArray, given: FloatArray | None, bounds: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.int8]]:
    """Return theta [voxel, 3] (kernel units), S0, SDs for unit noise, cost and state (as in `search`) for merged signals."""
    from krogh.fexi.estimators._kernel import GRID, search

    low, high = axr_units(bounds)
    rates = low[2] + (high[2] - low[2]) * GRID
    rests = reduced.filtered * np.exp(-rates[:, None] * reduced.mixing_time)
    n, n_series = u.shape[0], reduced.n_series
    s0 = np.full((n, n_series), np.nan) if given is None else given
    theta, s0_fit, sd = np.empty((n, 3)), np.empty((n, n_series)), np.empty((n, 3))
    cost, state = np.empty(n), np.empty(n, np.int8)
    search(
        np.ascontiguousarray(u), reduced.b, reduced.root_weight, reduced.pointer, reduced.mixing_time, reduced.filtered, s0,
        low, high, rates, rests, theta, s0_fit, sd, cost, state,
    )  # fmt: skip
    return theta, s0_fit, sd, cost, state
