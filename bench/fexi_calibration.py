"""Intervals of single voxels under the learned prior, scan by scan: two tissues at SNR 50, S0 free or known, two sizes of scan.

``run()`` takes about 25 minutes of processor time; ``_size("per-series", 100_000, range(1))`` is one of its lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from krogh.fexi.benchmark_tissues import draw_two_tissues
from krogh.fexi.calibration import Ranks
from krogh.fexi.estimators import get_estimator
from krogh.fexi.models.axr import AxrModel


def _words(share: np.ndarray) -> str:
    """Return the coverage [level, param] as one group of three levels for each parameter."""
    return "; ".join(" ".join(f"{100 * c:.1f}" for c in row) for row in share.T)


def _size(s0: str, n: int, seeds: Iterable[int]) -> None:
    """Print a line for each scan of `n` voxels, and their mean with the p-values of uniform ranks where six scans allow it."""
    ranks = []
    for seed in seeds:
        data, start = draw_two_tissues(n, snr=50.0, seed=seed), time.process_time()
        found = get_estimator("eb")(AxrModel(), data.protocol, data.signals, noise_sd=0.02, s0=s0, at=data.truth)
        used = time.process_time() - start
        ranks.append(found.extra["rank"])
        inside = np.array([np.mean(np.abs(ranks[-1] - 0.5) <= level / 2, axis=0) for level in (0.5, 0.8, 0.95)])
        error, n_parts = (found.theta() - data.truth)[:, 2].mean(), found.extra["prior"].n_components
        print(
            f"fexi  eb, S0 {s0}, {n:,} voxels, seed {seed}: {n_parts} Gaussian(s); 50/80/95 % intervals of "
            f"ADC, sigma, AXR cover {_words(inside)} %; mean error of AXR {error:+.3f} 1/s; {used:.0f} CPU s, learning included",
            flush=True,
        )
    if len(ranks) >= 6:
        whole = Ranks(np.stack(ranks))
        p = " ".join(f"{v:.2g}" for v in whole.p_values())
        print(
            f"fexi  eb, S0 {s0}, {n:,} voxels, {len(ranks)} scans: mean coverage {_words(whole.coverage()[0])} %; p of ranks {p}"
        )


def run() -> None:
    """Print six scans of 10,000 voxels and two of 100,000, S0 free and known."""
    for s0 in ("per-series", "known"):
        _size(s0, 10_000, range(6))
        _size(s0, 100_000, range(2))


if __name__ == "__main__":
    run()
