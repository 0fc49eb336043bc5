"""Do the intervals of regions hold the mean of their voxels? Many small regions, each with a tissue of its own, at SNR 50.

The mean ADC of a region is drawn from 0.7 to 1.1 um2/ms, sigma from 0.12 to 0.35, AXR from 1 to 6 1/s; the voxels spread around
them by 8, 18 and 10 to 40 %, evenly in half of the regions and normally in the other half: neither is the prior of the method.
``run()`` takes about two minutes of processor time.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from krogh.fexi.learned.regions import region_posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset

SNR, LEVELS = 50.0, (0.5, 0.8, 0.95)
_MODEL, _PROTOCOL = AxrModel(), preset("human-bbb")


def _region(n: int, rng: np.random.Generator, *, even: bool) -> np.ndarray:
    mean = np.array([rng.uniform(0.7e-9, 1.1e-9), rng.uniform(0.12, 0.35), rng.uniform(1.0, 6.0)])
    spread = mean * np.array([0.08, 0.18, rng.uniform(0.1, 0.4)])
    z = rng.uniform(-np.sqrt(3), np.sqrt(3), (n, 3)) if even else np.clip(rng.standard_normal((n, 3)), -2.4, 2.4)
    return np.asarray(mean + spread * z)


def inside(n_voxels: int, n_regions: int, seed: int) -> np.ndarray:
    """Return whether the mean lies inside [region, param, level] of regions of `n_voxels`."""
    rng = np.random.default_rng([seed, n_voxels])
    truth = np.stack([_region(n_voxels, rng, even=i % 2 == 0) for i in range(n_regions)])
    signals = add_noise(_MODEL.shape(truth.reshape(-1, 3), _PROTOCOL), 1 / SNR, rng)
    scan = prepare_scan(_MODEL, _PROTOCOL, signals, 1 / SNR, "per-series")
    grid, out = scan.dictionary(), np.empty((n_regions, 3, len(LEVELS)), bool)
    for i in range(n_regions):
        rows = np.arange(i * n_voxels, (i + 1) * n_voxels)
        found = region_posterior(_MODEL, _PROTOCOL, scan.problem(grid, rows), signals[rows])
        for j, level in enumerate(LEVELS):
            low, high = found.interval(float(norm.ppf(0.5 + level / 2)))
            mean = truth[i].mean(axis=0)
            out[i, :, j] = (low < mean) & (mean < high)
    return out


def run(n_regions: int = 200) -> None:
    """Print the share of regions whose interval holds the mean, with its standard error."""
    for n_voxels in (64, 256):
        held = inside(n_voxels, n_regions, 0)
        words = "; ".join(
            f"{name} {' '.join(f'{100 * c:.0f} +- {100 * np.sqrt(c * (1 - c) / n_regions):.0f}' for c in share)}"
            for name, share in zip(("ADC", "sigma", "AXR"), held.mean(axis=0), strict=True)
        )
        print(
            f"FEXI regions of {n_voxels} voxels, {n_regions} of them: 50/80/95 % intervals hold the mean in {words} %", flush=True
        )


if __name__ == "__main__":
    run()
