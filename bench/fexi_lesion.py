"""How few voxels show a lesion: exchange doubled in a small region, at SNR 50, beside what the Cramer-Rao bound allows.

Regions of n voxels are simulated with the tissue of a lesion (AXR 5.0 +- 0.5 1/s) or of its surroundings (2.5 +- 0.25 1/s). One
is seen where the 95 % interval of its AXR excludes 2.5 1/s; half of them can be where 1.96 SD of the bound is the difference.
``run()`` takes about eight minutes of processor time.
"""

from __future__ import annotations

import math

import numpy as np

from krogh.fexi.estimators import get_estimator
from krogh.fexi.learned.regions import region_posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.precision import fisher, sd_from_fisher
from krogh.fexi.presets import preset

NORMAL, LESION, SNR = 2.5, 5.0, 50.0
_MODEL, _PROTOCOL = AxrModel(), preset("human-bbb")


def _tissue(axr: float, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([0.9e-9, 0.2, axr]) + np.array([0.06e-9, 0.03, 0.1 * axr]) * rng.standard_normal((n, 3))


def _bound(axr: float) -> float:
    """Return the smallest possible SD of AXR in one voxel, S0 of each series free."""
    theta = np.array([[0.9e-9, 0.2, axr]])
    information = fisher(_MODEL, _PROTOCOL, theta, np.full((1, _PROTOCOL.n_series), SNR), np.ones(_PROTOCOL.n_volumes))
    return float(sd_from_fisher(information, np.ptp(_MODEL.bounds, axis=1))[0][0, 2])


def intervals(axr: float, n: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of AXR of one simulated region by the posterior of its mean and by the pooled fit."""
    rng = np.random.default_rng([seed, n, round(10 * axr)])
    signals = add_noise(_MODEL.shape(_tissue(axr, n, rng), _PROTOCOL), 1 / SNR, rng)
    scan = prepare_scan(_MODEL, _PROTOCOL, signals, 1 / SNR, "per-series")
    low, high = region_posterior(_MODEL, _PROTOCOL, scan.problem(scan.dictionary(), scan.rows), signals[scan.rows]).interval()
    pooled = get_estimator("pooled")(_MODEL, _PROTOCOL, signals, noise_sd=1 / SNR).interval["axr_per_s"]
    return {"posterior": (low[2], high[2]), "pooled": (float(pooled[0][0]), float(pooled[1][0]))}


def share_seen(axr: float, n: int, repeats: int) -> dict[str, float]:
    """Return the share of regions whose interval excludes the normal AXR."""
    found = [intervals(axr, n, seed) for seed in range(repeats)]
    return {name: float(np.mean([not f[name][0] <= NORMAL <= f[name][1] for f in found])) for name in found[0]}


def run(repeats: int = 40) -> None:
    """Print the share of lesions seen by size, the size where half are, and the share of normal regions called lesions."""
    least = math.ceil((1.959964 * _bound(LESION) / (LESION - NORMAL)) ** 2)
    print(
        f"FEXI lesion: AXR {NORMAL:g} -> {LESION:g} 1/s, SNR {SNR:g}; the bound lets half be seen with {least} voxels", flush=True
    )
    for factor in (0.7, 1.0, 1.5):
        n = math.ceil(factor * least)
        seen = share_seen(LESION, n, repeats)
        false = share_seen(NORMAL, n, repeats)
        print(
            f"  {n:4d} voxels ({factor:g} x): seen by the posterior {100 * seen['posterior']:.0f} %, by the pooled fit "
            f"{100 * seen['pooled']:.0f} %; false {100 * false['posterior']:.0f} %, {100 * false['pooled']:.0f} % (nominal 5 %)",
            flush=True,
        )


if __name__ == "__main__":
    run()
