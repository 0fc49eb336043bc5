"""Intervals of single voxels under the learned prior, scan by scan: two tissues at SNR 50, S0 free or known, two sizes of scan.

The tissues are normal in the parameters themselves, which the prior (Gaussians on the logit scale) cannot hold exactly, or, as
a check of all but the shape, normal on the logit scale with the same means and, to first order, SDs. Simulation-based
calibration proper draws the distribution of every scan from the hyperprior. ``run()`` takes about an hour of
processor time; ``size("per-series", 100_000, range(1))`` is one of its lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from bench.fexi_regions import NARROW, prior_of_the_hyperprior
from krogh.fexi.benchmark_tissues import TWO_TISSUES, draw_two_tissues
from krogh.fexi.calibration import Ranks
from krogh.fexi.estimators import get_estimator
from krogh.fexi.learned.prior import to_theta, to_u
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset

__all__ = ["hyperprior", "on_the_logit_scale", "size"]

SNR = 50.0


def _words(share: np.ndarray) -> str:
    """Return the coverage [level, param] as one group of three levels for each parameter."""
    return "; ".join(" ".join(f"{100 * c:.1f}" for c in row) for row in share.T)


def _normal(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    data = draw_two_tissues(n, snr=SNR, seed=seed)
    return data.truth, data.signals


def on_the_logit_scale(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and signals of `n` voxels of the two tissues, normal on the logit scale."""
    rng, bounds = np.random.default_rng([seed, 5]), TWO_TISSUES.bounds
    x = (TWO_TISSUES.mean - bounds[:, 0]) / np.ptp(bounds, axis=1)
    sd, tissue = TWO_TISSUES.sd / np.ptp(bounds, axis=1) / (x * (1 - x)), np.arange(n) % 2
    truth = to_theta(to_u(TWO_TISSUES.mean, bounds)[tissue] + sd[tissue] * rng.standard_normal((n, 3)), bounds)
    return truth, add_noise(AxrModel().shape(truth, preset("human-bbb")), 1 / SNR, rng)


def size(s0: str, n: int, seeds: Iterable[int], draw: Callable[[int, int], tuple[np.ndarray, np.ndarray]] = _normal) -> None:
    """Print a line for each scan of `n` voxels, and their mean with the p-values of uniform ranks where six scans allow it."""
    ranks, kind = [], "" if draw is _normal else ", tissues normal on the logit scale"
    for seed in seeds:
        (truth, signals), start = draw(n, seed), time.process_time()
        found = get_estimator("eb")(AxrModel(), preset("human-bbb"), signals, noise_sd=1 / SNR, s0=s0, at=truth)
        used = time.process_time() - start
        ranks.append(found.extra["rank"])
        inside = np.array([np.mean(np.abs(ranks[-1] - 0.5) <= level / 2, axis=0) for level in (0.5, 0.8, 0.95)])
        error, n_parts = (found.theta() - truth)[:, 2].mean(), found.extra["prior"].n_components
        print(
            f"fexi  eb, S0 {s0}{kind}, {n:,} voxels, seed {seed}: {n_parts} Gaussian(s); 50/80/95 % intervals of "
            f"ADC, sigma, AXR cover {_words(inside)} %; mean error of AXR {error:+.3f} 1/s; {used:.0f} CPU s, learning included",
            flush=True,
        )
    if len(ranks) >= 6:
        whole = Ranks(np.stack(ranks))
        p = " ".join(f"{v:.2g}" for v in whole.p_values())
        print(
            f"fexi  eb, S0 {s0}{kind}, {n:,} voxels, {len(ranks)} scans: mean coverage {_words(whole.coverage()[0])} %; "
            f"p of ranks {p}"
        )


def _draw_and_rank(rng: np.random.Generator, n: int, even: bool, known: bool) -> np.ndarray:
    """Return the ranks of the voxels [voxel, param] of a scan whose prior is drawn from the hyperprior, S0 free."""
    prior = prior_of_the_hyperprior(rng, even=even)
    truth = prior.draw(n, rng)
    signals = add_noise(NARROW.shape(truth, preset("human-bbb")), 1 / SNR, rng)
    told = {"prior": prior} if known else {}
    return np.asarray(get_estimator("eb")(NARROW, preset("human-bbb"), signals, noise_sd=1 / SNR, at=truth, **told).extra["rank"])


def hyperprior(scans: int = 40, n: int = 1000, *, even: bool = True, known: bool = False) -> None:
    """Print coverage and p-values of ranks over scans drawn from the hyperprior, their prior learned or known.

    Medians are even between the bounds, as the search for the prior of a scan has it, or by the arcsine law, which puts one of
    the three within a hundredth of a bound in every third scan.
    """
    found = Ranks(np.stack([_draw_and_rank(np.random.default_rng([1, 7, i]), n, even, known) for i in range(scans)]))
    share, error = found.coverage()
    p = " ".join(f"{v:.2g}" for v in found.p_values())
    print(
        f"fexi  eb, S0 per-series, {scans} scans of {n:,} voxels drawn from the hyperprior, medians "
        f"{'even' if even else 'by the arcsine law'}, prior {'known' if known else 'learned'}: mean coverage {_words(share)} % "
        f"+- {_words(error)}; p of ranks {p}",
        flush=True,
    )


def run() -> None:
    """Print scans of the hyperprior, six of 10,000 voxels of either kind of tissue and two of 100,000, S0 free and known."""
    for known in (True, False):
        for even in (True, False):
            hyperprior(even=even, known=known)
    for s0 in ("per-series", "known"):
        size(s0, 10_000, range(6))
        size(s0, 100_000, range(2))
        size(s0, 10_000, range(6), on_the_logit_scale)


if __name__ == "__main__":
    run()
